//go:build !race

package main

const memoryIsTold = true
