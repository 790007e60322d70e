// Manual writes what the package ships besides the programs, from what the programs are
// made of: manual pages from the verb table and the type of towline.toml, the commented
// example of that file, and the completions of the shells.
//
//	go run ./cmd/internal/manual -version 1.2 -date 2026-11-29 DIR
package main

import (
	"bytes"
	"compress/gzip"
	"errors"
	"flag"
	"fmt"
	"os"
	"path/filepath"
)

func main() {
	version := flag.String("version", "dev", "`version` of the package")
	date := flag.String("date", "", "`day` of the version")
	root := flag.String("root", ".", "`directory` of the sources")
	flag.Parse()
	if flag.NArg() != 1 {
		fmt.Fprintln(os.Stderr, "usage: manual [-version VERSION] [-date DAY] DIR")
		os.Exit(2)
	}
	if err := write(*root, flag.Arg(0), *version, *date); err != nil {
		fmt.Fprintln(os.Stderr, "manual:", err)
		os.Exit(1)
	}
}

func write(root, dir, version, date string) error {
	keys, err := readConfig(filepath.Join(root, "cmd/internal/config"))
	if err != nil {
		return err
	}
	m := manual{version: version, date: date}
	pages := map[string]string{
		"towline.1":       m.client(),
		"towlined.8":      m.daemon(),
		"towline-proxy.8": m.proxy(),
		"towline-shell.8": m.shell(),
		"towline.toml.5":  m.config(keys),
	}
	for name, text := range pages {
		if err := zip(filepath.Join(dir, name+".gz"), []byte(text)); err != nil {
			return err
		}
	}
	changelog, err := os.ReadFile(filepath.Join(root, "CHANGELOG.md"))
	if err != nil {
		return err
	}
	return errors.Join(
		zip(filepath.Join(dir, "changelog.gz"), changelog),
		os.WriteFile(filepath.Join(dir, "towline.toml"), []byte(exampleOf(keys)), 0o644),
	)
}

// zip compresses without a name or a time, so that the same text gives the same file.
func zip(path string, text []byte) error {
	var b bytes.Buffer
	w, err := gzip.NewWriterLevel(&b, gzip.BestCompression)
	if err != nil {
		return err
	}
	if _, err := w.Write(text); err != nil {
		return err
	}
	if err := w.Close(); err != nil {
		return err
	}
	if err := os.MkdirAll(filepath.Dir(path), 0o755); err != nil {
		return err
	}
	return os.WriteFile(path, b.Bytes(), 0o644)
}
