//go:build race

package main

// The race detector reserves terabytes of address space.
const testMemory = "0"
