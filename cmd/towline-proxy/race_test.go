//go:build race

package main

// The race detector keeps several bytes of its own for each of the program's, and gives
// none of them back.
const memoryIsTold = false
