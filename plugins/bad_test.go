package plugins_test

import (
	"fmt"
	"os"
	"path/filepath"
	"strings"
	"testing"

	"golang.org/x/sys/unix"

	"towline/plugins"
)

// good is a small manifest in which each bad one differs by one place.
const good = `name = "demo"
title = "A demo"
default_version = "1"
default_plan = "small"
command = ["demo", "--user={{.Secret.user}}"]

[[versions]]
name = "1"
image = "example.org/demo:1.0"
env = { DEMO_HEAP = "{{.Setting.heap}}" }

[[plans]]
name = "small"
memory = "64m"
settings = { heap = "32m" }

[[volumes]]
name = "data"
path = "/data"

[[ports]]
name = "main"
port = 4000

[[secrets]]
name = "password"

[[secrets]]
name = "user"
first = "demo"

[[certificates]]
name = "tls"

[[files]]
path = "/etc/demo.conf"
mode = "0440"
content = """
port = {{.Port.main}}
password = {{.Secret.password}}
"""

[env]
DEMO_MB = "{{.MemoryMB}}"

[probe]
command = ["demo", "ping"]
interval = "20ms"
deadline = "5s"

[[vars]]
name = "DEMO_URL"
suffix = "URL"
value = "demo://{{.Secret.user}}:{{.Secret.password}}@{{.Host}}:{{.Port.main}}"

[rotate]
command = ["demo", "passwd"]
env = { OLD = "{{.Old.password}}", NEW = "{{.New.password}}" }

[web]
port = "main"
path = "/"
`

// doubling makes a text of 2^40 bytes out of forty actions.
var doubling = `{{$x := \"a\"}}` + strings.Repeat(`{{$x = print $x $x}}`, 40)

var manyFiles, manyPorts = func() (files, ports string) {
	for i := range 60 {
		files += fmt.Sprintf("[[files]]\npath = \"/etc/f%d\"\ncontent = '%s'\n", i, strings.Repeat(`{{printf "%999d" 1}}`, 50))
		ports += fmt.Sprintf("[[ports]]\nname = \"p%d\"\nport = %d\n", i, 5000+i)
	}
	return files, ports
}()

// TestLinkedManifest: a manifest is a file, and none that is elsewhere.
func TestLinkedManifest(t *testing.T) {
	for name, make := range map[string]func(path string) error{
		"link":   func(path string) error { return os.Symlink("/etc/shadow", path) },
		"pipe":   func(path string) error { return unix.Mkfifo(path, 0o600) },
		"folder": func(path string) error { return os.Mkdir(path, 0o755) },
		"device": func(path string) error { return os.Symlink("/dev/zero", path) },
	} {
		path := filepath.Join(t.TempDir(), plugins.FileName)
		if err := make(path); err != nil {
			t.Fatal(err)
		}
		if _, err := plugins.LoadFile(path); err == nil || strings.Contains(err.Error(), "root") || !strings.Contains(err.Error(), "must be a file") {
			t.Errorf("%s: %v", name, err)
		}
	}
}

func write(t *testing.T, text string) string {
	t.Helper()
	dir := filepath.Join(t.TempDir(), "demo")
	path := filepath.Join(dir, plugins.FileName)
	if err := os.MkdirAll(dir, 0o755); err != nil {
		t.Fatal(err)
	}
	if err := os.WriteFile(path, []byte(text), 0o644); err != nil {
		t.Fatal(err)
	}
	return path
}

