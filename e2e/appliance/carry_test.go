package appliance

import (
	"bytes"
	"fmt"
	"os"
	"path/filepath"
	"slices"
	"strings"
	"time"

	"filippo.io/age"
)

// carriedAway restores the machine's backup on another one, as docs/disaster.md says: the
// app serves there under the same name, with its config, its data and its releases.
func (s *story) carriedAway() {
	s.console("redis-shop", "SET kept yes\n", "OK")
	graph := slices.Contains(s.addons, "neo4j")
	if graph {
		s.console("neo4j-shop", "CREATE (:Kept {word: 'carried'});\n", "")
	}
	for _, kind := range s.addons {
		s.towline("backups:capture " + kind + "-shop")
	}
	config := s.towline("config -a shop --json")

	id, err := age.GenerateX25519Identity()
	s.must(err)
	file := filepath.Join(s.dir, "towline.age")
	stream, err := os.OpenFile(file, os.O_CREATE|os.O_RDWR, 0o600)
	s.must(err)
	defer stream.Close()
	var said bytes.Buffer
	err = s.m.Pipe(s.t.Context(), "towline", s.key, nil, stream, &said, "host:backup --recipient "+id.Recipient().String())
	if err != nil || !strings.Contains(said.String(), s.counted()) {
		s.t.Fatalf("%v: %s", err, said.String())
	}
	s.wants(s.stream("towline", file, "host:backup --verify"), "is whole and was restored: "+s.counted())

	plan := s.plan
	plan.Net += 50
	other := begin(s.t, plan)
	other.root(other.apt("install", other.mnt("new.deb")))
	other.settings()
	other.stream("root", file, "umask 077; cat >/root/towline.age")
	other.root("umask 077; echo " + id.String() + " >/root/towline.key")
	other.root("systemctl stop towlined.socket towlined")
	out := other.root("towline host:restore --identity /root/towline.key /root/towline.age 2>&1")
	s.t.Log(tail(out))
	for _, kind := range s.addons {
		s.wants(out, "data of "+kind+"-shop: as of ")
	}
	other.root("systemctl restart towline-proxy towlined.socket towlined")

	other.serves, other.key = s.serves, s.key // its members are those of before
	other.waitRunning()
	other.waitPage(2 * time.Minute)
	if got := other.towline("config -a shop --json"); got != config {
		s.t.Errorf("the config was\n%s and is\n%s", config, got)
	}
	other.console("redis-shop", "GET kept\n", "yes")
	if graph {
		other.console("neo4j-shop", "MATCH (k:Kept) RETURN k.word;\n", "carried")
	}
	other.deploy("four")
	s.page() // the first machine has noticed nothing
}

// counted is what a backup of the machine has in it.
func (s *story) counted() string {
	if len(s.addons) == 1 {
		return "1 app, 1 add-on"
	}
	return fmt.Sprintf("1 app, %d add-ons", len(s.addons))
}

// stream gives a command line a file to read, and returns what it says.
func (s *story) stream(user, file, line string) string {
	s.t.Helper()
	in, err := os.Open(file)
	s.must(err)
	defer in.Close()
	var out bytes.Buffer
	if err := s.m.Pipe(s.t.Context(), user, s.key, in, &out, &out, line); err != nil {
		s.t.Fatalf("%v\n%s", err, tail(out.String()))
	}
	return out.String()
}

// console has an add-on's own console read text, and wants its output to have the word.
func (s *story) console(addon, text, word string) {
	s.t.Helper()
	out, err := s.m.SSH(s.t.Context(), "towline", s.key, text, "addons:console "+addon)
	s.must(err)
	s.wants(out, word)
}
