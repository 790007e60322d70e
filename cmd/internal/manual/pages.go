package main

import (
	"strings"

	"towline/daemon/command"
)

// manual writes the pages of one version.
type manual struct{ version, date string }

func (m manual) client() string {
	p := m.page("towline", 1, "a private Heroku on one machine")
	p.head("SYNOPSIS")
	p.text("towline [--host HOST | --remote REMOTE] [-a APP] COMMAND [ARGUMENT ...]")
	p.text("ssh towline@HOST COMMAND [ARGUMENT ...]")
	p.head("DESCRIPTION")
	p.text(
		"On the machine that Towline runs on, as root, towline talks to the daemon's socket. Anywhere else it finds the host and the app in the git remote of the checkout, and runs your own ssh.",
		"Nearly every command is the server's, and means the same by ssh without this program. towline help COMMAND explains one; --json prints the result of any command that has one as JSON.")
	p.head("OPTIONS")
	p.item("-a, --app APP", "The app that is meant. In a checkout it is that of the git remote.")
	p.item("-r, --remote REMOTE", "The git remote that names host and app.")
	p.item("--host [USER@]HOST[:PORT]", "The machine that Towline runs on.")
	p.item("--socket FILE", "The daemon's socket on this machine.")
	p.head("COMMANDS")
	p.text("A colon may be typed as a space: addons create is addons:create.")
	for _, topic := range command.Manual() {
		p.sub(strings.ToUpper(topic.Name[:1]) + topic.Name[1:])
		p.text(topic.About + ".")
		for _, e := range topic.Entries {
			p.item(e.Usage, e.Summary+".")
			if e.Flags != "" {
				p.verbatim(e.Flags)
			}
			if e.Help != "" {
				p.verbatim(e.Help)
			}
		}
	}
	p.sub("This program's own")
	p.item("completion bash|zsh|fish", "Print what completes towline in that shell. The package has installed it.")
	p.item("git:remote -a APP [--host HOST]", "Name the app as a git remote of this checkout.")
	p.head("ENVIRONMENT")
	p.item("TOWLINE_APP, TOWLINE_HOST, TOWLINE_SOCKET", "What -a, --host and --socket say otherwise.")
	p.head("EXIT STATUS")
	p.text("0: done. 1: failed. 2: the words make no sense. 3: not found. 4: not allowed. 5: exists already. 6: in conflict with something else. 7: what is needed does not answer. run and ps:exec end as the app's command ended.")
	p.seeAlso("towlined(8)", "towline.toml(5)", "ssh(1)", "git(1)")
	return p.String()
}

func (m manual) daemon() string {
	p := m.page("towlined", 8, "Towline's daemon")
	p.head("SYNOPSIS")
	p.text("towlined [--config FILE] [--check | --version]")
	p.text("towlined [--config FILE] setup | welcome | check-state | halt")
	p.text("towlined [--config FILE] [--json] doctor")
	p.text("towlined [--config FILE] restore [--identity FILE | --passphrase-file FILE] [--replace] BACKUP")
	p.head("DESCRIPTION")
	p.text(
		"towlined keeps Towline's state, builds what is pushed, and looks after containers, add-ons and backups, by Podman's socket. systemd starts it as towlined.service; commands wait in towlined.socket while it is restarted.",
		"It may be restarted or killed at any time: what was under way is finished or undone at its next start, and no app notices.")
	p.head("OPTIONS")
	p.item("--config FILE", "The configuration, by default /etc/towline/towline.toml.")
	p.item("--check", "Say whether the configuration is valid, or which line is wrong and what would be right, and exit.")
	p.item("--version", "Show the version and exit.")
	p.head("COMMANDS")
	p.text("The package runs these; each may be run again at any time.")
	p.item("setup", "Make what is missing of the configuration, the key that seals secrets, and what sshd must know of the user towline. It warns of what it cannot do, and exits 0.")
	p.item("welcome", "Make the first administrator of the key of whoever installs this, and say what to type next.")
	p.item("doctor", "Look this machine over and say what to type, though the daemon is down. It exits with 1 if a check fails.")
	p.item("restore BACKUP", "Bring this machine, which has no apps, up from a backup of a whole machine, while the daemon is stopped: see towline help host:backup. With --replace it may have some: they are set aside.")
	p.item("check-state", "Say whether this version can take over the state as it is: its migrations are tried on a copy.")
	p.item("halt", "Stop the containers of all apps and add-ons, and take back what setup told sshd. The daemon's next start brings them up again.")
	files(p)
	p.head("LOGS")
	p.text("journalctl -u towlined shows its log; APP=shop or ADDON=redis-shop behind it what is about one app or add-on.")
	p.seeAlso("towline(1)", "towline-proxy(8)", "towline.toml(5)", "podman(1)")
	return p.String()
}

