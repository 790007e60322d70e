//go:build !race

package journeys

// stride: every so-manieth of the calls goes wrong, unless TOWLINE_EVERY_CALL is set. It has
// no divisor in common with the number of ways.
const stride = 13
