package daemon_test

import (
	"go/ast"
	"go/parser"
	"go/token"
	"path/filepath"
	"strings"
	"testing"
)

// A file has one noun, and so has a type: what is larger hides another.
const (
	maxLines   = 400
	maxMethods = 40 // declared on a type; those of what it embeds are that one's
)

func TestFilesAndTypesHaveOneNoun(t *testing.T) {
	eachFile(t, []string{".", "../plugins", "../cmd"}, func(files *token.FileSet, file *ast.File) {
		if f := files.File(file.FileStart); f.LineCount() > maxLines {
			t.Errorf("%s has %d lines, more than %d: give a noun of it a file of its own", f.Name(), f.LineCount(), maxLines)
		}
	})
	methods := map[string]int{} // by directory and type
	eachFile(t, []string{".", "../plugins"}, func(files *token.FileSet, file *ast.File) {
		dir := filepath.Dir(files.File(file.FileStart).Name())
		for _, receiver := range receivers(file) {
			methods[dir+"."+receiver]++
		}
	})
	for what, n := range methods {
		if n > maxMethods {
			t.Errorf("%s has %d methods, more than %d: give a noun of it a type of its own, and embed that", what, n, maxMethods)
		}
	}
	const example = "package p\nfunc (a *A) f() {}\nfunc (A) g() {}\nfunc (b *B[K, V]) f() {}\nfunc (c *C[K]) f() {}\nfunc f(A) {}"
	file, err := parser.ParseFile(token.NewFileSet(), "example.go", example, 0)
	if err != nil {
		t.Fatal(err)
	}
	if got := strings.Join(receivers(file), " "); got != "A A B C" {
		t.Errorf("the methods in the example are of %s", got)
	}
}

// receivers are the types of a file's methods, one for each.
func receivers(file *ast.File) (types []string) {
	for _, d := range file.Decls {
		f, ok := d.(*ast.FuncDecl)
		if !ok || f.Recv == nil {
			continue
		}
		of := f.Recv.List[0].Type
		if star, ok := of.(*ast.StarExpr); ok {
			of = star.X
		}
		switch generic := of.(type) {
		case *ast.IndexExpr:
			of = generic.X
		case *ast.IndexListExpr:
			of = generic.X
		}
		if name, ok := of.(*ast.Ident); ok {
			types = append(types, name.Name)
		}
	}
	return types
}
