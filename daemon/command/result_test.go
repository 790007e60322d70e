package command

import (
	"context"
	"encoding/json"
	"go/ast"
	"go/parser"
	"go/token"
	"io"
	"path/filepath"
	"strings"
	"testing"

	"towline/daemon"
)

// TestEveryResultCanBeRendered: another form than text or JSON gets the value itself, with nothing
// printed on the way, and JSON can carry it.
func TestEveryResultCanBeRendered(t *testing.T) {
	b := filledBench(t)
	for _, line := range append(append([]string{}, readers...), doers...) {
		words := strings.Fields(line)
		c, _, err := b.find(words)
		if err != nil {
			t.Fatal(err)
		}
		var results []Result
		r := b.ask(Request{Args: words, Render: func(r Result) error { results = append(results, r); return nil }})
		if c.Stream != Whole {
			continue
		}
		if r.code != 0 || r.out != "" || len(results) != 1 {
			t.Errorf("%s: exit code %d, printed %q, %d results: %s", line, r.code, r.out, len(results), r.errors)
			continue
		}
		if text, err := json.Marshal(results[0].Value); err != nil || string(text) == "null" && c.Name != "builds" || results[0].Text == nil {
			t.Errorf("%s: the value %s, %v", line, text, err)
		}
	}
}

// TestSuccessHasAValue: a command that writes nothing by itself and succeeds returns a value. The
// compiler takes an empty Result; this finds where one is returned without an error.
func TestSuccessHasAValue(t *testing.T) {
	// Each is of a command that declares its stream.
	streams := map[string]bool{"runLogs": true, "runAddonLogs": true, "runAddonForward": true, "runBackupDownload": true, "runHostBackup": true}
	files, err := filepath.Glob("*.go")
	if err != nil {
		t.Fatal(err)
	}
	for _, file := range files {
		if strings.HasSuffix(file, "_test.go") {
			continue
		}
		parsed, err := parser.ParseFile(token.NewFileSet(), file, nil, 0)
		if err != nil {
			t.Fatal(err)
		}
		for _, d := range parsed.Decls {
			f, ok := d.(*ast.FuncDecl)
			if !ok || streams[f.Name.Name] {
				continue
			}
			var above []ast.Node
			ast.Inspect(f, func(n ast.Node) bool {
				if n == nil {
					above = above[:len(above)-1]
					return true
				}
				if r, ok := n.(*ast.ReturnStmt); ok && len(r.Results) == 2 && empty(r.Results[0]) && !fails(r.Results[1], above) {
					t.Errorf("%s: %s returns no value where it may have succeeded", file, f.Name.Name)
				}
				above = append(above, n)
				return true
			})
		}
	}
}

// empty tells whether an expression is Result{}.
func empty(e ast.Expr) bool {
	c, ok := e.(*ast.CompositeLit)
	if !ok || len(c.Elts) > 0 {
		return false
	}
	name, ok := c.Type.(*ast.Ident)
	return ok && name.Name == "Result"
}

// fails tells whether an expression is an error for sure: one that is made there, or err within an
// if that has asked for it, or within a switch or a loop in one.
func fails(e ast.Expr, above []ast.Node) bool {
	name, ok := e.(*ast.Ident)
	if !ok {
		_, made := e.(*ast.CallExpr)
		return made
	}
	for i := len(above) - 1; i >= 0; i-- {
		if branch, ok := above[i].(*ast.IfStmt); ok && name.Name == "err" {
			asked := false
			ast.Inspect(branch.Cond, func(n ast.Node) bool {
				id, ok := n.(*ast.Ident)
				asked = asked || ok && id.Name == "err"
				return true
			})
			return asked
		}
	}
	return false
}

// TestWhoStreamsSaysSo: what a command writes by itself goes nowhere unless it has declared that.
func TestWhoStreamsSaysSo(t *testing.T) {
	b := newBench(t)
	for stream, said := range map[Stream][2]string{
		Whole: {"value\n", "{\n  \"a\": 1\n}\n"}, Lines: {"by itself\nvalue\n", "by itself\n{\n  \"a\": 1\n}\n"},
		Progress: {"by itself\nvalue\n", "{\n  \"a\": 1\n}\n"}, Bytes: {"by itself\nvalue\n", ""},
	} {
		b.commands["writes"] = &Command{Name: "writes", On: on(nothing()), Stream: stream, Run: func(_ context.Context, call *Call) (Result, error) {
			if _, err := io.WriteString(call.Stdout, "by itself\n"); err != nil {
				return Result{}, err
			}
			return did(object{"a": 1}, "value")
		}}
		if out := b.run(0, "writes").out; out != said[0] {
			t.Errorf("stream %d: %q", stream, out)
		}
		if stream == Bytes {
			b.run(exitCodes[daemon.Invalid], "writes", "--json")
		} else if out := b.run(0, "writes", "--json").out; out != said[1] {
			t.Errorf("stream %d with --json: %q", stream, out)
		}
	}
}
