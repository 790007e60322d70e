package proxy

import (
	"encoding/binary"
	"errors"
	"io"
	"net/netip"
	"strconv"
	"strings"
	"syscall"
)

var (
	errProxyHeader   = errors.New("malformed PROXY header")
	errNoProxyHeader = errors.New("closed before a PROXY header")
)

const proxyV2 = "\r\n\r\n\x00\r\nQUIT\n"

// readProxyHeader reads a PROXY protocol header, version 1 or 2, and not a byte
// more. Invalid addresses mean that the sender speaks for itself (LOCAL, UNKNOWN).
// errNoProxyHeader: it closed the connection without a byte.
func readProxyHeader(r io.Reader) (src, dst netip.AddrPort, err error) {
	var first [16]byte
	// The shortest version 1 header, "PROXY UNKNOWN\r\n", has 15 bytes.
	n, err := io.ReadFull(r, first[:15])
	if n == 0 && (errors.Is(err, io.EOF) || errors.Is(err, syscall.ECONNRESET)) {
		return src, dst, errNoProxyHeader
	}
	if err != nil {
		return src, dst, err
	}
	if string(first[:12]) == proxyV2 {
		if _, err = io.ReadFull(r, first[15:]); err != nil {
			return src, dst, err
		}
		return readProxyV2(r, first)
	}
	line := append(make([]byte, 0, 107), first[:15]...)
	for !strings.HasSuffix(string(line), "\r\n") {
		if len(line) == 107 {
			return src, dst, errProxyHeader
		}
		line = line[:len(line)+1]
		if _, err = io.ReadFull(r, line[len(line)-1:]); err != nil {
			return src, dst, err
		}
	}
	return parseProxyV1(strings.TrimSuffix(string(line), "\r\n"))
}

func parseProxyV1(line string) (src, dst netip.AddrPort, err error) {
	f := strings.Split(line, " ")
	if len(f) >= 2 && f[0] == "PROXY" && f[1] == "UNKNOWN" {
		return src, dst, nil
	}
	if len(f) != 6 || f[0] != "PROXY" || f[1] != "TCP4" && f[1] != "TCP6" {
		return src, dst, errProxyHeader
	}
	end := func(addr, port string) (netip.AddrPort, error) {
		a, err := netip.ParseAddr(addr)
		n, err2 := strconv.ParseUint(port, 10, 16)
		if err != nil || err2 != nil || a.Zone() != "" || a.Is4() != (f[1] == "TCP4") {
			return netip.AddrPort{}, errProxyHeader
		}
		return netip.AddrPortFrom(a, uint16(n)), nil
	}
	if src, err = end(f[2], f[4]); err != nil {
		return src, dst, err
	}
	dst, err = end(f[3], f[5])
	return src, dst, err
}

func readProxyV2(r io.Reader, first [16]byte) (src, dst netip.AddrPort, err error) {
	rest := make([]byte, binary.BigEndian.Uint16(first[14:]))
	if first[12]>>4 != 2 || len(rest) > 2<<10 {
		return src, dst, errProxyHeader
	}
	if _, err = io.ReadFull(r, rest); err != nil {
		return src, dst, err
	}
	switch command := first[12] & 15; {
	case command == 0:
		return src, dst, nil
	case command != 1:
		return src, dst, errProxyHeader
	}
	size := 4
	switch first[13] >> 4 {
	case 1:
	case 2:
		size = 16
	default:
		return src, dst, nil
	}
	if len(rest) < 2*size+4 {
		return src, dst, errProxyHeader
	}
	a, _ := netip.AddrFromSlice(rest[:size])
	b, _ := netip.AddrFromSlice(rest[size : 2*size])
	src = netip.AddrPortFrom(a, binary.BigEndian.Uint16(rest[2*size:]))
	dst = netip.AddrPortFrom(b, binary.BigEndian.Uint16(rest[2*size+2:]))
	return src, dst, nil
}
