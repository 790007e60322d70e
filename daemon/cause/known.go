package cause

import (
	"fmt"
	"path"
	"regexp"
	"strings"
)

// known are the lines that are understood, the surest first. A cause that is the zero value is
// none after all.
var known = []struct {
	line  *regexp.Regexp
	cause func(m []string) Cause
}{
	// What is asked for and not set.
	{regexp.MustCompile(`Environment variable not found: ([A-Z][A-Z0-9_]+)`), missingVar},
	{regexp.MustCompile(`^KeyError: '([A-Z][A-Z0-9_]+)'$`), missingVar},
	{regexp.MustCompile(`key not found: "([A-Z][A-Z0-9_]+)" \(KeyError\)`), missingVar},
	{regexp.MustCompile(`(?i:set the|missing|undefined|required|requires|no)(?i: required)?(?i: env(?:ironment)?(?: ?var(?:iable)?)?(?:\(?s\)?)?)[ :]+["'` + "`" + `]?([A-Z][A-Z0-9_]{2,})`), missingVar},
	{regexp.MustCompile(`(?i:env(?:ironment)? ?var(?:iable)?) ["'` + "`" + `]?([A-Z][A-Z0-9_]{2,})["'` + "`" + `]? (?i:is |was |must |has |needs |to |not |isn't |missing|required|undefined|unset)`), missingVar},
	{regexp.MustCompile(`(?:^|[\s:"'` + "`" + `])([A-Z][A-Z0-9]*_[A-Z0-9_]+)["'` + "`" + `]? (?i:(?:environment variable |env var )?(?:is|are|was) (?:not set|not defined|undefined|missing|unset|required|empty)|must be (?:set|defined|provided)|not set|is not configured)`), missingVar},
	{regexp.MustCompile(`(?i)set the ([A-Z][A-Z0-9_]{2,}) environment variable`), missingVar},
	{regexp.MustCompile(`^(?:\S*sh|\S+: (?:line )?\d+): (?:line )?(?:\d+: )?([A-Z][A-Z0-9_]{2,}): (?i:parameter (?:null or )?not set$|unbound variable$|.*\b(?:set|missing|required|needed|empty|defined)\b)`), missingVar}, // ${NAME:?} of a shell
	{regexp.MustCompile(`UndefinedValueError: ([A-Z][A-Z0-9_]+) not found`), missingVar},                                                                                                                                    // python-decouple
	{regexp.MustCompile(`required key ([A-Z][A-Z0-9_]+) missing value`), missingVar},                                                                                                                                        // envconfig, of Go
	{regexp.MustCompile(`Could not resolve placeholder '([A-Z][A-Z0-9_]+)'`), missingVar},                                                                                                                                   // Spring
	{regexp.MustCompile(`(?i:invalid environment variables).*?\b([A-Z][A-Z0-9_]+)\W+Required`), missingVar},                                                                                                                 // t3-env
	{regexp.MustCompile("Missing `secret_key_base`"), func([]string) Cause { return missingVar([]string{"", "SECRET_KEY_BASE"}) }},
	{regexp.MustCompile(`The SECRET_KEY setting must not be empty`), func([]string) Cause { return missingVar([]string{"", "SECRET_KEY"}) }},

	// $PORT where no shell has looked at the command.
	{regexp.MustCompile(`(?i:invalid|not a valid|\bbad\b|illegal|unexpected|received|parse|integer|number).*\$\{?PORT\b|\$\{?PORT\b.*(?i:invalid|not a valid|\bbad\b|illegal|unexpected|integer|number)`), func([]string) Cause {
		return Cause{Words: "$PORT stands in its command as it is written, as no shell has put the number there",
			Hint: "write the Dockerfile's CMD as a line, and not as a list; or name the command in a Procfile"}
	}},

	// What is not in the image.
	{regexp.MustCompile(`Cannot find (?:module|package) ["']([^"']+)["']`), missingNodeModule},
	{regexp.MustCompile(`ModuleNotFoundError: No module named ["']([^"']+)["']`), func(m []string) Cause {
		name, _, _ := strings.Cut(m[1], ".")
		return Cause{Words: "the Python module " + m[1] + " is missing", Hint: "if it is a package, add it to requirements.txt (or pyproject.toml); if it is " + name + ".py of yours, commit it: case counts"}
	}},
	{regexp.MustCompile(`cannot load such file -- (\S+)`), func(m []string) Cause {
		return Cause{Words: "the Ruby library " + m[1] + " is missing", Hint: "add its gem to the Gemfile, bundle install, and commit Gemfile.lock"}
	}},
	{regexp.MustCompile(`(?:Unable to access jarfile|Could not find or load main class) (\S+)`), func(m []string) Cause {
		return Cause{Words: m[1] + " is not in the image", Hint: "look where the build puts it, and name that in the Procfile"}
	}},
	{regexp.MustCompile(`no required module provides package ([^\s;:]+)`), func(m []string) Cause {
		return Cause{Words: "the Go package " + m[1] + " is in no module of go.mod", Hint: "go mod tidy, and commit go.mod and go.sum"}
	}},
	{regexp.MustCompile(`(?:PHP )?Fatal error: .*(?:Class "([^"]+)" not found|Failed opening required '([^']+)')`), func(m []string) Cause {
		return Cause{Words: m[1] + m[2] + " is missing", Hint: "add its package to composer.json, and commit composer.lock; a file of yours must be committed"}
	}},
	{regexp.MustCompile(`env: ['‘]?([^'’:]+\\r)`), crlf},
	{regexp.MustCompile(`(?:\\r|\^M).*(?:not found|No such file|bad interpreter)`), crlf},
	{regexp.MustCompile(`(?i)exec format error`), func([]string) Cause {
		return Cause{Words: "a program in the image is for another kind of processor, or a script without its first line", Hint: "build it for this machine's processor; begin a script with #!/bin/sh"}
	}},
	{regexp.MustCompile(`^npm (?:ERR!|error) .*[Mm]issing script: "?([^"]+)"?`), func(m []string) Cause {
		return Cause{Words: "package.json has no script " + m[1], Hint: "add it under \"scripts\", or name another command in the Procfile"}
	}},
	{regexp.MustCompile("(?:executable file |exec: )[`\"]([A-Za-z0-9@._/+-]+(?: [A-Za-z0-9@._/+=:-]+)+)[`\"]:? (?:executable file )?not found"), func(m []string) Cause {
		return Cause{Words: "there is no program that is called \"" + m[1] + "\", with the blank in it",
			Hint: "in a CMD or ENTRYPOINT that is a list, the program and each of its arguments is an item of its own; or write it as a line: CMD " + m[1]}
	}},
	{regexp.MustCompile("(?:executable file|exec:) [`\"']?([^`\"'\\s:]+)[`\"']?:? ?(?:executable file )?not found"), missingCommand},
	{regexp.MustCompile(`exec: "([^"]+)": (?:stat [^:]*: )?no such file or directory`), missingCommand},
	{regexp.MustCompile(`failed to exec.*: (?:No such file or directory)`), func([]string) Cause {
		return Cause{Words: "its command is not in the image", Hint: "look at the command in the Procfile, or at the CMD and ENTRYPOINT of the Dockerfile: it must be in the image, and have its path"}
	}},
	{regexp.MustCompile(`^(?:/bin/|/usr/bin/)?(?:ba|da|a|z)?sh: (?:exec: )?(?:line )?(?:\d+: )?(?:exec: )?([^\s:]+): (?:command )?not found`), missingCommand},
	{regexp.MustCompile(`^\S+: (?:line )?\d+: (?:exec: )?([^\s:]+): (?:command )?not found`), missingCommand}, // of a script
	{regexp.MustCompile(`^bundler: command not found: (\S+)`), missingCommand},
	{regexp.MustCompile(`(?:ba|da|a)?sh: (?:exec: )?(?:line )?(?:\d+: )?(?:exec: )?([^\s:]+): Permission denied$|exec [` + "`" + `"']?([^` + "`" + `"'\s:]+).*: [Pp]ermission denied`), func(m []string) Cause {
		file := strings.TrimPrefix(m[1]+m[2], "./")
		return Cause{Words: file + " may not be executed", Hint: "git update-index --chmod=+x " + word(file) + ", commit and push again"}
	}},

	{regexp.MustCompile(`Failed to find attribute '([^']+)' in '([^']+)'|Attribute "([^"]+)" not found in module "([^"]+)"`), func(m []string) Cause {
		app, module := m[1]+m[3], m[2]+m[4]
		return Cause{Words: "the Python module " + module + " has no " + app + " to serve", Hint: "name the module and the application in it in the Procfile: gunicorn MODULE:APPLICATION"}
	}},
	{regexp.MustCompile(`Could not find a production build in the '[^']*' directory`), func([]string) Cause {
		return Cause{Words: "Next.js was not built", Hint: "have package.json say how, under \"scripts\": \"build\": \"next build\"; in a Dockerfile: RUN npm run build"}
	}},
	{regexp.MustCompile(`pg_config executable not found`), func([]string) Cause {
		return Cause{Words: "psycopg2 would have to be compiled, and what that takes is not here", Hint: "name psycopg2-binary in its place (or psycopg[binary], which is its successor)"}
	}},
	{regexp.MustCompile(`fatal error: ([A-Za-z0-9_./-]+\.h): No such file or directory`), func(m []string) Cause {
		return Cause{Words: "a package is compiled that wants " + m[1] + ", which is not here", Hint: "take a version of it that comes compiled, or deploy with a Dockerfile that installs what it wants"}
	}},

	// What the lock file says and the manifest does not, or the other way round.
	{regexp.MustCompile("(?i)npm ci` can only install packages when|lock file.*(?:is not up to date|not in sync)|ERR_PNPM_OUTDATED_LOCKFILE|lockfile (?:needs to|would) (?:be|have been) (?:updated|modified)"), func([]string) Cause {
		return Cause{Words: "the lock file does not fit package.json", Hint: "npm install (or yarn, or pnpm install) on your machine, and commit the lock file with package.json"}
	}},
	{regexp.MustCompile(`(?:The gemspecs for path gems changed|frozen mode|The dependencies in your gemfile changed|deployment mode)`), func([]string) Cause {
		return Cause{Words: "Gemfile.lock does not fit the Gemfile", Hint: "bundle install on your machine, and commit Gemfile.lock"}
	}},
	{regexp.MustCompile(`(?i)missing go\.sum entry|updates to go\.(?:mod|sum) needed`), func([]string) Cause {
		return Cause{Words: "go.sum does not fit go.mod", Hint: "go mod tidy, and commit go.mod and go.sum"}
	}},
	{regexp.MustCompile(`No matching distribution found for (\S+)`), func(m []string) Cause {
		return Cause{Words: "there is no Python package " + m[1] + " for this version of Python", Hint: "mend its name or version in requirements.txt"}
	}},
	{regexp.MustCompile(`Your Ruby version is (\S+), but your Gemfile specified (\S+)`), func(m []string) Cause {
		return Cause{Words: "the Gemfile asks for Ruby " + m[2] + ", and this builder has " + m[1], Hint: "name a version in the Gemfile that the builder has, or deploy with a Dockerfile"}
	}},
	{regexp.MustCompile(`The engine "node" is incompatible with this module\. Expected version "([^"]+)"\. Got "([^"]+)"`), func(m []string) Cause {
		return Cause{Words: "a package wants Node.js " + m[1] + ", and this is " + m[2], Hint: "say which is wanted in package.json: \"engines\": {\"node\": \"...\"}; or take another version of the package"}
	}},
	{regexp.MustCompile(`(?i)code ERESOLVE|unable to resolve dependency tree`), func([]string) Cause {
		return Cause{Words: "npm finds no versions that fit each other (ERESOLVE)", Hint: "mend the versions in package.json, npm install on your machine, and commit both files"}
	}},

	// What is not to be had.
	{regexp.MustCompile(`(?i)JavaScript heap out of memory`), func([]string) Cause {
		return Cause{Words: "Node ran out of memory", Hint: "make it need less, or let it have more: towline config:set NODE_OPTIONS=--max-old-space-size=MEGABYTES"}
	}},
	{regexp.MustCompile(`(?i)(?:ENOTFOUND|EAI_AGAIN|Could not resolve host:?|Temporary failure in name resolution|Name or service not known)\s*(\S*)`), func(m []string) Cause {
		return Cause{Words: strings.TrimSpace("a host name could not be found " + strings.Trim(m[1], ":;,")), Hint: "look at the name, and whether this machine reaches the network"}
	}},
	{regexp.MustCompile(`(?i)no space left on device|ENOSPC`), func([]string) Cause {
		return Cause{Words: "there was no space left to write to", Hint: "make it write less, or ask whoever administers this machine"}
	}},
	{regexp.MustCompile(`(?i)EADDRINUSE|address already in use`), func([]string) Cause {
		return Cause{Words: "two of its own processes want the same port", Hint: "let one alone listen on $PORT"}
	}},
	{regexp.MustCompile(`\.s\.PGSQL\.(5432)|connect to local MySQL server through socket|/mysqld?\.sock\b`), func(m []string) Cause {
		port := "3306"
		if m[1] != "" {
			port = m[1]
		}
		return missingService([]string{"", port})
	}},
	{regexp.MustCompile(`(?i)(?:ECONNREFUSED|connection refused|can't connect|could not connect|cannot connect|error connecting).*(?:127\.0\.0\.1|::1|localhost)\D{0,24}(5432|6379|7687|7474|3306|27017)`), missingService},
	{regexp.MustCompile(`(?i)(?:127\.0\.0\.1|::1|localhost)\D{0,24}(5432|6379|7687|7474|3306|27017)\b.*(?:ECONNREFUSED|connection refused|failed)`), missingService},
}

