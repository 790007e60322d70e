package main

import (
	"bufio"
	"crypto/sha1" // RFC 6455's handshake prescribes it
	"encoding/base64"
	"encoding/binary"
	"fmt"
	"io"
	"net/http"
	"strings"
)

// acceptKey is the constant of RFC 6455 that proves a server speaks WebSocket.
const acceptKey = "258EAFA5-E914-47DA-95CA-C5AB0DC85B11"

// maxFrame bounds a message, bytes.
const maxFrame = 1 << 20

// The frame types that echoWebSocket treats apart.
const (
	opClose = 8
	opPing  = 9
	opPong  = 10
)

// echoWebSocket says which version it is, and then sends every message back as
// it came, until the client closes.
func echoWebSocket(w http.ResponseWriter, r *http.Request) {
	if !strings.EqualFold(r.Header.Get("Upgrade"), "websocket") {
		http.Error(w, "a WebSocket is wanted", http.StatusUpgradeRequired)
		return
	}
	conn, rw, err := http.NewResponseController(w).Hijack()
	if err != nil {
		http.Error(w, err.Error(), http.StatusInternalServerError)
		return
	}
	defer conn.Close()
	sum := sha1.Sum([]byte(r.Header.Get("Sec-WebSocket-Key") + acceptKey))
	fmt.Fprintf(rw, "HTTP/1.1 101 Switching Protocols\r\nUpgrade: websocket\r\nConnection: Upgrade\r\nSec-WebSocket-Accept: %s\r\n\r\n",
		base64.StdEncoding.EncodeToString(sum[:]))
	if writeFrame(rw.Writer, 0x81, []byte("version="+version())) != nil {
		return
	}
	for {
		head, payload, err := readFrame(rw.Reader)
		if err != nil {
			return
		}
		switch head & 0x0f {
		case opPong:
			continue
		case opPing:
			head = 0x80 | opPong
		}
		if writeFrame(rw.Writer, head, payload) != nil || head&0x0f == opClose {
			return
		}
	}
}

// readFrame returns a client's frame: its first byte and what it carries.
func readFrame(r *bufio.Reader) (head byte, payload []byte, err error) {
	var start [2]byte
	if _, err = io.ReadFull(r, start[:]); err != nil {
		return 0, nil, err
	}
	length := uint64(start[1] & 0x7f)
	var wide [8]byte
	switch length {
	case 126:
		if _, err = io.ReadFull(r, wide[6:]); err != nil {
			return 0, nil, err
		}
		length = binary.BigEndian.Uint64(wide[:])
	case 127:
		if _, err = io.ReadFull(r, wide[:]); err != nil {
			return 0, nil, err
		}
		length = binary.BigEndian.Uint64(wide[:])
	}
	if length > maxFrame || start[1]&0x80 == 0 {
		return 0, nil, fmt.Errorf("a frame of %d bytes, or not masked", length)
	}
	var mask [4]byte
	if _, err = io.ReadFull(r, mask[:]); err != nil {
		return 0, nil, err
	}
	payload = make([]byte, length)
	if _, err = io.ReadFull(r, payload); err != nil {
		return 0, nil, err
	}
	for i := range payload {
		payload[i] ^= mask[i%4]
	}
	return start[0], payload, nil
}

// writeFrame sends a frame, as servers do unmasked.
func writeFrame(w *bufio.Writer, head byte, payload []byte) error {
	frame := []byte{head}
	switch n := len(payload); {
	case n < 126:
		frame = append(frame, byte(n))
	case n < 1<<16:
		frame = binary.BigEndian.AppendUint16(append(frame, 126), uint16(n))
	default:
		frame = binary.BigEndian.AppendUint64(append(frame, 127), uint64(n))
	}
	if _, err := w.Write(append(frame, payload...)); err != nil {
		return err
	}
	return w.Flush()
}
