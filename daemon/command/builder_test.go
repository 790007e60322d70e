package command

import "testing"

func TestBuilder(t *testing.T) {
	b := newBench(t)
	b.run(0, "apps:create", "shop")
	want(t, b.run(0, "builder", "-a", "shop").out, "=== shop Builder\n", "auto: what heroku.yml names")
	want(t, b.run(0, "builder:set", "dockerfile", "--path", "./ops/Dockerfile", "--target", "app", "-a", "shop").out, "The next push of shop", "ops/Dockerfile", "app")
	want(t, b.run(0, "builder", "-a", "shop", "--json").out, `"builder": "dockerfile"`, `"path": "ops/Dockerfile"`, `"target": "app"`)
	want(t, b.run(0, "apps:info", "-a", "shop").out, "dockerfile --path ops/Dockerfile --target app")
	want(t, b.run(0, "apps:info", "-a", "shop", "--json").out, `"kind": "dockerfile"`)
	for _, words := range [][]string{{"nix"}, {"auto", "--path", "x"}, {"dockerfile", "--path", "../x"}, {"dockerfile", "--path", "/x"}, {"dockerfile", "--target", "a b"}} {
		b.run(2, append([]string{"builder:set", "-a", "shop"}, words...)...)
	}
	want(t, b.run(0, "builder", "-a", "shop").out, "ops/Dockerfile")
	b.run(0, "builder:set", "auto", "-a", "shop")
	wantNone(t, b.run(0, "apps:info", "-a", "shop", "--json").out, `"builder"`)
	want(t, b.run(2, "buildpacks:set", "x", "-a", "shop").errors, "builder:set")
}
