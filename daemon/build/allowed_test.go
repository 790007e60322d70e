package build

import (
	"slices"
	"strings"
	"testing"
)

// TestAllowedBases: the images of the host's engine that a Dockerfile reaches, by
// all the ways there are to name one.
func TestAllowedBases(t *testing.T) {
	allowed, err := newAllowedBases("towline", []string{
		"docker.io/*", "ghcr.io/acme/*", "registry.acme.test:5000/base", "localhost/debian:bookworm", "localhost/towline/testapp:1",
		"localhost/towline/*", "localhost/towline/vic", // an operator's mistake
	})
	if err != nil {
		t.Fatal(err)
	}
	const id = "49f0c37982284c7d9b0d6e8f5a4b3c2d1e0f9a8b7c6d5e4f3a2b1c0d9e8f7a6b"
	for _, c := range []struct{ dockerfile, reached string }{
		// what one means to reach
		{"FROM node", "docker.io/library/node:latest"},
		{"FROM node:20-slim AS build", "docker.io/library/node:20-slim"},
		{"FROM --platform=linux/amd64 docker.io/library/ruby:3.3", "docker.io/library/ruby:3.3"},
		{"FROM heroku/heroku:24", "docker.io/heroku/heroku:24"},
		{"FROM ghcr.io/acme/base:1", "ghcr.io/acme/base:1"},
		{"FROM registry.acme.test:5000/base:2", "registry.acme.test:5000/base:2"},
		{"FROM localhost/debian:bookworm", "localhost/debian:bookworm"},
		{"FROM localhost/towline/testapp:1", "localhost/towline/testapp:1"},
		{"FROM scratch\nCOPY --from=localhost/towline/eve:eve-1 / /", "localhost/towline/eve:eve-1"}, // the app's own
		{"# syntax=docker/dockerfile:1\nFROM node", "docker.io/library/node:latest"},
		{"ARG V=20\nFROM node:${V}", "docker.io/library/node:20"},
		{"FROM node\nRUN <<EOF\nFROM localhost/towline/vic:vic-1\nEOF\n", "docker.io/library/node:latest"},
		// another app's image, by its name
		{"FROM localhost/towline/vic:vic-1", ""},
		{"FROM localhost/towline/vic", ""},
		{"FROM localhost/towline/testapp:testapp-1", ""}, // an app that is called as the operator's image
		{"FROM localhost/towline/evening:1", ""},
		{"FROM LOCALHOST/towline/vic:vic-1", ""},
		{"FROM localhost/other/vic:1", ""}, // another installation's
		{"FROM localhost/./towline/vic:vic-1", ""},
		{"FROM localhost//towline/vic:vic-1", ""},
		{"FROM node AS localhost\nCOPY --from=localhost/towline/vic:vic-1 / /", "docker.io/library/node:latest"},
		{"FROM scratch\nCOPY --from=localhost/towline/vic:vic-1 / /", ""},
		{"FROM scratch\nCOPY --chown=0 --from=localhost/towline/vic:vic-1 / /", ""},
		{"FROM scratch\nADD --from=localhost/towline/vic:vic-1 / /", ""},
		{"FROM scratch\nRUN --mount=type=bind,from=localhost/towline/vic:vic-1,target=/m true", ""},
		{"FROM scratch\nRUN --mount=from=localhost/towline/vic:vic-1,target=/m true", ""},
		{"FROM scratch\nONBUILD COPY --from=localhost/towline/vic:vic-1 / /", ""},
		{"ARG IMAGE=localhost/towline/vic:vic-1\nFROM $IMAGE", ""},
		{"ARG A=localhost\nARG B=${A}/towline/vic\nFROM ${B}:vic-1", ""},
		{"FROM ${NONE:-localhost/towline/vic:vic-1}", ""},
		{"# syntax=localhost/towline/vic:vic-1\nFROM scratch", ""},
		{"FROM \\\n  localhost/towline/vic:vic-1", ""},
		{"from localhost/towline/vic:vic-1", ""},
		{"FROM localhost/towline/vic@sha256:" + id, ""},
		// by its ID, whole or not
		{"FROM " + id, ""},
		{"FROM sha256:" + id, "docker.io/library/sha256:" + id}, // a name on docker.io, which nothing here has
		{"FROM 49f0c3798228", "docker.io/library/49f0c3798228:latest"},
		{"FROM 49", "docker.io/library/49:latest"},
		{"FROM scratch\nCOPY --from=4 / /", "docker.io/library/4:latest"},
		{"FROM scratch\nCOPY --from=49f0c3798228 / /", "docker.io/library/49f0c3798228:latest"},
		{"FROM @49f0c3798228", ""},
		// by another way than a name
		{"FROM containers-storage:localhost/towline/vic:vic-1", ""},
		{"FROM docker-daemon:vic:1", ""},
		{"FROM docker://localhost/towline/vic:vic-1", ""},
		{"FROM oci-archive:/bases/0/x", ""},
		{"FROM dir:/", ""},
		{"FROM /var/lib/containers", ""},
		{"FROM ../towline/vic", ""},
		{"FROM -v", ""},
		// where nobody said that all may read
		{"FROM ghcr.io/other/base:1", ""},
		{"FROM registry.acme.test:5000/secret:2", ""},
		{"FROM registry.acme.test/base:2", ""},
		{"FROM docker.io.evil.test/x:1", ""},
		{"FROM ghcr.io/acmeevil/base:1", ""},
	} {
		var reached []string
		for _, name := range parseContainerfile(c.dockerfile, nil).bases {
			if full, ok := allowed.find(name, "localhost/towline/eve"); ok {
				reached = append(reached, full)
			}
		}
		if got := strings.Join(reached, " "); got != c.reached {
			t.Errorf("%q reaches %q, want %q", c.dockerfile, got, c.reached)
		}
	}
}

