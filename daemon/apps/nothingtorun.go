package apps

import (
	"os"
	"path/filepath"

	"towline/daemon"
)

// startLines are lines of a Procfile that usually fit a source, by a file at its top.
var startLines = []struct{ file, also, web string }{
	{"_config.yml", "", "bundle exec jekyll serve --host 0.0.0.0 --port $PORT"},
	{"package.json", "give package.json a script \"start\", or ", "node index.js"},
	{"Gemfile", "", "bundle exec puma -p $PORT"},
	{"manage.py", "", "gunicorn --bind 0.0.0.0:$PORT PROJECT.wsgi"},
	{"requirements.txt", "", "gunicorn --bind 0.0.0.0:$PORT app:app"},
	{"pyproject.toml", "", "gunicorn --bind 0.0.0.0:$PORT app:app"},
	{"go.mod", "", "bin/server"},
	{"composer.json", "", "heroku-php-apache2 public/"},
}

// nothingToRun refuses an image of which nothing says what runs in it, with what fits its source.
func nothingToRun(source, kind string) error {
	err := daemon.Errorf(daemon.Invalid, "nothing says what to run")
	if kind == "dockerfile" {
		return err.WithHint("give the Dockerfile a CMD, or add a Procfile with a line like \"web: ./server --port $PORT\"")
	}
	for _, s := range startLines {
		if _, missing := os.Lstat(filepath.Join(source, s.file)); missing == nil {
			return err.WithHint("%sadd a Procfile with a line like \"web: %s\", or \"worker: COMMAND\" for what has no visitors", s.also, s.web)
		}
	}
	return err.WithHint("add a Procfile with a line like \"web: ./server --port $PORT\"")
}
