// Package daemon is Towline's vocabulary: its nouns, its errors, its names, and the ports by
// which its rooms reach what is outside (ports.go, engine.go, store.go). It does nothing by itself,
// and imports the standard library alone. What is done stands in the packages below.
package daemon
