package main

import (
	"slices"
	"testing"
)

func TestPublicPorts(t *testing.T) {
	got := publicPorts(":80", "[::]:8443", "192.0.2.1:443", "[::1]:8444", "127.0.0.1:8445", "localhost:8446", "127.0.0.1:0", "", "80", ":http", ":70000")
	if want := []int{80, 8443, 443}; !slices.Equal(got, want) {
		t.Errorf("%v, want %v", got, want)
	}
}