func TestBadManifests(t *testing.T) {
	for _, tt := range []struct {
		name, old, new string // one place of good
		want           string // LINE: message
	}{
		{"no TOML", `title = "A demo"`, `title = "A demo`, `2: `},
		{"a type", `port = 4000`, `port = "4000"`, `23: ports.port: incompatible types`},
		{"a key twice", `title = "A demo"`, "title = \"A demo\"\ntitle = \"B\"", `3: `},
		{"a duration", `"20ms"`, `"20 sheep"`, `48: time: unknown unit`},
		{"unknown key", `title = "A demo"`, "title = \"A demo\"\ncolour = \"red\"", `3: unknown key "colour"`},
		{"unknown key of a table", `port = 4000`, "port = 4000\npath = \"/x\"", `24: unknown key "ports.path"`},
		{"unknown table", `[web]`, "[sockets]\na = 1\n[web]", `60: unknown key "sockets"`},
		{"unknown key inside a value", `env = { OLD`, `env_ = { OLD`, `58: unknown key "rotate.env_"`},
		{"name", `name = "demo"`, `name = "Demo"`, `1: name "Demo": use lower-case letters, digits and dashes`},
		{"no name", `name = "demo"`, ``, `1: name "": use lower-case`},
		{"no title", `title = "A demo"`, `title = ""`, `2: title is missing`},
		{"default version", `default_version = "1"`, `default_version = "9"`, `3: default_version "9" is none of the versions`},
		{"default plan", `default_plan = "small"`, `default_plan = "big"`, `4: default_plan "big" is none of the plans`},
		{"version name", `name = "1"`, `name = "V 1"`, `8: version "V 1" is not a name`},
		{"version twice", `[[plans]]`, "[[versions]]\nname = \"1\"\nimage = \"x:1\"\n[[plans]]", `version "1" is there twice`},
		{"image that is a flag", `example.org/demo:1.0`, `--privileged:7`, `9: image "--privileged:7" is not the name of an image`},
		{"image with a transport", `example.org/demo:1.0`, `dir:///etc:1`, `image "dir:///etc:1" is not the name of an image`},
		{"image with a line break", `example.org/demo:1.0`, `demo\u0000:1`, `is not the name of an image`},
		{"user that is a flag", `title = "A demo"`, "title = \"A demo\"\nuser = \"--root\"", `3: user "--root" is not a user or user:group`},
		{"user that is too large", `title = "A demo"`, "title = \"A demo\"\nuser = \"99999999999\"", `is not a user or user:group`},
		{"title of two lines", `title = "A demo"`, `title = "A\ndemo"`, `title must be one line`},
		{"kernel's files", `path = "/data"`, `path = "/proc"`, `volume data: path "/proc" is not`},
		{"below the kernel's files", `path = "/data"`, `path = "/sys/fs/cgroup"`, `path "/sys/fs/cgroup" is not`},
		{"devices", `path = "/data"`, `path = "/dev/shm"`, `path "/dev/shm" is not`},
		{"name server's file", `"/etc/demo.conf"`, `"/etc/resolv.conf"`, `file path "/etc/resolv.conf" is not`},
		{"options of a mount", `path = "/data"`, `path = "/data:rw,exec"`, `path "/data:rw,exec" is not`},
		{"blank in a path", `path = "/data"`, `path = "/da ta"`, `path "/da ta" is not`},
		{"negative user", `mode = "0440"`, "mode = \"0440\"\nuid = -1", `uid -1 and gid 0 must be from 0`},
		{"negative group", `mode = "0440"`, "mode = \"0440\"\ngid = -1", `uid 0 and gid -1 must be from 0`},
		{"user beyond all", `mode = "0440"`, "mode = \"0440\"\nuid = 4294967295", `uid 4294967295`},
		{"cpu that is no number", `memory = "64m"`, "memory = \"64m\"\ncpu = nan", `cpu is not a number of processors`},
		{"cpu without end", `memory = "64m"`, "memory = \"64m\"\ncpu = inf", `cpu is not a number of processors`},
		{"probe once a day", `deadline = "5s"`, `deadline = "24h"`, `deadline of more than an hour`},
		{"var of Towline's", `name = "DEMO_URL"`, `name = "PORT"`, `52: var PORT is not for add-ons`},
		{"var that the loader reads", `name = "DEMO_URL"`, `name = "LD_PRELOAD"`, `52: var LD_PRELOAD is not for add-ons`},
		{"var that Node runs", `name = "DEMO_URL"`, `name = "NODE_OPTIONS"`, `var NODE_OPTIONS is not for add-ons`},
		{"var with Towline's prefix", `name = "DEMO_URL"`, `name = "TOWLINE_APP"`, `var TOWLINE_APP is not for add-ons`},
		{"download's name", `[rotate]`, "[export]\ncommand = [\"x\"]\nfile = \"../../etc/passwd\"\n[rotate]", `file "../../etc/passwd" is not the name of a file`},
		{"loop", `port = {{.Port.main}}`, `{{range 100000000}}x{{end}}`, `template: range, define, block and template are not`},
		{"silent loop", `port = {{.Port.main}}`, `{{range 100000000}}{{end}}`, `range, define`},
		{"loop in a branch", `port = {{.Port.main}}`, `{{if true}}{{with 1}}{{else}}{{range 9}}{{end}}{{end}}{{end}}`, `range, define`},
		{"template that calls itself", `port = {{.Port.main}}`, `{{define \"x\"}}{{template \"x\"}}{{end}}{{template \"x\"}}`, `range, define`},
		{"block", `port = {{.Port.main}}`, `{{block \"x\" .}}{{end}}`, `range, define`},
		{"wide number", `port = {{.Port.main}}`, `{{printf \"%1000000d\" 1}}`, `it makes more than`},
		{"wide number by an argument", `port = {{.Port.main}}`, `{{printf \"%*d\" 1000000 1}}`, `it makes more than`},
		{"doubled text", `port = {{.Port.main}}`, doubling, `it makes more than`},
		{"many texts", `port = {{.Port.main}}`, strings.Repeat(`{{printf \"%999d\" 1}}`, 1500), `it makes more than`},
		{"many files", "[env]\nDEMO_MB", manyFiles + "[env]\nDEMO_MB", `all of them together make more than`},
		{"too large", `title = "A demo"`, "title = \"A demo\"\n# " + strings.Repeat("x", 300<<10), `1: the manifest is larger than 256 KB`},
		{"too many ports", "[[secrets]]\nname = \"password\"", manyPorts + "[[secrets]]\nname = \"password\"", `at most 50 are possible`},
		{"no image", `image = "example.org/demo:1.0"`, ``, `version 1 has no image`},
		{"image with a blank", `demo:1.0`, `demo :1.0`, `version 1 has no image`},
		{"image without tag", `demo:1.0`, `demo`, `9: image "example.org/demo" has no tag that says its version`},
		{"image latest", `demo:1.0`, `demo:latest`, `9: image "example.org/demo:latest" has no tag`},
		{"port but no tag", `example.org/demo:1.0`, `example.org:5000/demo`, `9: image "example.org:5000/demo" has no tag`},
		{"upgrade to nowhere", `[env]`, "[upgrades]\n1 = [\"2\"]\n[env]", `upgrades: there is no version "2"`},
		{"plan name", `name = "small"`, `name = "S"`, `13: plan "S" is not a name`},
		{"plan twice", `[[volumes]]`, "[[plans]]\nname = \"small\"\nmemory = \"1g\"\n[[volumes]]", `13: plan "small" is there twice`},
		{"memory", `memory = "64m"`, `memory = "lots"`, `14: plan small: memory "lots" is not a size like 512m`},
		{"no memory", `memory = "64m"`, `memory = "0m"`, `14: plan small: memory "0m"`},
		{"cpu", `memory = "64m"`, "memory = \"64m\"\ncpu = -1.0", `15: plan small: cpu is negative`},
		{"volume name", `name = "data"`, `name = "Data"`, `18: volume "Data" is not a name`},
		{"volume path", `path = "/data"`, `path = "data"`, `18: volume data: path "data" is not absolute and clean`},
		{"volume path climbs", `path = "/data"`, `path = "/data/../etc"`, `19: volume data: path "/data/../etc" is not`},
		{"volume twice", `[[ports]]`, "[[volumes]]\nname = \"data\"\npath = \"/x\"\n[[ports]]", `18: volume "data" is there twice`},
		{"port", `port = 4000`, `port = 70000`, `22: port "main" 70000 is not a name and a port`},
		{"secret too short", `name = "password"`, "name = \"password\"\nbits = 64", `26: secret password: 64 bits; use 128 to 1024`},
		{"secret name", `name = "password"`, `name = "pass word"`, `26: secret "pass word" is not a name`},
		{"secret twice", `name = "user"`, `name = "password"`, `26: secret "password" is there twice`},
		{"secret first", `first = "demo"`, `first = "a b"`, `30: secret user: first "a b": use letters, digits, dashes and underscores`},
		{"certificate name", `name = "tls"`, `name = "TLS"`, `33: certificate "TLS" is not a name`},
		{"file path", `"/etc/demo.conf"`, `"etc/demo.conf"`, `36: file path "etc/demo.conf" is not absolute and clean`},
		{"file mode", `"0440"`, `"0999"`, `37: file /etc/demo.conf: mode "0999" is not octal`},
		{"file setuid", `"0440"`, `"4755"`, `37: file /etc/demo.conf: mode "4755" is not octal`},
		{"blank command", `command = ["demo", "ping"]`, `command = [" "]`, `probe: command begins with a blank word`},
		{"no probe", `command = ["demo", "ping"]`, ``, `46: probe has no command, tcp or http`},
		{"two probes", `interval = "20ms"`, `tcp = "main"`, `46: probe: give one of command, tcp and http`},
		{"probe of no port", `command = ["demo", "ping"]`, `tcp = "other"`, `47: probe: there is no port "other"`},
		{"page of no port", `command = ["demo", "ping"]`, `http = { port = "other" }`, `47: probe: there is no port "other"`},
		{"page without a path", `command = ["demo", "ping"]`, `http = { port = "main", path = "x" }`, `47: probe: path "x" does not begin with /`},
		{"page without a status", `command = ["demo", "ping"]`, `http = { port = "main", status = 99 }`, `47: probe: 99 is no status`},
		{"unknown key of a page", `command = ["demo", "ping"]`, `http = { port = "main", host = "x" }`, `47: unknown key "probe.http.host"`},
		{"environment of a port", `command = ["demo", "ping"]`, "tcp = \"main\"\nenv = { A = \"b\" }", `46: probe: env is for a command`},
		{"log hint's expression", `[web]`, "[[log_hints]]\nmatch = \"a(\"\nsay = \"x\"\n[web]", `61: log_hints: error parsing regexp`},
		{"log hint without words", `[web]`, "[[log_hints]]\nmatch = \"a\"\n[web]", `60: log_hints: match and say must both be there`},
		{"probe backwards", `"20ms"`, `"-20ms"`, `46: probe times must be positive`},
		{"var name", `name = "DEMO_URL"`, `name = "demo_url"`, `52: var "demo_url": use capital letters`},
		{"var suffix", `suffix = "URL"`, `suffix = "_URL"`, `52: var DEMO_URL: suffix "_URL"`},
		{"var twice", `[rotate]`, "[[vars]]\nname = \"DEMO_URL\"\nsuffix = \"X\"\nvalue = \"x\"\n[rotate]", `52: var DEMO_URL or its suffix is there twice`},
		{"var without value", `value = "demo://{{.Secret.user}}:{{.Secret.password}}@{{.Host}}:{{.Port.main}}"`, ``, `52: var DEMO_URL has no value`},
		{"web port", "[web]\nport = \"main\"", "[web]\nport = \"other\"", `60: web: there is no port "other"`},
		{"web socket's port", "[web]\nport = \"main\"", "[web]\nport = \"main\"\nwebsocket = \"other\"", `60: web: there is no port "other"`},
		{"volume over the image", `path = "/data"`, `path = "/"`, `19: volume data: path "/" is not`},
		{"file over a volume", `"/etc/demo.conf"`, `"/data"`, `mount "/data" is there twice`},
		{"environment variable", `DEMO_MB = `, `"DEMO MB" = `, `44: environment variable "DEMO MB": use letters`},
		{"environment variable of an action", `{ OLD = `, `{ "O=D" = `, `58: environment variable "O=D": use letters`},
		{"template of an entry point", `command = ["demo", "--user`, `entrypoint = ["{{.Nope}}"]` + "\n" + `command = ["demo", "--user`, `5: template: <.Nope>: can't evaluate`},
		{"secret on a command line, by a detour", `{{.Secret.user}}"]`, `{{index .Secret \"password\"}}"]`, `5: command has the secret "password" in it`},
		{"secret on the line of an action, by a detour", `["demo", "passwd"]`, `["demo", "{{with .New}}{{.password}}{{end}}"]`, `57: command has the secret "password" in it`},
		{"template syntax", `{{.Host}}`, `{{.Host`, `54: template: `},
		{"template of no field", `{{.Host}}`, `{{.Hots}}`, `54: template: <.Hots>: can't evaluate field Hots`},
		{"template of no secret", `password = {{.Secret.password}}`, `password = {{.Secret.passwd}}`, `40: template: <.Secret.passwd>: map has no entry for key "passwd"`},
		{"template of no setting", `{{.Setting.heap}}`, `{{.Setting.stack}}`, `10: template: <.Setting.stack>: map has no entry`},
		{"template of no port", `{{.Port.main}}`, `{{.Port.http}}`, `39: template: <.Port.http>: map has no entry`},
		{"template of no old secret", `{{.Old.password}}`, `{{.Old.pass}}`, `58: template: <.Old.pass>: map has no entry`},
		{"secret on a command line", `"--user={{.Secret.user}}"`, `"--pw={{.Secret.password}}"`, `5: command has the secret "password" in it: put it into env or a file`},
		{"secret on the line of an action", `["demo", "passwd"]`, `["demo", "{{.New.password}}"]`, `57: rotate: command has the secret "password" in it: put it into env`},
	} {
		t.Run(tt.name, func(t *testing.T) {
			if strings.Count(good, tt.old) == 0 {
				t.Fatalf("%q is not in the good manifest", tt.old)
			}
			path := write(t, strings.Replace(good, tt.old, tt.new, 1))
			_, err := plugins.LoadFile(path)
			if err == nil {
				t.Fatal("it was accepted")
			}
			want := tt.want
			if strings.IndexByte("0123456789", want[0]) >= 0 && strings.Contains(want, ": ") {
				want = path + ":" + want
			}
			if !strings.Contains(err.Error(), want) {
				t.Errorf("got  %v\nwant %s", err, want)
			}
		})
	}
}

// TestManyFaults: all that is wrong is told at once.
func TestManyFaults(t *testing.T) {
	for _, tt := range []struct {
		spoil []string // old, new, ...
		lines []string
	}{
		{[]string{`"64m"`, `"lots"`, `demo:1.0`, `demo`, `4000`, `0`}, []string{":9: ", ":14: ", ":22: "}},
		{[]string{`.Setting.heap`, `.Setting.stack`, `.Secret.password}}\n`, `.Secret.pw}}\n`, `{{.Host}}`, `{{.Hots}}`}, []string{":10: ", ":54: "}},
	} {
		_, err := plugins.LoadFile(write(t, strings.NewReplacer(tt.spoil...).Replace(good)))
		if err == nil {
			t.Fatal("it was accepted")
		}
		for _, line := range tt.lines {
			if strings.Count(err.Error(), line) != 1 {
				t.Errorf("line %s is not told once in: %v", line, err)
			}
		}
	}
}
