package stack

import (
	"context"
	"encoding/base64"
	"fmt"
	"io"
	"net/url"

	"golang.org/x/net/websocket"
)

// Bolt is a Bolt 4.4 session inside a WebSocket of an add-on's page, as Neo4j Browser's.
type Bolt struct{ ws *websocket.Conn }

// Close ends the session at once.
func (b *Bolt) Close() error { return b.ws.Close() }

// OpenBolt connects to the host of a page with the page's credentials, and logs in to
// the service with its own.
func (s *Stack) OpenBolt(ctx context.Context, page *url.URL, pageLogin, login *url.Userinfo) (*Bolt, error) {
	tls, err := s.TLS()
	if err != nil {
		return nil, err
	}
	config, err := websocket.NewConfig("wss://"+page.Host+"/", "https://"+page.Host)
	if err != nil {
		return nil, err
	}
	config.TlsConfig = tls
	config.TlsConfig.ServerName = page.Hostname()
	if pageLogin != nil {
		password, _ := pageLogin.Password()
		config.Header.Set("Authorization", "Basic "+base64.StdEncoding.EncodeToString([]byte(pageLogin.Username()+":"+password)))
	}
	ws, err := dialCable(ctx, config, loopback(s.HTTPSPort))
	if err != nil {
		return nil, err
	}
	ws.PayloadType = websocket.BinaryFrame
	stop := context.AfterFunc(ctx, func() { ws.Close() })
	defer stop()
	b := &Bolt{ws}
	if err := b.hello(login); err != nil {
		ws.Close()
		return nil, err
	}
	return b, nil
}

func (b *Bolt) hello(login *url.Userinfo) error {
	handshake := []byte{0x60, 0x60, 0xb0, 0x17, 0, 0, 4, 4, 0, 0, 0, 0, 0, 0, 0, 0, 0, 0, 0, 0}
	if _, err := b.ws.Write(handshake); err != nil {
		return err
	}
	var version [4]byte
	if _, err := io.ReadFull(b.ws, version[:]); err != nil || version != [4]byte{0, 0, 4, 4} {
		return fmt.Errorf("the handshake gave version %v: %w", version, err)
	}
	password, _ := login.Password()
	message := []byte{0xb1, 0x01, 0xa4} // HELLO, of one map with four entries
	for _, s := range []string{"user_agent", "towline-e2e/1", "scheme", "basic", "principal", login.Username(), "credentials", password} {
		message = append(append(message, 0xd0, byte(len(s))), s...)
	}
	chunk := append([]byte{0, byte(len(message))}, message...)
	if _, err := b.ws.Write(append(chunk, 0, 0)); err != nil {
		return err
	}
	var answer [4]byte // size, structure, tag
	if _, err := io.ReadFull(b.ws, answer[:]); err != nil {
		return fmt.Errorf("log in: %w", err)
	}
	if answer[3] != 0x70 {
		return fmt.Errorf("the login was refused with message %#x", answer[3])
	}
	return nil
}

// Ended returns once the other end has closed the session.
func (b *Bolt) Ended() { _, _ = io.Copy(io.Discard, b.ws) }