// addonVars are the config vars that add-ons bring.
var addonVars = map[string]string{"DATABASE_URL": "postgres", "REDIS_URL": "redis", "REDISCLOUD_URL": "redis", "GRAPHENEDB_URL": "neo4j", "GRAPHENEDB_BOLT_URL": "neo4j"}

func missingVar(m []string) Cause {
	name := m[1]
	c := Cause{Words: "the config var " + name + " is not set", Hint: "towline config:set " + name + "=...", Var: name}
	if service := addonVars[name]; service != "" {
		c.Hint = "towline addons:create " + service + ", or towline config:set " + name + "=..."
	}
	return c
}

func missingNodeModule(m []string) Cause {
	name := m[1]
	if strings.HasPrefix(name, ".") || strings.HasPrefix(name, "/") {
		return Cause{Words: "the file " + name + " is not in the image", Hint: "commit it (case counts, and .gitignore may leave it out), or have the build make it"}
	}
	return Cause{Words: "the npm package " + name + " is missing",
		Hint: "npm install " + word(name) + ", and commit package.json with its lock file; one of devDependencies is not there once the build is done"}
}

// tools are what a language's commands come with.
var tools = map[string]string{
	"gunicorn": "requirements.txt", "uvicorn": "requirements.txt", "flask": "requirements.txt", "celery": "requirements.txt", "daphne": "requirements.txt", "hypercorn": "requirements.txt",
	"waitress-serve": "requirements.txt", "streamlit": "requirements.txt", "django-admin": "requirements.txt",
	"next": "npm", "vite": "npm", "nodemon": "npm", "ts-node": "npm", "tsx": "npm", "tsc": "npm", "react-scripts": "npm", "nest": "npm", "webpack": "npm", "pm2": "npm", "serve": "npm", "prisma": "npm",
	"puma": "Gemfile", "rails": "Gemfile", "rake": "Gemfile", "rackup": "Gemfile", "sidekiq": "Gemfile", "unicorn": "Gemfile", "thin": "Gemfile",
}

