package main

import (
	"bytes"
	"context"
	"encoding/json"
	"fmt"
	"os"
	"slices"
	"time"
)

// helpsWithAll tells whether the help of everything is asked for, which this program has a
// part in.
func (in invocation) helpsWithAll() bool {
	words := slices.DeleteFunc(slices.Clone(in.words), func(w string) bool { return w == "--all" })
	return in.isHelp() && len(words) <= 1
}

// addHelp prints this program's part after the server's.
func (in invocation) addHelp(code int) {
	if code == 0 && in.helpsWithAll() {
		fmt.Print("\n" + clientHelp)
	}
}

// ownHelp is the help of one of this program's own commands, if that is asked for.
func (in invocation) ownHelp() string {
	words := in.words
	if len(words) > 1 && words[0] == "help" {
		words = words[1:]
	} else if !in.asksHelp() {
		return ""
	}
	switch (invocation{words: words}).verb() {
	case "git:remote":
		return gitRemoteHelp
	case "completion":
		return completionHelp
	case "host:restore":
		return hostRestoreHelp
	}
	return ""
}

// versionTimeout bounds the question for the server's version.
const versionTimeout = 10 * time.Second

// printVersion shows this program's version and, where a host is known, the server's.
func printVersion(in invocation) int {
	v := struct {
		Client string `json:"client"`
		Server string `json:"server,omitempty"`
		Host   string `json:"host,omitempty"`
	}{Client: version}
	if ask := in.asker(); ask != nil {
		ctx, cancel := context.WithTimeout(context.Background(), versionTimeout)
		defer cancel()
		var out bytes.Buffer
		var server struct{ Version string }
		err := ask.run(ctx, []string{"version", "--json"}, &out)
		if err == nil {
			err = json.Unmarshal(out.Bytes(), &server)
		}
		if v.Server, v.Host = server.Version, ask.host; err != nil {
			v.Server = ""
			fmt.Fprintf(os.Stderr, " !     the server at %s does not tell its version: %v\n", ask.host, err)
		}
	}
	if slices.Contains(in.words, "--json") {
		enc := json.NewEncoder(os.Stdout)
		enc.SetIndent("", "  ")
		_ = enc.Encode(v)
		return 0
	}
	fmt.Println("towline " + v.Client)
	if v.Server != "" {
		fmt.Printf("server  %s at %s\n", v.Server, v.Host)
	}
	return 0
}

const fallbackHelp = `Towline runs your apps: push to deploy, add databases, scale, roll back.

usage: towline [--host [USER@]HOST[:PORT]] [--remote NAME] COMMAND [-a APP] [ARGUMENTS]

No host is known here, so its commands can't be listed. Name it once in a checkout:

  towline git:remote -a shop --host apps.example.com

or each time, or for good:

  towline --host apps.example.com help
  export TOWLINE_HOST=apps.example.com

On the host itself, be root, and see that the daemon runs: systemctl status towlined

`

// clientHelp is what this program does by itself.
const clientHelp = `=== On your own machine
  git:remote                 add the git remote to the checkout, which tells host and app
  completion bash|zsh|fish   print a script that completes commands, names and flags
  version                    show this program's version, and the server's
  host:restore FILE          bring this machine up from a host:backup, as root on it
  --host [USER@]HOST[:PORT]  the host, where no git remote tells or another is meant
  -r, --remote NAME          the git remote that is meant, where there are several

  TOWLINE_HOST               the host, where no git remote tells
  TOWLINE_APP                the app, where neither -a nor a git remote tells
  TOWLINE_SSH                ssh and options for it, like "ssh -i key"
  NO_COLOR                   no colours
`

const gitRemoteHelp = `usage: towline git:remote -a APP [--host [USER@]HOST[:PORT]] [-r|--remote NAME]

Add the git remote of an app to the checkout, or correct it. Its name is towline, or
NAME. From then on towline knows the host and the app here.

  towline git:remote -a shop --host apps.example.com
  git push towline main
`

const completionHelp = `usage: towline completion bash|zsh|fish

Print a script that completes commands, flags, and the names of apps, add-ons, backups
and so on, by what the server lists.

  eval "$(towline completion bash)"       # in ~/.bashrc; zsh in the same way
  towline completion fish | source
`

const hostRestoreHelp = `usage: towline host:restore [--identity FILE | --passphrase-file FILE] [--replace] FILE

Bring this machine up from what host:backup wrote, under the same names, and say how old
the data is. It is typed as root on the machine, whose daemon is stopped. FILE may be -,
the standard input, or offsite, the newest at the server under [offsite] in towline.toml. With --replace the machine may have apps: they are set aside.

  systemctl stop towlined.socket towlined
  towline host:restore --identity towline.key towline.age
  systemctl restart towline-proxy towlined.socket towlined
`
