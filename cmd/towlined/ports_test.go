package main

import (
	"slices"
	"testing"
)

func TestPublicPorts(t *testing.T) {
	got := publicPorts(":80", "[::1]:8443", "127.0.0.1:0", "", "80", ":http", ":70000")
	if want := []int{80, 8443}; !slices.Equal(got, want) {
		t.Errorf("%v, want %v", got, want)
	}
}
