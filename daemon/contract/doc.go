// Package contract says what the core relies upon of the engine and of the router, as tests
// that the real ones and their stand-ins in memory both pass: so a fast test on a stand-in
// means something. Where the real one behaves otherwise than was thought, the suite and the
// stand-in follow it.
package contract