// runtimes are languages themselves.
var runtimes = map[string]string{"node": "package.json", "npm": "package.json", "npx": "package.json", "yarn": "package.json", "pnpm": "package.json", "python": "requirements.txt", "python3": "requirements.txt",
	"pip": "requirements.txt", "ruby": "Gemfile", "bundle": "Gemfile", "java": "pom.xml", "go": "go.mod", "php": "composer.json"}

func missingCommand(m []string) Cause {
	name := strings.TrimSpace(m[1])
	c := Cause{Words: "command not found: " + name}
	switch base := path.Base(name); {
	case strings.ContainsRune(name, '/'):
		c.Hint = "the file must be in the image: commit it (case counts, and .gitignore may leave it out), or have the build make it; if it is there, its first line (#!) names what is not"
	case tools[base] == "requirements.txt":
		c.Hint = "add " + base + " to requirements.txt (or pyproject.toml), commit and push again"
	case tools[base] == "npm":
		c.Hint = "npm install --save " + base + ": it must be among dependencies, for devDependencies are not there once the build is done"
	case tools[base] == "Gemfile":
		c.Hint = "add its gem to the Gemfile, bundle install, and commit Gemfile.lock"
	case runtimes[base] != "":
		c.Hint = fmt.Sprintf("the image has no %s: with buildpacks a %s at the top of the source brings it, with a Dockerfile its base image", base, runtimes[base])
	default:
		c.Hint = "it must be in the image: installed by the build, or committed and named with its path, like ./" + word(base)
	}
	return c
}

func crlf([]string) Cause {
	return Cause{Words: "a script has the line ends of Windows", Hint: "echo '* text=auto eol=lf' >> .gitattributes; git add --renormalize .; commit and push again"}
}

// services are known by their ports.
var services = map[string][2]string{
	"5432": {"PostgreSQL", "postgres"}, "6379": {"Redis", "redis"}, "7687": {"Neo4j", "neo4j"}, "7474": {"Neo4j", "neo4j"}, "3306": {"MySQL", ""}, "27017": {"MongoDB", ""},
}

func missingService(m []string) Cause {
	s := services[m[1]]
	c := Cause{Words: "it looks for " + s[0] + " in its own container, where there is none", Hint: "have it take the address from a config var"}
	if s[1] != "" {
		c.Hint = "towline addons:create " + s[1] + ", and have it take the address from the config var that this sets"
	}
	return c
}

var plainWord = regexp.MustCompile(`^[A-Za-z0-9@._/+-]+$`)

// word is text that can be typed as it stands, or a word in its place.
func word(text string) string {
	if plainWord.MatchString(text) && !strings.HasPrefix(text, "-") {
		return text
	}
	return "NAME"
}
