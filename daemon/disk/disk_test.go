package disk

import (
	"os"
	"path/filepath"
	"testing"
)

func TestMeasure(t *testing.T) {
	dir := t.TempDir()
	write := func(name string, n int) string {
		path := filepath.Join(dir, name)
		if err := os.MkdirAll(filepath.Dir(path), 0o755); err != nil {
			t.Fatal(err)
		}
		if err := os.WriteFile(path, make([]byte, n), 0o644); err != nil {
			t.Fatal(err)
		}
		return path
	}
	write("shop.git/objects/pack", 100<<10)
	file := write("towline.db", 40<<10)
	if err := os.Symlink("/usr", filepath.Join(dir, "shop.git/link")); err != nil {
		t.Fatal(err)
	}
	if err := os.Link(file, filepath.Join(dir, "shop.git/same")); err != nil {
		t.Fatal(err)
	}
	r, err := Measure(t.Context(), []Place{
		{"app", "shop", "repository", filepath.Join(dir, "shop.git"), 0},
		{"app", "shop", "images", "", 1 << 30},
		{"machine", "database", "database", file, 0},
		{"add-on", "shop-db", "volumes", filepath.Join(dir, "absent"), 0},
	})
	if err != nil || len(r.Uses) != 3 || len(r.Unread) > 0 {
		t.Fatalf("%+v, %v", r, err)
	}
	shop := r.Uses[0]
	if shop.Name != "shop" || shop.Parts["images"] != 1<<30 || shop.Parts["repository"] < 100<<10 || shop.Parts["repository"] > 160<<10 {
		t.Errorf("%+v", shop)
	}
	if db := r.Uses[1]; db.Name != "database" || db.Total != 20<<10 {
		t.Errorf("a file of two names: %+v", db)
	}
	if r.Total != r.Uses[0].Total+r.Uses[1].Total {
		t.Errorf("total %d", r.Total)
	}
}
