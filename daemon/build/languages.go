package build

import (
	"path/filepath"
	"slices"
	"strings"

	"towline/daemon"
)

// languages are what buildpacks are for, by a word in the ids of those, with the files at the top
// of the source that they look for, the usual one first.
var languages = []struct {
	name, word string
	files      []string
}{
	{"Ruby", "ruby", []string{"Gemfile"}},
	{"Node.js", "node", []string{"package.json"}},
	{"Python", "python", []string{"requirements.txt", "pyproject.toml", "uv.lock", "Pipfile", "poetry.lock", "setup.py", "manage.py"}},
	{"Go", "go", []string{"go.mod"}},
	{"Java", "maven", []string{"pom.xml"}},
	{"Java", "jvm", []string{"pom.xml"}},
	{"Java", "gradle", []string{"build.gradle", "build.gradle.kts"}},
	{"Scala", "scala", []string{"build.sbt"}},
	{"Clojure", "clojure", []string{"project.clj", "deps.edn"}},
	{"PHP", "php", []string{"composer.json", "index.php"}},
	{".NET", "dotnet", []string{"*.csproj", "*.fsproj", "*.sln"}},
	{"Elixir", "elixir", []string{"mix.exs"}},
	{"Rust", "rust", []string{"Cargo.toml"}},
	{"Deno", "deno", []string{"deno.json", "deno.jsonc"}},
	{"Swift", "swift", []string{"Package.swift"}},
	{"Crystal", "crystal", []string{"shard.yml"}},
	{"Dart", "dart", []string{"pubspec.yaml"}},
	{"Gleam", "gleam", []string{"gleam.toml"}},
	{"Haskell", "haskell", []string{"stack.yaml", "cabal.project", "*.cabal"}},
	{"Hugo", "hugo", []string{"hugo.toml", "hugo.yaml"}},
	{"Zig", "zig", []string{"build.zig"}},
	{"", "static", []string{"index.html", "public/index.html", "static.json"}},
	{"", "procfile", []string{"Procfile"}},
}

// has tells whether the builder has a buildpack with that word in its id.
func (p platform) has(word string) bool {
	return slices.ContainsFunc(p.Buildpacks, func(bp buildpackRef) bool {
		_, name, _ := strings.Cut(bp.ID, "/")
		return strings.Contains(name, word)
	})
}

// lookedFor lists the files that would have made a build possible.
func (p platform) lookedFor() string {
	files := []string{"Dockerfile"}
	for _, l := range languages {
		if p.has(l.word) && !slices.Contains(files, l.files[0]) {
			files = append(files, l.files[0])
		}
	}
	return strings.Join(files, ", ")
}

// checkLanguage refuses a source of a language for which the builder has no buildpack, and in which
// none of its others has anything to build: with a Procfile alone it would fail once it runs.
func (p platform) checkLanguage(source string) error {
	var missing, found string
	var have []string
	for _, l := range languages {
		known := p.has(l.word)
		if known && l.name != "" && !slices.Contains(have, l.name) {
			have = append(have, l.name)
		}
		for _, pattern := range l.files {
			files, _ := filepath.Glob(filepath.Join(filepath.Clean(source), pattern))
			switch {
			case len(files) == 0:
			case known && l.word != "procfile":
				return nil
			case missing == "" && l.name != "":
				missing, found = l.name, filepath.Base(files[0])
			}
		}
	}
	if missing == "" || len(have) == 0 {
		return nil
	}
	return daemon.Errorf(daemon.Failed, "no buildpack for %s here: the source has a %s", missing, daemon.Clip(found)).
		WithHint("this machine's builder has them for %s; for others commit a Dockerfile, or a project.toml that names the buildpacks to use", strings.Join(have, ", "))
}
