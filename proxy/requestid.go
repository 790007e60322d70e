package proxy

import (
	"math/rand/v2"

	"towline/proxy/message"
)

const idSize = 36

// identify gives the exchange its request ID: the client's own when it is a
// harmless one, so that a request can be followed across systems, else a new one.
func (x *exchange) identify() {
	for i := range x.req.Fields {
		f := &x.req.Fields[i]
		if message.KindOf(f.Name) == message.KindRequestID && harmlessID(f.Value) {
			x.idText = f.Value
			return
		}
	}
	putID(&x.id, rand.Uint64(), rand.Uint64())
	x.idText = message.Text(x.id[:])
}

func harmlessID(s string) bool {
	if len(s) < 20 || len(s) > 128 {
		return false
	}
	for i := 0; i < len(s); i++ {
		switch c := s[i]; {
		case 'a' <= c && c <= 'z', 'A' <= c && c <= 'Z', '0' <= c && c <= '9', c == '-':
		default:
			return false
		}
	}
	return true
}

// putID writes a version 4 UUID made of a and b.
func putID(id *[idSize]byte, a, b uint64) {
	const digits = "0123456789abcdef"
	a = a&^0xf000 | 0x4000
	b = b&^(3<<62) | 2<<62
	j := 0
	for i := range 32 {
		if i == 8 || i == 12 || i == 16 || i == 20 {
			id[j] = '-'
			j++
		}
		word := a
		if i >= 16 {
			word = b
		}
		id[j] = digits[word>>(60-4*uint(i&15))&15]
		j++
	}
}
