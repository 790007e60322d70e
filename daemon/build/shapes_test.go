package build_test

import (
	"os"
	"path/filepath"
	"regexp"
	"strings"
	"testing"
)

// Where the shapes of source are shown. apps are built by TestShapes here, pushed those that
// the stories' TestShapes pushes to a whole Towline.
const (
	apps   = "daemon/build/testdata/apps/"
	pushed = "e2e/testdata/shapes/"
)

// shapes are what newcomers' repositories are like, each with where it is shown that it deploys and
// serves, or is refused in words: an app, a story, or a test with its folder.
var shapes = []struct{ shape, shown string }{
	// What builds it.
	{"a Dockerfile for another purpose beside what buildpacks build", pushed + "dockerfile-for-development.txtar"},
	{"a Dockerfile below the top, of which a stage is meant", "e2e/testdata/builders.txtar"},
	{"a Containerfile of several stages", pushed + "containerfile.txtar"},
	{"a Dockerfile that mounts, and copies between stages and from images", "daemon/build TestDockerfileStages"},
	{"a base image that the machine has another for", "daemon/build TestDockerfileReplaced"},
	{"a base image of the machine's own that is not there", "daemon/build TestDockerfileFailures"},
	{"a heroku.yml with build arguments, release and a worker", pushed + "heroku-yml.txtar"},
	{"a heroku.yml with an image for each process type", pushed + "heroku-yml-two-images.txtar"},
	{"a heroku.yml that names no Dockerfile", pushed + "heroku-yml-without-docker.txtar"},
	{"a project.toml that excludes files and names buildpacks", pushed + "project-toml.txtar"},
	{"a project.toml that names what has nothing to build", pushed + "project-toml-of-another.txtar"},
	{"files for other platforms", pushed + "other-platforms.txtar"},
	{"apps in folders, and nothing at the top", pushed + "nothing-to-build.txtar"},
	{"submodules", pushed + "submodule.txtar"},
	{"Git LFS", pushed + "git-lfs.txtar"},

	// Languages.
	{"Node.js, by npm", apps + "node-npm.txtar"},
	{"Node.js, by pnpm", apps + "node-pnpm.txtar"},
	{"Node.js, by yarn 1", apps + "node-yarn1.txtar"},
	{"Node.js, by yarn 4 with Plug'n'Play", apps + "node-yarn4.txtar"},
	{"Node.js with both databases", "e2e/testdata/node.txtar"},
	{"Node.js without a start script", pushed + "node-without-start.txtar"},
	{"Python, by requirements.txt", apps + "python-requirements.txtar"},
	{"Python, by pyproject.toml", apps + "python-pyproject.txtar"},
	{"Python, by uv.lock", apps + "python-uv.txtar"},
	{"FastAPI", apps + "python-fastapi.txtar"},
	{"Django without a Procfile", apps + "python-django.txtar"},
	{"Django that answers its own host alone, by HTTPS", pushed + "django-hosts.txtar"},
	{"Python whose assets Node.js builds", apps + "python-node.txtar"},
	{"a bot of Python's without a Procfile", pushed + "python-bot.txtar"},
	{"a worker of Python's alone", apps + "python-worker.txtar"},
	{"Pipenv", apps + "refused-pipenv.txtar"},
	{"Go modules", apps + "go-module.txtar"},
	{"Go, vendored, with several commands", apps + "go-vendored.txtar"},
	{"PHP pages", apps + "php.txtar"},
	{"PHP with a front controller", apps + "php-front.txtar"},
	{"Rails with ActionCable", "e2e/testdata/rails.txtar"},
	{"Java, which this builder does not know", apps + "refused-java.txtar"},
	{"pages, with an index, a 404 and parts of files", pushed + "static-site.txtar"},
	{"pages, built by the Debian-built builder", apps + "static.txtar"},
	{"pages that Node.js builds", apps + "static-node.txtar"},
	{"a Procfile and scripts alone", apps + "procfile.txtar"},

	// What runs.
	{"an ENTRYPOINT with a Procfile", pushed + "entrypoint-procfile.txtar"},
	{"an ENTRYPOINT that is the program", pushed + "entrypoint-program.txtar"},
	{"an ENTRYPOINT that is a line", pushed + "entrypoint-line.txtar"},
	{"a CMD that is a line", pushed + "command-line.txtar"},
	{"a CMD that is a list, with $PORT", pushed + "port-as-written.txtar"},
	{"a CMD that is a list of one", pushed + "command-in-one.txtar"},
	{"EXPOSE in place of $PORT", pushed + "expose.txtar"},
	{"several EXPOSE", pushed + "expose-several.txtar"},
	{"port 80", "e2e/testdata/builders.txtar"},
	{"root that becomes another user", pushed + "root-then-user.txtar"},
	{"a release beside the Dockerfile's CMD", pushed + "release-beside-command.txtar"},
	{"a Procfile without web: a bot", pushed + "worker-only.txtar"},
	{"an app that gets a web process, and loses it", "e2e TestNoWeb"},
	{"WebSocket", pushed + "node-websocket.txtar"},
	{"gRPC", "e2e/testdata/grpc.txtar"},

	// What app.json and add-ons say.
	{"an app.json with most keys, comments and commas", pushed + "app-json.txtar"},
	{"an app.json that requires a config var", pushed + "app-json-required.txtar"},
	{"an app.json with an error", pushed + "app-json-broken.txtar"},
	{"an app.json with add-ons of Heroku's names", "daemon/journeys TestAddonsOfAppJSON"},
	{"an app.json whose scripts fail", "daemon/journeys TestScriptsThatFail"},
	{"a health check of a path that is none", pushed + "health-check-404.txtar"},
	{"add-ons under names of one's own", "e2e/testdata/addons_ops.txtar"},

	// What fails, with its cause.
	{"a build that fails", "e2e/testdata/push.txtar"},
	{"a release phase that fails", pushed + "release-fails.txtar"},
	{"127.0.0.1", pushed + "loopback.txtar"},
	{"another port", pushed + "wrong-port.txtar"},
	{"a command that is not there", pushed + "command-not-found.txtar"},
	{"a config var that is not set", pushed + "missing-config-var.txtar"},
	{"a procfile of the wrong case", pushed + "procfile-of-the-wrong-case.txtar"},
	{"a Procfile with a line that is none", pushed + "procfile-broken.txtar"},
	{"a syntax error of a script", pushed + "syntax-error.txtar"},
	{"a syntax error of Node.js", pushed + "node-syntax-error.txtar"},
	{"a missing package of Node.js", pushed + "node-missing-package.txtar"},
	{"a missing module of Python", pushed + "python-missing-module.txtar"},
	{"a server that goes to the background", pushed + "background.txtar"},
	{"line ends of Windows", pushed + "windows-line-ends.txtar"},
	{"a script that may not be executed", pushed + "not-executable.txtar"},
	{"a database of localhost", pushed + "no-database.txtar"},
	{"a database of localhost, by Node.js", pushed + "node-database-of-localhost.txtar"},
	{"a process that never listens, or is never healthy", "e2e TestRefusedPush"},
	{"a home page that answers 500", "e2e/testdata/push.txtar"},
}

