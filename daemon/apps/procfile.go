package apps

import (
	"strings"

	"towline/daemon"
)

// ParseProcfile reads process types from a Procfile: lines of "type: command".
// Blank lines and lines that begin with # are skipped. Unlike Heroku, which skips
// any line it can't read, a line that is no process is an error: a worker that
// silently does not exist is found too late.
// See https://devcenter.heroku.com/articles/procfile.
func ParseProcfile(text string) (map[string]string, error) {
	types := map[string]string{}
	for i, line := range strings.Split(text, "\n") {
		line = strings.TrimSpace(strings.TrimPrefix(line, "\ufeff"))
		if line == "" || strings.HasPrefix(line, "#") {
			continue
		}
		name, command, found := strings.Cut(line, ":")
		name, command = strings.TrimSpace(name), strings.TrimSpace(command)
		switch {
		case !found:
			return nil, daemon.Errorf(daemon.Invalid, "Procfile line %d has no colon: %q", i+1, daemon.Clip(line)).
				WithHint("write it as \"type: command\", like \"web: bundle exec puma\"")
		case !daemon.ProcessType.MatchString(name) || len(name) > 30:
			return nil, daemon.Errorf(daemon.Invalid, "Procfile line %d: %q is not a process type", i+1, daemon.Clip(name)).
				WithHint("use letters, digits, dashes and underscores, at most 30")
		case command == "":
			return nil, daemon.Errorf(daemon.Invalid, "Procfile line %d: %s has no command", i+1, name).
				WithHint("write the command after the colon")
		case types[name] != "":
			return nil, daemon.Errorf(daemon.Invalid, "Procfile line %d: %s is there twice", i+1, name).
				WithHint("remove one of the two lines")
		}
		if err := checkCommand(command); err != nil {
			return nil, daemon.Errorf(daemon.Invalid, "Procfile line %d: %w", i+1, err)
		}
		if types[name] = command; len(types) > daemon.MaxProcessTypes {
			return nil, daemon.Errorf(daemon.Invalid, "Procfile line %d: an app has at most %d process types", i+1, daemon.MaxProcessTypes)
		}
	}
	if len(types) == 0 {
		return nil, daemon.Errorf(daemon.Invalid, "the Procfile defines no process").
			WithHint("add a line like \"web: bundle exec puma -p $PORT\"")
	}
	return types, nil
}

// checkCommand refuses a command that is nothing but blanks, or that no process can be
// started with.
func checkCommand(command string) error {
	if strings.TrimSpace(command) == "" {
		return daemon.Errorf(daemon.Invalid, "there is no command to run")
	}
	if strings.ContainsRune(command, 0) {
		return daemon.Errorf(daemon.Invalid, "a command can't hold a NUL byte")
	}
	return nil
}

// shellCommand is how a Procfile command is started by a plain shell in an image
// that has no launcher. A simple command replaces the shell, so that it gets the
// signals; one with operators or leading assignments is left to the shell.
func shellCommand(command string) []string {
	first := ""
	if words := strings.Fields(command); len(words) > 0 {
		first = words[0]
	}
	simple := first != "" && !strings.ContainsAny(command, ";&|\n") && !strings.ContainsAny(first, "=({")
	switch first {
	case "exec", "cd", "export", "set", "source", ".", "if", "for", "while", "until", "case", "!", "eval", "trap", "time",
		"exit", "umask", "ulimit", "unset", "read", "shift", "wait", "command", "type", ":", "alias", "readonly":
		simple = false // what the shell itself does
	}
	if simple {
		command = "exec " + command
	}
	return []string{"/bin/sh", "-c", command}
}

// startedBy is how a command is started in an image that has no launcher: handed to
// the image's entry point, if that takes one, else by a shell. Words that need no
// shell are handed over as they are, for an entry point like ["python"]; one that
// ends in exec "$@" takes a shell's line as well, which what the shell itself does needs.
func startedBy(entrypoint []string, command string) (first, args []string) {
	line := shellCommand(command)
	switch {
	case len(entrypoint) == 0, isShellForm(entrypoint):
		return line[:1], line[1:]
	case line[2] != command && !strings.ContainsAny(command, "\"'\\$`;&|<>()*?[]#~!{}=\n"):
		return entrypoint, strings.Fields(command)
	}
	return entrypoint, line
}

// isShellForm tells an ENTRYPOINT that was written as a line for a shell: nothing
// can be handed to it.
func isShellForm(entrypoint []string) bool {
	return len(entrypoint) == 3 && entrypoint[1] == "-c"
}

// processes joins what the Procfile says with what the build itself defines: that is all if
// there is no Procfile, and else its web process, for a Procfile without one, as on Heroku. A
// Dockerfile's command that the Procfile has under another name is not meant for visitors.
// A build that brings types of its own, those of a heroku.yml, has them in the Procfile's place.
func processes(procfile map[string]string, built daemon.BuildResult) map[string]daemon.Process {
	if built.Types != nil {
		procfile = built.Types
	}
	out := map[string]daemon.Process{}
	for name, command := range built.Processes {
		if built.Types == nil && procfile != nil && (name != "web" || has(procfile, command)) {
			continue
		}
		p := daemon.Process{Command: command}
		if built.Launcher != nil {
			p.Entrypoint, p.Args = built.Launcher, []string{command}
		}
		out[name] = p
	}
	for name, command := range procfile {
		if built.Launcher != nil {
			out[name] = daemon.Process{Command: command, Entrypoint: built.Launcher, Args: []string{command}}
		} else {
			p := daemon.Process{Command: command}
			p.Entrypoint, p.Args = startedBy(built.Image.Entrypoint, command)
			out[name] = p
		}
	}
	return out
}

// has tells whether a process of the Procfile has that command.
func has(procfile map[string]string, command string) bool {
	for _, c := range procfile {
		if strings.Join(strings.Fields(c), " ") == strings.Join(strings.Fields(command), " ") {
			return true
		}
	}
	return false
}