// TestRefusedBases: what is not an image by its name does not reach the builder, whichever
// way it is written.
func TestRefusedBases(t *testing.T) {
	for _, from := range []string{
		"oci-archive:/bases/0/x", "oci-archive:x.tar", "oci:/ctx", "oci:1", "dir:/", "dir:/var/lib/containers/storage",
		"docker-archive:/ctx/image.tar", "docker-archive:image.tar:name", "containers-storage:localhost/towline/vic:vic-1",
		"containers-storage:[overlay@/bases/0]@49f0c37982284c7d9b0d6e8f5a4b3c2d1e0f9a8b7c6d5e4f3a2b1c0d9e8f7a6b",
		"docker-daemon:vic:1", "docker://localhost/towline/vic:vic-1", "ostree:vic@/", "sif:/ctx/x.sif", "tarball:/ctx/x.tar", "atomic:vic",
		"/var/lib/containers", "/ctx", "../towline/vic", "./image.tar",
	} {
		for _, file := range []string{
			"FROM " + from, "from --platform=linux/amd64 " + from + " AS x", "FROM \\\n  " + from, "ARG A=" + from + "\nFROM $A", "FROM ${A:-" + from + "}",
			"FROM node AS x\nFROM \"" + from + "\"",
			"FROM node\nCOPY --from=" + from + " / /x", "FROM node\nCOPY --chown=1 --from=\"" + from + "\" / /x",
			"FROM node\nRUN --mount=type=bind,from=" + from + ",target=/m true", "FROM node\nRUN --mount='type=bind,target=/m,from=" + from + "' true",
			"FROM node\nONBUILD COPY --from=" + from + " / /x",
		} {
			if got := parseContainerfile(file, nil).refused; len(got) != 1 || got[0] != from {
				t.Errorf("%q: %q is refused, want %q", file, got, from)
			}
		}
	}
	for _, file := range []string{
		"FROM node AS dir\nFROM scratch\nCOPY --from=dir / /", "FROM node AS oci\nCOPY --from=oci / /", "FROM node:20", "FROM registry.acme.test:5000/dir:1",
		"FROM node\nCOPY --from=0 / /", "FROM node AS A\nCOPY --from=a / /", "FROM scratch\nCOPY dir:x /", "ARG A=dir:/\nFROM node\nRUN echo $A",
	} {
		if got := parseContainerfile(file, nil).refused; len(got) > 0 {
			t.Errorf("%q: %q is refused", file, got)
		}
	}
	for _, file := range []string{
		"FROM node\nARG A=dir:/\nCOPY --from=$A / /x", "FROM node\nENV A=dir:/\nCOPY --from=${A} / /x", "FROM node\nARG A\nRUN --mount=from=$A,target=/m true",
	} {
		if got := parseContainerfile(file, nil).refused; len(got) != 1 {
			t.Errorf("%q: %q is refused", file, got)
		}
	}
}

func TestBasesPatterns(t *testing.T) {
	for _, good := range []string{"docker.io/*", "ghcr.io/acme/*", "docker.io/library/node", "localhost/base/*", "localhost/debian:12", "r.test:5000/*"} {
		if _, err := newAllowedBases("towline", []string{good}); err != nil {
			t.Errorf("%q: %v", good, err)
		}
	}
	for _, bad := range []string{"", "*", "/*", "node", "library/node", "localhost/*", "docker.io/**", "docker.io/*/x", "Docker.io/X", "a b", "docker.io/x@sha256:1", "-v"} {
		if _, err := newAllowedBases("towline", []string{bad}); err == nil {
			t.Errorf("%q is taken", bad)
		}
	}
	if got := repositoryOf("localhost:5000/a"); got != "localhost:5000/a" {
		t.Error(got)
	}
	if !slices.Equal([]string{repositoryOf("localhost/a/b:c")}, []string{"localhost/a/b"}) {
		t.Error("a tag stays")
	}
}
