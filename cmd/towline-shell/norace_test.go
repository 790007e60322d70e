//go:build !race

package main

const testMemory = "2g"
