package main

import (
	"errors"
	"fmt"
	"go/ast"
	"go/parser"
	"go/token"
	"os"
	"path/filepath"
	"reflect"
	"strconv"
	"strings"

	"towline/cmd/internal/config"
)

// key is one of towline.toml: where it stands, what the type's comment says of it, and
// its default as the file would say it.
type key struct {
	table, name string
	about       string
	fallback    string
	isTable     bool // [table] whose keys are the user's own
}

// section is a table of the file; the first has no name.
type section struct {
	name, about string
	keys        []key
}

// readConfig reads the comments of the types from their source in dir, and the defaults
// from the types themselves.
func readConfig(dir string) ([]section, error) {
	types, err := parseTypes(dir)
	if err != nil {
		return nil, err
	}
	defaults := reflect.ValueOf(config.Default())
	top := section{about: "How this installation is called, and where it keeps things."}
	sections := []section{}
	for _, f := range fieldsOf(types["File"].fields) {
		value := defaults.FieldByName(f.name)
		if value.Kind() != reflect.Struct {
			top.keys = append(top.keys, f.key("", value))
			continue
		}
		s := section{name: f.toml, about: types[value.Type().Name()].about}
		for _, inner := range fieldsOf(types[value.Type().Name()].fields) {
			s.keys = append(s.keys, inner.key(f.toml, value.FieldByName(inner.name)))
		}
		sections = append(sections, s)
	}
	sections = append([]section{top}, sections...)
	for _, s := range sections {
		for _, k := range s.keys {
			if k.about == "" {
				return nil, fmt.Errorf("%s: the key %s.%s has no comment", dir, s.name, k.name)
			}
		}
	}
	return sections, nil
}

// sourceType is a struct as its source has it.
type sourceType struct {
	about  string
	fields *ast.FieldList
}

func parseTypes(dir string) (map[string]sourceType, error) {
	files, err := filepath.Glob(filepath.Join(dir, "*.go"))
	if err != nil {
		return nil, err
	}
	types := map[string]sourceType{}
	for _, path := range files {
		text, err := os.ReadFile(path)
		if err != nil {
			return nil, err
		}
		file, err := parser.ParseFile(token.NewFileSet(), path, text, parser.ParseComments)
		if err != nil {
			return nil, err
		}
		for _, decl := range file.Decls {
			general, ok := decl.(*ast.GenDecl)
			if !ok {
				continue
			}
			for _, spec := range general.Specs {
				t, ok := spec.(*ast.TypeSpec)
				if !ok {
					continue
				}
				if s, ok := t.Type.(*ast.StructType); ok {
					types[t.Name.Name] = sourceType{sentence(general.Doc.Text(), t.Name.Name), s.Fields}
				}
			}
		}
	}
	if types["File"].fields == nil {
		return nil, errors.New(dir + " has no type File")
	}
	return types, nil
}

// field is one of a struct.
type field struct{ name, toml, about string }

func fieldsOf(list *ast.FieldList) (fields []field) {
	for _, f := range list.List {
		if f.Tag == nil || len(f.Names) != 1 {
			continue
		}
		tag, _ := strconv.Unquote(f.Tag.Value)
		about := f.Doc.Text()
		if about == "" {
			about = f.Comment.Text()
		} else if c := f.Comment.Text(); c != "" {
			about += c
		}
		fields = append(fields, field{f.Names[0].Name, reflect.StructTag(tag).Get("toml"), sentence(about, f.Names[0].Name)})
	}
	return fields
}

// key describes the field, whose default is value.
func (f field) key(table string, value reflect.Value) key {
	k := key{table: table, name: f.toml, about: f.about}
	switch v := value.Interface().(type) {
	case string:
		k.fallback = strconv.Quote(v)
	case int, int64:
		k.fallback = fmt.Sprint(v)
	case bool:
		k.fallback = strconv.FormatBool(v)
	case config.Duration:
		text, _ := v.MarshalText() // never fails
		k.fallback = strconv.Quote(tidy(string(text)))
	case []string:
		quoted := make([]string, len(v))
		for i, s := range v {
			quoted[i] = strconv.Quote(s)
		}
		k.fallback = "[" + strings.Join(quoted, ", ") + "]"
	case map[string]string:
		k.isTable = true
	default:
		panic(fmt.Sprintf("towline.toml cannot say a %T", v))
	}
	return k
}

// tidy writes 15m0s as 15m.
func tidy(duration string) string {
	if rest, ok := strings.CutSuffix(duration, "m0s"); ok {
		duration = rest + "m"
	}
	if rest, ok := strings.CutSuffix(duration, "h0m"); ok {
		duration = rest + "h"
	}
	return duration
}

// sentence makes one of a comment, without the name of what it stands at.
func sentence(comment, name string) string {
	text := strings.Join(strings.Fields(comment), " ")
	for _, start := range []string{name + " are ", name + " is ", name + ": ", name + " "} {
		if rest, ok := strings.CutPrefix(text, start); ok {
			text = rest
			break
		}
	}
	if text == "" {
		return ""
	}
	text = strings.ToUpper(text[:1]) + text[1:]
	if !strings.HasSuffix(text, ".") {
		text += "."
	}
	return text
}

const exampleHead = `# Every key of towline.toml with its default, commented out. See towline.toml(5).
# After a change: towlined --check, then systemctl restart towlined; systemctl reload towline-proxy.
`

// exampleOf is the file with every key commented out.
func exampleOf(sections []section) string {
	var b strings.Builder
	b.WriteString(exampleHead)
	for _, s := range sections {
		if s.name != "" {
			fmt.Fprintf(&b, "\n%s[%s]\n", comment(s.about), s.name)
		}
		var tables []key
		for _, k := range s.keys {
			if k.isTable {
				tables = append(tables, k)
				continue
			}
			fmt.Fprintf(&b, "\n%s#%s = %s\n", comment(k.about), k.name, k.fallback)
		}
		for _, k := range tables {
			name := k.name
			if s.name != "" {
				name = s.name + "." + k.name
			}
			fmt.Fprintf(&b, "\n%s#[%s]\n", comment(k.about), name)
		}
	}
	return b.String()
}

// comment wraps text into lines that begin with a hash.
func comment(text string) string {
	var b strings.Builder
	line := "#"
	for _, word := range strings.Fields(text) {
		if len(line)+1+len(word) > 96 {
			b.WriteString(line + "\n")
			line = "#"
		}
		line += " " + word
	}
	b.WriteString(line + "\n")
	return b.String()
}