// TestEveryShapeIsShown: what the table points at is there, and what is there is in the table.
func TestEveryShapeIsShown(t *testing.T) {
	const root = "../../"
	seen := map[string]bool{}
	for _, s := range shapes {
		seen[s.shown] = true
		folder, test, isTest := strings.Cut(s.shown, " ")
		if !isTest {
			if _, err := os.Stat(root + s.shown); err != nil {
				t.Errorf("%s: %v", s.shape, err)
			}
			continue
		}
		found := false
		files, err := filepath.Glob(root + folder + "/*_test.go")
		for _, file := range files {
			text, rerr := os.ReadFile(file)
			if rerr != nil {
				t.Fatal(rerr)
			}
			found = found || regexp.MustCompile(`(?m)^func `+test+`\(t \*testing\.T\)`).Match(text)
		}
		if err != nil || !found {
			t.Errorf("%s: there is no %s in %s", s.shape, test, folder)
		}
	}
	for _, folder := range []string{apps, pushed} {
		files, err := filepath.Glob(root + folder + "*.txtar")
		if err != nil || len(files) == 0 {
			t.Errorf("nothing in %s: %v", folder, err)
		}
		for _, file := range files {
			if !seen[folder+filepath.Base(file)] {
				t.Errorf("%s is not in the table", file)
			}
		}
	}
}