func (m manual) proxy() string {
	p := m.page("towline-proxy", 8, "Towline's proxy")
	p.head("SYNOPSIS")
	p.text("towline-proxy [--config FILE] [--check | --reload | --version]")
	p.head("DESCRIPTION")
	p.text(
		"towline-proxy ends TLS for every app, and hands each request to one of the app's processes. It keeps its own routes and certificates, and serves on while towlined is down.",
		"systemd holds its ports by towline-proxy-http.socket and towline-proxy-https.socket: to have others, systemctl edit these.")
	p.head("OPTIONS")
	p.item("--config FILE", "The configuration, by default /etc/towline/towline.toml.")
	p.item("--check", "Say whether the configuration is valid and exit.")
	p.item("--reload", "Have the proxy that runs hand its ports to a new process of the installed program, and wait until that serves. No request is lost, and no WebSocket cut before proxy.drain.")
	p.item("--version", "Show the version and exit.")
	p.head("SIGNALS")
	p.item("SIGTERM, SIGINT", "Finish what is under way, for 30 seconds at most, and end; a second one ends at once.")
	p.item("SIGUSR2", "As --reload.")
	p.head("FILES")
	p.item("/var/lib/towline-proxy", "Routes, certificates and the local authority's key.")
	p.item("/var/log/towline-proxy", "The access log of each app.")
	p.seeAlso("towlined(8)", "towline.toml(5)", "systemd.socket(5)")
	return p.String()
}

func (m manual) shell() string {
	p := m.page("towline-shell", 8, "what sshd runs for the user towline")
	p.head("SYNOPSIS")
	p.text("towline-shell --member NAME [--key FINGERPRINT] [--socket FILE] [--repositories DIR] [--hooks DIR] [--max-push SIZE] [--max-memory SIZE]")
	p.head("DESCRIPTION")
	p.text(
		"towline-shell is the forced command of every key in /var/lib/towline/ssh/authorized_keys, which towlined writes. It says who is calling and what they asked, to the daemon or to git. It never starts a shell.",
		"It is the login shell of the user towline too, so that a key without a forced command reaches nothing. Called as pre-receive it is the hook that hands a push to the daemon.")
	p.head("OPTIONS")
	p.item("--member NAME", "Whose key it is.")
	p.item("--key FINGERPRINT", "Which of theirs.")
	p.item("--socket FILE", "The daemon's socket.")
	p.item("--repositories DIR, --hooks DIR", "Where the repositories and their hook are.")
	p.item("--max-push SIZE, --max-memory SIZE", "What a push may send, and what git may use for it.")
	p.seeAlso("towline(1)", "towlined(8)", "sshd(8)")
	return p.String()
}

func (m manual) config(sections []section) string {
	p := m.page("towline.toml", 5, "the configuration of Towline")
	p.head("DESCRIPTION")
	p.text(
		"/etc/towline/towline.toml configures towlined and towline-proxy. It is TOML; every key has a default, and an empty file is valid. A key that is unknown is an error: towlined --check names file, line and what is wrong.",
		"/usr/share/doc/towline/examples/towline.toml has every key with its default. The package never changes the file once it is there. It may hold credentials, and is readable by root and towline-proxy alone.",
		"After a change: systemctl restart towlined; systemctl reload towline-proxy. No request is lost by either.")
	for _, s := range sections {
		title := "KEYS"
		if s.name != "" {
			title = "[" + s.name + "]"
		}
		p.head(title)
		p.text(s.about)
		for _, k := range s.keys {
			about := k.about
			if k.isTable {
				p.item("["+strings.TrimPrefix(s.name+".", ".")+k.name+"]", about)
				continue
			}
			p.item(k.name+" = "+k.fallback, about)
		}
	}
	p.seeAlso("towlined(8)", "towline-proxy(8)")
	return p.String()
}

func files(p *page) {
	p.head("FILES")
	p.item("/etc/towline/towline.toml", "The configuration; see towline.toml(5).")
	p.item("/etc/towline/addons, /usr/share/towline/addons", "Manifests of add-ons: yours, and those of the package.")
	p.item("/etc/ssh/sshd_config.d/towline.conf", "What sshd must know of the user towline; written by towlined setup.")
	p.item("/var/lib/towline", "The state: database, sealing key, repositories, backups, logs.")
	p.item("/run/towline/towlined.sock", "The daemon's socket.")
}
