package cause

import (
	"strings"
	"testing"
)

// TestOf has what programs of many languages write before they end, mostly as they do.
func TestOf(t *testing.T) {
	for name, c := range map[string]struct {
		output string
		says   string // the whole
		hint   string // a part of it; "": none
	}{
		"node, a missing package": {`node:internal/modules/cjs/loader:1143
  throw err;
  ^

Error: Cannot find module 'express'
Require stack:
- /app/index.js
    at Module._resolveFilename (node:internal/modules/cjs/loader:1140:15)
    at Module._load (node:internal/modules/cjs/loader:981:27)
    at Object.Module._extensions..js (node:internal/modules/cjs/loader:1310:10) {
  code: 'MODULE_NOT_FOUND',
  requireStack: [ '/app/index.js' ]
}

Node.js v20.11.0`, "the npm package express is missing", "npm install express"},
		"node, a missing file": {"Error: Cannot find module './Routes/users'\nRequire stack:\n- /app/index.js", "the file ./Routes/users is not in the image", "case counts"},
		"node, esm":            {"Error [ERR_MODULE_NOT_FOUND]: Cannot find package 'fastify' imported from /app/x.mjs\n    at x (node:internal)", "the npm package fastify is missing", "npm install fastify"},
		"node, a child process": {`node:events:497
      throw er; // Unhandled 'error' event
      ^

Error: spawn gs ENOENT
    at ChildProcess._handle.onexit (node:internal/child_process:286:19)
Emitted 'error' event on ChildProcess instance at:
    at ChildProcess._handle.onexit (node:internal/child_process:292:12) {
  errno: -2,
  code: 'ENOENT',
  syscall: 'spawn gs',
  path: 'gs',
  spawnargs: []
}

Node.js v20.11.0`, "Error: spawn gs ENOENT", ""},
		"node, thrown": {"/app/index.js:3\n  null.x\n       ^\n\nTypeError: Cannot read properties of null (reading 'x')\n    at Object.<anonymous> (/app/index.js:3:8)\n    at Module._compile (node:internal/modules/cjs/loader:1358:14)\n\nNode.js v20",
			"TypeError: Cannot read properties of null (reading 'x')", ""},
		"node, no database":        {"Error: connect ECONNREFUSED 127.0.0.1:5432\n    at TCPConnectWrap.afterConnect [as oncomplete] (node:net:1595:16) {\n  errno: -111\n}", "it looks for PostgreSQL in its own container, where there is none", "addons:create postgres"},
		"prisma, no var":           {"Error: Prisma schema validation - (get-config wasm)\nerror: Environment variable not found: DATABASE_URL.\n  -->  schema.prisma:7", "the config var DATABASE_URL is not set", "addons:create postgres"},
		"node, a var":              {"Error: Missing required environment variable: STRIPE_SECRET_KEY\n    at x", "the config var STRIPE_SECRET_KEY is not set", "config:set STRIPE_SECRET_KEY="},
		"a var, said otherwise":    {"FATAL: SESSION_SECRET must be set\n", "the config var SESSION_SECRET is not set", "config:set SESSION_SECRET="},
		"a var, busybox":           {"/bin/sh: STRIPE_KEY: must be set\n", "the config var STRIPE_KEY is not set", "config:set STRIPE_KEY="},
		"a var, dash":              {"/app/start.sh: 3: STRIPE_KEY: parameter not set\n", "the config var STRIPE_KEY is not set", "config:set STRIPE_KEY="},
		"a var, bash":              {"./start.sh: line 3: STRIPE_KEY: unbound variable\n", "the config var STRIPE_KEY is not set", "config:set STRIPE_KEY="},
		"no var, node":             {"Error: ENOENT: no such file or directory, open '/app/missing.json'", "Error: ENOENT: no such file or directory, open '/app/missing.json'", ""},
		"a command, a script":      {"./start.sh: line 3: gunicorn: command not found\n", "command not found: gunicorn", "requirements.txt"},
		"a command, dash's script": {"/app/start.sh: 3: exec: SERVE: not found\n", "command not found: SERVE", "in the image"},
		"a var, in Go":             {"2026/11/30 10:00:00 API_TOKEN is not set\n", "the config var API_TOKEN is not set", "config:set API_TOKEN="},
		"a port as it is written":  {"httpd: bad address '$PORT'", "$PORT stands in its command as it is written, as no shell has put the number there", "CMD as a line"},
		"a port, uvicorn":          {"Usage: uvicorn [OPTIONS] APP\nTry 'uvicorn --help' for help.\n\nError: Invalid value for '--port': '$PORT' is not a valid integer.", "$PORT stands in its command as it is written, as no shell has put the number there", "Procfile"},
		"a port, gunicorn":         {"Error: '${PORT:-8000}' is not a valid port number.", "$PORT stands in its command as it is written, as no shell has put the number there", "Procfile"},
		"a port that is said":      {"listening on $PORT\nout of luck", "out of luck", ""},
		"python, a missing module": {"Traceback (most recent call last):\n  File \"/app/app.py\", line 1, in <module>\n    from flask import Flask\nModuleNotFoundError: No module named 'flask'", "the Python module flask is missing", "requirements.txt"},
		"python, thrown":           {"Traceback (most recent call last):\n  File \"x\", line 1, in y\n    raise E\nValueError: bad\n\nDuring handling of the above exception, another exception occurred:\n\nTraceback (most recent call last):\n  File \"x\"\nmyapp.errors.Broken: no error here\n[2026] [INFO] Worker exiting", "myapp.errors.Broken: no error here", ""},
		"python, a var":            {"Traceback (most recent call last):\n  File \"/app/x.py\", line 3, in <module>\n    KEY = os.environ['SECRET_KEY']\n  File \"<frozen os>\", line 685, in __getitem__\nKeyError: 'SECRET_KEY'", "the config var SECRET_KEY is not set", "config:set SECRET_KEY="},
		"python, another key":      {"Traceback (most recent call last):\n  File \"/app/x.py\", line 3\nKeyError: 'colour'", "KeyError: 'colour'", ""},
		"ruby, thrown":             {"/app/config.ru:3:in `block in <main>': undefined method `x' for nil:NilClass (NoMethodError)\n\tfrom /gems/rack/builder.rb:116:in `eval'\n\tfrom /app/x:1:in `error'", "/app/config.ru:3:in `block in <main>': undefined method `x' for nil:NilClass (NoMethodError)", ""},
		"ruby, a missing gem":      {"<internal:/usr/lib/ruby/rubygems/core_ext/kernel_require.rb>:85:in `require': cannot load such file -- sinatra (LoadError)\n\tfrom app.rb:1", "the Ruby library sinatra is missing", "Gemfile"},
		"rails, no secret":         {"ArgumentError: Missing `secret_key_base` for 'production' environment, set this string with `bin/rails credentials:edit`", "the config var SECRET_KEY_BASE is not set", "config:set SECRET_KEY_BASE="},
		"java":                     {"Exception in thread \"main\" org.springframework.BeanCreationException: Error creating bean\n\tat org.x.Y(Z.java:1)\nCaused by: java.lang.IllegalStateException: no url given\n\tat a.b\n\t... 7 more", "java.lang.IllegalStateException: no url given", ""},
		"go, a panic":              {"panic: runtime error: index out of range [3] with length 3\n\ngoroutine 1 [running]:\nmain.main()\n\t/app/main.go:5 +0x1d\nexit status 2", "panic: runtime error: index out of range [3] with length 3", ""},
		"go, compiling":            {"# example.com/app\n./main.go:5:2: undefined: foo\n./main.go:9:2: too many errors", "./main.go:5:2: undefined: foo", ""},
		"rust":                     {"thread 'main' panicked at src/main.rs:2:5:\nno config\nnote: run with `RUST_BACKTRACE=1`", "thread 'main' panicked at src/main.rs:2:5:", ""},
		"php":                      {"PHP Fatal error:  Uncaught Error: Class \"Slim\\Factory\" not found in /app/index.php:3\nStack trace:\n#0 {main}\n  thrown in /app/index.php on line 3", "Slim\\Factory is missing", "composer.json"},
		"typescript":               {"> tsc\n\nsrc/a.ts(3,7): error TS2322: Type 'string' is not assignable to type 'number'.\nsrc/b.ts(1,1): error TS1005: ';' expected.\nnpm ERR! code ELIFECYCLE", "src/a.ts(3,7): error TS2322: Type 'string' is not assignable to type 'number'.", ""},
		"a command, dash":          {"sh: 1: gunicorn: not found", "command not found: gunicorn", "requirements.txt"},
		"a command, bash":          {"bash: line 1: next: command not found", "command not found: next", "devDependencies"},
		"a command, busybox":       {"/bin/sh: exec: line 0: puma: not found", "command not found: puma", "Gemfile"},
		"a command, the runtime":   {"crun: executable file `node` not found in $PATH: No such file or directory: OCI runtime attempted to invoke a command that was not found", "command not found: node", "package.json"},
		"a command, runc":          {`runc: runc create failed: unable to start container process: exec: "./run.sh": stat ./run.sh: no such file or directory`, "command not found: ./run.sh", "case counts"},
		"a whole command as one":   {`runc: runc create failed: unable to start container process: exec: "bun start": executable file not found in $PATH`, `there is no program that is called "bun start", with the blank in it`, "CMD bun start"},
		"a whole command, crun":    {"crun: executable file `npm start` not found in $PATH: No such file or directory", `there is no program that is called "npm start", with the blank in it`, "an item of its own"},
		"a command of its own":     {"/bin/sh: 1: bin/serve: not found", "command not found: bin/serve", "case counts"},
		"not executable":           {"/bin/sh: 1: ./start.sh: Permission denied", "start.sh may not be executed", "chmod=+x start.sh"},
		"not executable, busybox":  {"/bin/sh: exec: line 0: ./start.sh: Permission denied", "start.sh may not be executed", "chmod=+x start.sh"},
		"a var, decouple":          {"Traceback (most recent call last):\n  File \"/app/x.py\", line 1\ndecouple.UndefinedValueError: SECRET_KEY not found. Declare it as envvar or define a default value.", "the config var SECRET_KEY is not set", "config:set SECRET_KEY="},
		"a var, envconfig":         {"2026/11/30 10:00:00 required key DATABASE_URL missing value", "the config var DATABASE_URL is not set", "addons:create postgres"},
		"a var, Spring":            {"Caused by: java.lang.IllegalArgumentException: Could not resolve placeholder 'DATABASE_URL' in value \"${DATABASE_URL}\"", "the config var DATABASE_URL is not set", "addons:create postgres"},
		"a var, t3-env":            {"Invalid environment variables: { NEXTAUTH_SECRET: [ 'Required' ] }\nError: Invalid environment variables", "the config var NEXTAUTH_SECRET is not set", "config:set NEXTAUTH_SECRET="},
		"gunicorn, no app":         {"Failed to find attribute 'app' in 'main'.\n[2026-11-30 10:00:00 +0000] [7] [INFO] Worker exiting (pid: 7)\n[2026-11-30 10:00:00 +0000] [1] [ERROR] Reason: App failed to load.", "the Python module main has no app to serve", "gunicorn MODULE:APPLICATION"},
		"uvicorn, no app":          {"ERROR:    Error loading ASGI app. Attribute \"api\" not found in module \"main\".", "the Python module main has no api to serve", "MODULE:APPLICATION"},
		"next, not built":          {"Error: Could not find a production build in the '.next' directory. Try building your app with 'next build' before starting the production server.", "Next.js was not built", "next build"},
		"pip, psycopg2":            {"  error: subprocess-exited-with-error\n      Error: pg_config executable not found.\n  note: This error originates from a subprocess, and is likely not a problem with pip.\nerror: metadata-generation-failed\nhint: See above for details.", "psycopg2 would have to be compiled, and what that takes is not here", "psycopg2-binary"},
		"pip, a header":            {"      src/x.c:3:10: fatal error: ffi.h: No such file or directory\n      error: command '/usr/bin/gcc' failed with exit code 1", "a package is compiled that wants ffi.h, which is not here", "Dockerfile"},
		"pip, afterwords":          {"      RuntimeError: no compiler for you\n  note: This error originates from a subprocess\nerror: metadata-generation-failed\n\nhint: See above for details.", "RuntimeError: no compiler for you", ""},
		"yarn, an engine":          {"error undici@7.1.0: The engine \"node\" is incompatible with this module. Expected version \">=20.18.1\". Got \"18.20.4\"\nerror Found incompatible module.", "a package wants Node.js >=20.18.1, and this is 18.20.4", "engines"},
		"rails, no database":       {"ActiveRecord::ConnectionNotEstablished: connection to server on socket \"/var/run/postgresql/.s.PGSQL.5432\" failed: No such file or directory", "it looks for PostgreSQL in its own container, where there is none", "addons:create postgres"},
		"MySQL by a socket":        {"(2002, \"Can't connect to local MySQL server through socket '/var/run/mysqld/mysqld.sock' (2)\")", "it looks for MySQL in its own container, where there is none", "config var"},
		"windows":                  {"/usr/bin/env: 'bash\\r': No such file or directory", "a script has the line ends of Windows", "eol=lf"},
		"npm, out of step":         {"npm ERR! code EUSAGE\nnpm ERR! \nnpm ERR! `npm ci` can only install packages when your package.json and package-lock.json or npm-shrinkwrap.json are in sync.\nnpm ERR! Missing: x@1 from lock file\nnpm ERR! A complete log of this run can be found in: /x-debug-0.log", "the lock file does not fit package.json", "package.json"},
		"npm, a script":            {"npm error Missing script: \"start\"\nnpm error\nnpm error To see a list of scripts, run:\nnpm error   npm run", "package.json has no script start", "scripts"},
		"pip":                      {"ERROR: Could not find a version that satisfies the requirement flask==99 (from versions: 0.1)\nERROR: No matching distribution found for flask==99", "there is no Python package flask==99 for this version of Python", "requirements.txt"},
		"a port that is taken":     {"Error: listen EADDRINUSE: address already in use :::5000\n    at x", "two of its own processes want the same port", "$PORT"},
		"memory":                   {"<--- Last few GCs --->\n\nFATAL ERROR: Reached heap limit Allocation failed - JavaScript heap out of memory\n 1: 0xb9c1f0 node::Abort()", "Node ran out of memory", "--max-old-space-size"},
		"no network":               {"npm ERR! request to https://registry failed, reason: getaddrinfo EAI_AGAIN registry.example.com", "a host name could not be found registry.example.com", "name"},
		"colours and marks":        {"\x1b[31m !     error: out of cheese\x1b[0m\nsubprocess exited with status 1", "error: out of cheese", ""},
		"nothing that complains":   {"one\ntwo", "two", ""},
		"nothing":                  {"", "", ""},
		"frames alone":             {"    at Object.Module._extensions..js (x)\n    at y", "", ""},
		"a warning is none":        {"WARN: SESSION_SECRET is not set, using a default\nout of luck", "out of luck", ""},
	} {
		t.Run(name, func(t *testing.T) {
			got := Of(strings.Split(c.output, "\n"))
			if got.String() != c.says || !strings.Contains(got.Hint, c.hint) || c.hint == "" && got.Hint != "" {
				t.Errorf("says %q, hint %q", got, got.Hint)
			}
		})
	}
}

// TestOfIsFitToShow: no line makes a terminal do anything, none is long, and what is to be
// typed is safe to.
func TestOfIsFitToShow(t *testing.T) {
	for _, text := range []string{
		"error: \x1b]0;title\x07\x1b[2J\x00x", "error: " + strings.Repeat("é", 9999), "Error: Cannot find module 'x; rm -rf ~'", "sh: 1: $(reboot): not found",
		"sh: 1: `x`: not found", "Error: Cannot find module '-x'", "/bin/sh: 1: ./a;b: Permission denied",
	} {
		c := Of([]string{text})
		if strings.ContainsAny(c.String()+c.Hint, "\x00\x07\x1b") || len(c.Line) > maxLine+3 {
			t.Errorf("%q: %q", text, c)
		}
		if strings.ContainsAny(c.Hint, "$`") || strings.Contains(c.Hint, "rm -rf") || strings.Contains(c.Hint, " -x") || strings.Contains(c.Hint, "a;b") {
			t.Errorf("%q: to be typed: %q", text, c.Hint)
		}
	}
}
