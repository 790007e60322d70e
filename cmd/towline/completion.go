package main

import (
	"bytes"
	"context"
	"encoding/json"
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

// The scripts complete commands, and apps after -a, by what the server lists.
var completionScripts = map[string]string{
	"bash": `# eval "$(towline completion bash)"
_towline() {
	local line=${COMP_LINE:0:COMP_POINT} cur kind=commands i
	local -a words
	cur=${line##*[[:space:]]}
	line=${line%"$cur"}
	read -ra words <<<"$line"
	if [[ ${words[-1]} == -a || ${words[-1]} == --app ]]; then
		kind=apps
	elif ((${#words[@]} > 1)); then
		return
	fi
	mapfile -t COMPREPLY < <(compgen -W "$(towline __names $kind 2>/dev/null)" -- "$cur")
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
	if [[ ${words[CURRENT-1]} == (-a|--app) ]]; then
		compadd -- ${(f)"$(towline __names apps 2>/dev/null)"}
	elif ((CURRENT == 2)); then
		compadd -- ${(f)"$(towline __names commands 2>/dev/null)"}
	else
		_default
	fi
}
compdef _towline towline
`,
	"fish": `# towline completion fish | source
complete -c towline -n __fish_use_subcommand -f -a '(towline __names commands 2>/dev/null)'
complete -c towline -s a -l app -x -a '(towline __names apps 2>/dev/null)'
`,
}

// How long an answer of the server's is used again.
var namesAge = map[string]time.Duration{"commands": 24 * time.Hour, "apps": 20 * time.Second}

// completionTimeout is as long as a key press may take.
const completionTimeout = 3 * time.Second

// printNames lists the server's commands, or the apps, one a line. It is for the
// scripts above and says nothing when the server can't be asked.
func printNames(in invocation, words []string) int {
	if len(words) != 1 || namesAge[words[0]] == 0 {
		return exitInvalid
	}
	kind := words[0]
	ask := in.asker()
	if ask == nil {
		return 1
	}
	cache := ask.cache(kind)
	if info, err := os.Stat(cache); err == nil && time.Since(info.ModTime()) < namesAge[kind] {
		if text, err := os.ReadFile(cache); err == nil {
			_, _ = os.Stdout.Write(text)
			return 0
		}
	}
	ctx, cancel := context.WithTimeout(context.Background(), completionTimeout)
	defer cancel()
	text, err := ask.names(ctx, kind)
	if err != nil {
		return 1
	}
	_, _ = os.Stdout.Write(text)
	// A cache that can't be written costs time, nothing else.
	if os.MkdirAll(filepath.Dir(cache), 0o700) == nil {
		_ = os.WriteFile(cache, text, 0o600)
	}
	return 0
}

// asker runs a command on the server without a word to the user.
type asker struct {
	place string
	run   func(ctx context.Context, words []string, out io.Writer) error
}

// asker is nil where no host is known.
func (in invocation) asker() *asker {
	if in.local() {
		return &asker{in.socket, func(ctx context.Context, words []string, out io.Writer) error {
			code, err := wire.Run(ctx, in.socket, wire.Request{Args: words}, wire.Streams{Stdout: out, Stderr: io.Discard})
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
	return &asker{t.url(), func(ctx context.Context, words []string, out io.Writer) error {
		argv := sshArgs(t, words, "-T", "-o", "BatchMode=yes")
		cmd := exec.CommandContext(ctx, argv[0], argv[1:]...)
		cmd.Stdout = out
		return cmd.Run()
	}}
}

func (a *asker) names(ctx context.Context, kind string) ([]byte, error) {
	var out bytes.Buffer
	if kind == "commands" {
		err := a.run(ctx, []string{"commands"}, &out)
		return out.Bytes(), err
	}
	if err := a.run(ctx, []string{"apps", "--json"}, &out); err != nil {
		return nil, err
	}
	var apps []struct{ Name string }
	if err := json.Unmarshal(out.Bytes(), &apps); err != nil {
		return nil, err
	}
	var names strings.Builder
	for _, app := range apps {
		fmt.Fprintln(&names, app.Name)
	}
	return []byte(names.String()), nil
}

func (a *asker) cache(kind string) string {
	dir, err := os.UserCacheDir()
	if err != nil {
		dir = os.DevNull // nothing can be kept in it
	}
	h := fnv.New64a()
	_, _ = io.WriteString(h, a.place)
	return filepath.Join(dir, "towline", fmt.Sprintf("%s-%x", kind, h.Sum64()))
}
