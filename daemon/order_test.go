package daemon_test

import (
	"go/ast"
	"go/parser"
	"go/token"
	"io/fs"
	"path/filepath"
	"strings"
	"testing"
)

// TestReturnsReadNothingThatTheyChange: "return rel, release(&rel)" may return what rel was
// before the call or after it. The language does not say which.
func TestReturnsReadNothingThatTheyChange(t *testing.T) {
	eachFile(t, []string{".", "../cmd", "../proxy", "../plugins"}, func(files *token.FileSet, file *ast.File) {
		for _, at := range changedReturns(file) {
			t.Errorf("%s returns a variable whose address a call beside it takes", files.Position(at))
		}
	})
	const bad = "package p\nfunc f() (int, error) { var n int; return n, g(h(&n)) }\nfunc k() (int, error) { var n int; err := g(&n); return n, err }"
	file, err := parser.ParseFile(token.NewFileSet(), "bad.go", bad, 0)
	if err != nil || len(changedReturns(file)) != 1 {
		t.Errorf("in the example: %v, %v", changedReturns(file), err)
	}
}

// eachFile parses the files of the program below some directories.
func eachFile(t *testing.T, dirs []string, look func(*token.FileSet, *ast.File)) {
	t.Helper()
	seen := 0
	for _, dir := range dirs {
		err := filepath.WalkDir(dir, func(path string, _ fs.DirEntry, err error) error {
			if err != nil || !strings.HasSuffix(path, ".go") || strings.HasSuffix(path, "_test.go") {
				return err
			}
			seen++
			files := token.NewFileSet()
			file, err := parser.ParseFile(files, path, nil, 0)
			if err != nil {
				return err
			}
			look(files, file)
			return nil
		})
		if err != nil {
			t.Fatal(err)
		}
	}
	if seen < 100 {
		t.Errorf("looked at %d files", seen)
	}
}

// changedReturns are the returns of a variable, or of a field of it, whose address is handed to
// a call in the same statement.
func changedReturns(file *ast.File) (found []token.Pos) {
	ast.Inspect(file, func(n ast.Node) bool {
		r, ok := n.(*ast.ReturnStmt)
		if !ok || len(r.Results) < 2 {
			return true
		}
		read, given := map[string]bool{}, map[string]bool{}
		for _, result := range r.Results {
			if name := root(result); name != "" {
				read[name] = true
				continue
			}
			ast.Inspect(result, func(n ast.Node) bool {
				if _, ok := n.(*ast.FuncLit); ok {
					return false
				}
				if u, ok := n.(*ast.UnaryExpr); ok && u.Op == token.AND {
					given[root(u.X)] = true
				}
				return true
			})
		}
		for name := range given {
			if read[name] {
				found = append(found, r.Pos())
			}
		}
		return true
	})
	return found
}

// root is the variable that an expression is, or is a part of; empty: it is another expression.
func root(e ast.Expr) string {
	switch e := e.(type) {
	case *ast.Ident:
		return e.Name
	case *ast.SelectorExpr:
		return root(e.X)
	case *ast.ParenExpr:
		return root(e.X)
	}
	return ""
}
