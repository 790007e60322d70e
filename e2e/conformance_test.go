package e2e

import (
	"path/filepath"
	"strings"
	"testing"

	"towline/e2e/stack"
)

// TestConformance takes Towline's own services through an add-on's life, as
// plugins:check --run does for anybody's.
func TestConformance(t *testing.T) {
	s := sharedStack(t)
	root, err := stack.Root()
	if err != nil {
		t.Fatal(err)
	}
	for _, service := range []struct{ name, flags string }{
		{"redis", ""}, {"postgres", " --version 15"}, {"neo4j", ""}, {"neo4j", " --version 4.4"},
	} {
		t.Run(service.name+strings.ReplaceAll(service.flags, " --version ", "-"), func(t *testing.T) {
			if testing.Short() && service.name != "redis" {
				t.Skip("takes long")
			}
			if strings.HasSuffix(service.flags, "4.4") {
				needNeo4j44(t)
			}
			out := admin(t, s, "plugins:check --run "+filepath.Join(root, "addons", service.name)+service.flags)
			if !strings.Contains(out, service.name+" conforms") {
				t.Error(out)
			}
			assertNoCheck(t, s)
		})
	}
}

// needNeo4j44 skips where the image was not built: packaging/images/build.sh neo4j-4.4
func needNeo4j44(t *testing.T) {
	t.Helper()
	if _, err := stack.Podman("image", "exists", "localhost/towline/neo4j:4.4-community"); err != nil {
		t.Skip("there is no image of Neo4j 4.4")
	}
}

// TestNeo4j44MovesTo5: a backup of Neo4j 4.4 is restored into an add-on of 5.
func TestNeo4j44MovesTo5(t *testing.T) {
	t.Parallel()
	if testing.Short() {
		t.Skip("takes long")
	}
	needNeo4j44(t)
	s := ownStack(t, stack.Options{})
	admin(t, s, "apps:create graphs")
	admin(t, s, "addons:create neo4j -a graphs --version 4.4")
	db := openDatabase(t, s, "graphs", "neo4j", "neo4j-graphs")
	for n := range int64(3) {
		if err := db.Add(n + 1); err != nil {
			t.Fatal(err)
		}
	}
	// 5 has no indexes of this kind any more.
	if _, err := db.Cypher("CREATE BTREE INDEX records FOR (r:Record) ON (r.n)", nil); err != nil {
		t.Fatal(err)
	}
	b := capture(t, s, "neo4j-graphs")
	if b.Status != "good" || !strings.Contains(b.Facts, "nodes 3") {
		t.Errorf("%+v", b)
	}
	admin(t, s, "apps:create later")
	admin(t, s, "addons:create neo4j -a later")
	admin(t, s, "backups:restore "+b.ID+" --to neo4j-later --confirm neo4j-later")
	db = openDatabase(t, s, "later", "neo4j", "neo4j-later")
	if last, count, err := db.Last(); err != nil || last != 3 || count != 3 {
		t.Errorf("restored are %d records up to %d, %v", count, last, err)
	}
	rows, err := db.Cypher("SHOW INDEXES YIELD name, type WHERE name = 'records' RETURN type", nil)
	if err != nil || len(rows) != 1 || rows[0] != "RANGE" {
		t.Errorf("the index is %v, %v", rows, err)
	}
}
