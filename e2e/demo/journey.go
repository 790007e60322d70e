package main

import (
	"crypto/rand"
	"encoding/hex"
	"fmt"
	"net/http"
	"regexp"
	"strings"
)

// journey is the main job, step by step.
func (d *demo) journey() error {
	secret := make([]byte, 64)
	_, _ = rand.Read(secret) // never fails
	for _, s := range []struct {
		name string
		do   func() error
	}{
		{"create the app", d.sshStep("apps:create", "shop")},
		{"add Neo4j", d.sshStep("addons:create", "neo4j", "-a", "shop")},
		{"add Redis", d.sshStep("addons:create", "redis", "-a", "shop")},
		{"set a config var", d.sshStep("config:set", "SECRET_KEY_BASE="+hex.EncodeToString(secret), "-a", "shop")},
		{"make a checkout of examples/rails", d.checkout},
		{"push", func() error { return d.git("push", "towline", "main") }},
		{"check the page over HTTPS, certificate by the local CA", d.checkPage},
		{"check ActionCable over a WebSocket", d.checkCable},
		{"scale the worker", d.sshStep("ps:scale", "worker=1", "-a", "shop")},
		{"see what runs", d.checkProcesses},
		{"run a rake task", d.checkRun},
		{"check that the page has the actors", func() error { return d.pageSays("neo4j", `^\d+ visits, [1-9]\d* actors$`) }},
		{"push a change", d.checkChange},
		{"roll back", d.checkRollback},
	} {
		if err := d.step(s.name, s.do); err != nil {
			return err
		}
	}
	return nil
}

func (d *demo) sshStep(words ...string) func() error {
	return func() error {
		_, err := d.ssh(words...)
		return err
	}
}

func (d *demo) checkout() error {
	for _, words := range [][]string{
		{"init", "-q", "-b", "main"}, {"add", "-A"}, {"commit", "-q", "-m", "Shop"}, {"remote", "add", "towline", d.Remote("shop")},
	} {
		if err := d.git(words...); err != nil {
			return err
		}
	}
	return nil
}

// checkPage: the page counts its visits in both databases. The first was the push's.
func (d *demo) checkPage() error {
	fmt.Printf("    $ curl --cacert %s %s\n", d.RootFile(), d.URL("shop", "/"))
	for n := 1; n <= 2; n++ {
		if err := d.pageSays("neo4j", fmt.Sprintf(`^%d visits, 0 actors$`, 2*n)); err != nil {
			return err
		}
		if err := d.pageSays("redis", fmt.Sprintf(`^%d visits$`, 2*n+1)); err != nil {
			return err
		}
	}
	return nil
}

var page = regexp.MustCompile(`<dd id="(\w+)">([^<]*)</dd>`)

// pageSays fetches the page and looks at the part of that id.
func (d *demo) pageSays(id, pattern string) error {
	status, body, err := d.Get(d.ctx, "shop", "/")
	if err != nil {
		return err
	}
	if status != http.StatusOK {
		return fmt.Errorf("%s answers %d: %.2000s", d.URL("shop", "/"), status, body)
	}
	for _, m := range page.FindAllStringSubmatch(body, -1) {
		if m[1] == id {
			fmt.Printf("      %s: %s\n", id, m[2])
			if regexp.MustCompile(pattern).MatchString(m[2]) {
				return nil
			}
			return fmt.Errorf("the page says %s: %q, which is not like %q", id, m[2], pattern)
		}
	}
	return fmt.Errorf("the page has no %q: %.2000s", id, body)
}

func (d *demo) checkCable() error {
	const text = "hello through the proxy"
	echo, err := d.Cable(d.ctx, "shop", text)
	if err == nil && echo != text {
		err = fmt.Errorf("the echo of %q is %q", text, echo)
	}
	if err == nil {
		fmt.Printf("      echo: %s\n", echo)
	}
	return err
}

func (d *demo) checkProcesses() error {
	out, err := d.ssh("ps", "-a", "shop")
	if err == nil && (!strings.Contains(out, "web.1: up") || !strings.Contains(out, "worker.1: up")) {
		err = fmt.Errorf("web.1 and worker.1 should be up")
	}
	return err
}

func (d *demo) checkRun() error {
	out, err := d.ssh("run", "rake", "import:actors", "-a", "shop")
	if err == nil && !strings.Contains(out, "imported ") {
		err = fmt.Errorf("nothing was imported")
	}
	return err
}

// checkChange pushes a second version, which the caches make quick.
func (d *demo) checkChange() error {
	for _, argv := range [][]string{
		{"sed", "-i", "s/<h1>Shop/<h1>Shop, better/", "app/views/home/index.html.erb"},
		{"git", "commit", "-qam", "Better"},
		{"git", "push", "towline", "main"},
	} {
		if _, err := d.command(d.source(), argv...); err != nil {
			return err
		}
	}
	return d.heading("Shop, better")
}

func (d *demo) checkRollback() error {
	if _, err := d.ssh("releases:rollback", "-a", "shop"); err != nil {
		return err
	}
	return d.heading("Shop")
}

func (d *demo) heading(want string) error {
	_, body, err := d.Get(d.ctx, "shop", "/")
	if err == nil && !strings.Contains(body, "<h1>"+want+"</h1>") {
		err = fmt.Errorf("the page is not headed %q: %.2000s", want, body)
	}
	return err
}
