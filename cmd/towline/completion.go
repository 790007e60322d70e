package main

import (
	"bytes"
	"context"
	"errors"
	"fmt"
	"hash/fnv"
	"io"
	"os"
	"os/exec"
	"path/filepath"
	"strings"
	"time"

	"towline/daemon/socket/wire"
)

func completion(words []string) int {
	if len(words) == 1 {
		if script, ok := completionScripts[words[0]]; ok {
			fmt.Print(script)
			return 0
		}
	}
	return refuse(errors.New("completion is for bash, zsh or fish"), `eval "$(towline completion bash)"`)
}

// The scripts complete what the server says may follow: commands, names and flags.
var completionScripts = map[string]string{
	"bash": `# eval "$(towline completion bash)"
_towline() {
	local line=${COMP_LINE:0:COMP_POINT} cur
	local -a words
	cur=${line##*[[:space:]]}
	line=${line%"$cur"}
	read -ra words <<<"$line"
	mapfile -t COMPREPLY < <(compgen -W "$(towline __complete "${words[@]:1}" "$cur" 2>/dev/null)" -- "$cur")
	# What ends in = goes on.
	[[ ${#COMPREPLY[@]} -eq 1 && ${COMPREPLY[0]} == *= ]] && compopt -o nospace 2>/dev/null
	# Readline cuts words at colons: what stands before the last one stays.
	if [[ $cur == *:* && $COMP_WORDBREAKS == *:* ]]; then
		local before=${cur%"${cur##*:}"}
		for i in "${!COMPREPLY[@]}"; do COMPREPLY[i]=${COMPREPLY[i]#"$before"}; done
	fi
}
complete -o default -F _towline towline
`,
	"zsh": `#compdef towline
# eval "$(towline completion zsh)"
_towline() {
	local -a names
	names=(${(f)"$(towline __complete "${(@)words[2,CURRENT-1]}" "${words[CURRENT]}" 2>/dev/null)"})
	if (($#names)); then compadd -- $names; else _default; fi
}
compdef _towline towline
`,
	"fish": `# towline completion fish | source
complete -c towline -f -a '(towline __complete (commandline -opc)[2..] (commandline -ct) 2>/dev/null)'
`,
}

// How long an answer of the server's is used again: that on the first word, and others.
const commandsAge, namesAge = time.Hour, 20 * time.Second

// completionTimeout is as long as a key press may take.
const completionTimeout = 3 * time.Second

// ownWords are what this program adds to the server's commands.
var ownWords = []string{"git:remote", "completion", "--host", "--remote"}

// complete lists, one a line, what the last of the words may become. It is for the scripts
// above and says nothing when the server can't be asked.
func complete(in invocation, words []string) int {
	if len(words) == 0 {
		return exitInvalid
	}
	last := words[len(words)-1]
	words = words[:len(words)-1]
	ask := in.asker()
	if ask == nil {
		return 1
	}
	age, prefix := namesAge, ""
	if len(words) == 0 {
		age = commandsAge
	}
	if strings.HasPrefix(last, "-") {
		prefix = "-" // all that the server must know of it: the shell chooses
	}
	asked := append(append([]string{"complete", "--"}, words...), prefix)
	text, err := ask.remember(asked, age)
	if err != nil {
		return 1
	}
	if len(words) == 0 {
		text = append(text, strings.Join(ownWords, "\n")+"\n"...)
	}
	for name := range strings.Lines(string(text)) {
		if strings.HasPrefix(name, last) {
			fmt.Print(name)
		}
	}
	return 0
}

// remember is what a command prints, which is kept in a file for the next key press.
func (a *asker) remember(words []string, age time.Duration) ([]byte, error) {
	cache, key := a.cache(words)
	if info, err := os.Stat(cache); err == nil && time.Since(info.ModTime()) < age {
		text, err := os.ReadFile(cache)
		if text, ours := bytes.CutPrefix(text, key); err == nil && ours {
			return text, nil
		}
	}
	ctx, cancel := context.WithTimeout(context.Background(), completionTimeout)
	defer cancel()
	var out bytes.Buffer
	if err := a.run(ctx, words, &out); err != nil {
		return nil, err
	}
	// A cache that can't be written costs time, nothing else.
	if os.MkdirAll(filepath.Dir(cache), 0o700) == nil {
		_ = os.WriteFile(cache, append(key, out.Bytes()...), 0o600)
	}
	return out.Bytes(), nil
}

// asker runs a command on the server without a word to the user.
type asker struct {
	place string // what the answers depend on
	host  string
	run   func(ctx context.Context, words []string, out io.Writer) error
}

// asker is nil where no host is known.
func (in invocation) asker() *asker {
	if in.local() {
		return &asker{in.socket + " " + in.app, "this host", func(ctx context.Context, words []string, out io.Writer) error {
			code, err := wire.Run(ctx, in.socket, wire.Request{Args: words, App: in.app}, wire.Streams{Stdout: out, Stderr: io.Discard})
			if err == nil && code != 0 {
				err = fmt.Errorf("exit code %d", code)
			}
			return err
		}}
	}
	t, err := in.target(gitRemotes)
	if err != nil {
		return nil
	}
	return &asker{t.url(), t.host, func(ctx context.Context, words []string, out io.Writer) error {
		argv := sshArgs(t, words, "-T", "-o", "BatchMode=yes")
		cmd := exec.CommandContext(ctx, argv[0], argv[1:]...)
		cmd.Stdout = out
		return cmd.Run()
	}}
}

// cache is the file for an answer, one of so few that they need no clearing, and what it
// begins with if it holds the answer to these words.
func (a *asker) cache(words []string) (file string, key []byte) {
	dir, err := os.UserCacheDir()
	if err != nil {
		dir = os.DevNull // nothing can be kept in it
	}
	h := fnv.New64a()
	for _, part := range append([]string{a.place}, words...) {
		_, _ = io.WriteString(h, part+"\x00")
	}
	sum := h.Sum64()
	return filepath.Join(dir, "towline", fmt.Sprintf("complete-%02x", sum%256)), fmt.Appendf(nil, "%016x\n", sum)
}
