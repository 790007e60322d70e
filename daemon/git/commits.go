package git

import (
	"bytes"
	"context"
	"regexp"
	"strconv"
	"strings"

	"towline/daemon"
)

// commitID is a full one, of SHA-1 or SHA-256.
var commitID = regexp.MustCompile(`^([0-9a-f]{40}|[0-9a-f]{64})$`)

// Commits implements daemon.Repositories.
func (r *Repositories) Commits(ctx context.Context, app, from, to string, most int) ([]daemon.Commit, int, error) {
	if err := daemon.CheckAppName(app); err != nil {
		return nil, 0, err
	}
	for _, id := range []string{from, to} {
		if !commitID.MatchString(id) {
			return nil, 0, daemon.Errorf(daemon.Invalid, "%q is not the id of a commit", daemon.Clip(id))
		}
		if err := r.git(ctx, r.Path(app), "cat-file", "-e", id+"^{commit}"); err != nil {
			if ctx.Err() != nil {
				return nil, 0, err
			}
			return nil, 0, daemon.Errorf(daemon.NotFound, "the repository of %s has no commit %s", app, id[:8])
		}
	}
	span := from + ".." + to
	var out bytes.Buffer
	if err := r.gitTo(ctx, &out, r.Path(app), "rev-list", "--count", span, "--"); err != nil {
		return nil, 0, err
	}
	ahead, err := strconv.Atoi(strings.TrimSpace(out.String()))
	if err != nil || most == 0 || ahead == 0 {
		return nil, ahead, err
	}
	var lines beginnings
	if err := r.gitTo(ctx, &lines, r.Path(app), "log", "--max-count="+strconv.Itoa(most), "--format=%H %s", span, "--"); err != nil {
		return nil, ahead, err
	}
	var commits []daemon.Commit
	for line := range strings.Lines(lines.kept.String()) {
		id, subject, _ := strings.Cut(strings.TrimSuffix(line, "\n"), " ")
		commits = append(commits, daemon.Commit{ID: id, Subject: daemon.Printable(strings.ToValidUTF8(subject, ""))})
	}
	return commits, ahead, nil
}

// maxSubject is how much of a commit's subject is kept, with its id, in bytes: who writes it may
// make it as long as they like.
const maxSubject = 400

// beginnings keeps of each line that is written to it the beginning.
type beginnings struct {
	kept bytes.Buffer
	line int // bytes of the last line, so far
}

func (b *beginnings) Write(p []byte) (int, error) {
	for part := range bytes.Lines(p) {
		text, ends := bytes.CutSuffix(part, []byte("\n"))
		b.kept.Write(text[:min(len(text), max(0, maxSubject-b.line))])
		b.line += len(text)
		if ends {
			b.kept.WriteByte('\n')
			b.line = 0
		}
	}
	return len(p), nil
}
