package main

import (
	"bytes"
	"context"
	"encoding/json"
	"fmt"
	"os"
	"os/exec"
	"runtime"
	"slices"
	"strings"
	"time"
)

// openTimeout bounds the question for the address.
const openTimeout = 30 * time.Second

// open has the server say an app's address, and the desktop's browser show it. done is
// false where there is no browser: then the server's own words are as good.
func open(in invocation) (done bool) {
	browser := browserProgram()
	ask := in.asker()
	if browser == "" || ask == nil || in.asksHelp() || slices.Contains(in.words, "--json") {
		return false
	}
	ctx, cancel := context.WithTimeout(context.Background(), openTimeout)
	defer cancel()
	var out bytes.Buffer
	var page struct{ URL string }
	if ask.run(ctx, append(slices.Clone(in.words), "--json"), &out) != nil || json.Unmarshal(out.Bytes(), &page) != nil {
		return false
	}
	// The address is the server's: it may not be anything but a page.
	if !strings.HasPrefix(page.URL, "https://") {
		return false
	}
	fmt.Println(page.URL)
	return exec.Command(browser, page.URL).Start() == nil
}

// browserProgram is what shows a page on this desktop; empty: there is none.
func browserProgram() string {
	name := "xdg-open"
	switch {
	case runtime.GOOS == "darwin":
		name = "open"
	case os.Getenv("DISPLAY") == "" && os.Getenv("WAYLAND_DISPLAY") == "":
		return ""
	}
	path, err := exec.LookPath(name)
	if err != nil {
		return ""
	}
	return path
}
