package build

import (
	"os"
	"path/filepath"
	"strings"
	"testing"
)

// TestLanguages: a source is refused if it is in a language that the builder knows nothing of, and
// in no other.
func TestLanguages(t *testing.T) {
	ours := platform{Buildpacks: []buildpackRef{{ID: "towline/node"}, {ID: "towline/ruby"}, {ID: "towline/static"}, {ID: "towline/procfile"}}}
	theirs := platform{Buildpacks: []buildpackRef{{ID: "heroku/jvm"}, {ID: "heroku/maven"}, {ID: "heroku/nodejs"}, {ID: "heroku/procfile"}}}
	for _, c := range []struct {
		p           platform
		files, says string
	}{
		{ours, "Procfile", ""},
		{ours, "Procfile package.json", ""},
		{ours, "Procfile requirements.txt", "no buildpack for Python here: the source has a requirements.txt"},
		{ours, "requirements.txt", "no buildpack for Python here"},
		{ours, "requirements.txt Gemfile", ""},
		{ours, "pom.xml Procfile", "no buildpack for Java here"},
		{theirs, "pom.xml Procfile", ""},
		{theirs, "build.gradle", "no buildpack for Java here"},
		{ours, "Shop.csproj", "no buildpack for .NET here: the source has a Shop.csproj"},
		{ours, "Cargo.toml index.html", ""},
		{theirs, "Cargo.toml index.html", "no buildpack for Rust here"},
		{platform{Buildpacks: []buildpackRef{{ID: "acme/everything"}}}, "pom.xml", ""},
		{ours, "", ""},
	} {
		source := t.TempDir()
		for _, name := range strings.Fields(c.files) {
			if err := os.WriteFile(filepath.Join(source, name), nil, 0o644); err != nil {
				t.Fatal(err)
			}
		}
		err := c.p.checkLanguage(source)
		if (err == nil) != (c.says == "") || err != nil && !strings.Contains(err.Error(), c.says) {
			t.Errorf("%q: %v, not %q", c.files, err, c.says)
		}
	}
}
