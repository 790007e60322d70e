//go:build race

package journeys

// stride: the race detector makes all of this many times slower.
const stride = 29
