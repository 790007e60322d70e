package stack

import (
	"context"
	"encoding/json"
	"fmt"
	"net"

	"golang.org/x/net/websocket"
)

// Cable opens a WebSocket to the Rails example through the proxy, subscribes to its
// echo channel as ActionCable's own client would, and returns what comes back of text.
func (s *Stack) Cable(ctx context.Context, app, text string) (string, error) {
	conn, err := s.dialWebSocket(ctx, app, "/cable", "actioncable-v1-json")
	if err != nil {
		return "", err
	}
	defer conn.Close()
	defer context.AfterFunc(ctx, func() { conn.Close() })()
	identifier, err := json.Marshal(map[string]string{"channel": "EchoChannel"})
	if err != nil {
		return "", err
	}
	for {
		var m struct {
			Type    string          `json:"type"`
			Message json.RawMessage `json:"message"`
		}
		if err := websocket.JSON.Receive(conn, &m); err != nil {
			return "", fmt.Errorf("the WebSocket of %s: %w", app, err)
		}
		var say map[string]string
		switch m.Type {
		case "welcome":
			say = map[string]string{"command": "subscribe", "identifier": string(identifier)}
		case "confirm_subscription":
			data, err := json.Marshal(map[string]string{"text": text})
			if err != nil {
				return "", err
			}
			say = map[string]string{"command": "message", "identifier": string(identifier), "data": string(data)}
		case "":
			var echo struct {
				Text string `json:"text"`
			}
			err := json.Unmarshal(m.Message, &echo)
			return echo.Text, err
		case "disconnect", "reject_subscription":
			return "", fmt.Errorf("%s answers %s", app, m.Type)
		}
		if say != nil {
			if err := websocket.JSON.Send(conn, say); err != nil {
				return "", err
			}
		}
	}
}

// Echo opens a WebSocket to an app through the proxy, and returns what comes back of text.
func (s *Stack) Echo(ctx context.Context, app, path, text string) (echo string, err error) {
	conn, err := s.dialWebSocket(ctx, app, path)
	if err != nil {
		return "", err
	}
	defer conn.Close()
	defer context.AfterFunc(ctx, func() { conn.Close() })()
	if err := websocket.Message.Send(conn, text); err != nil {
		return "", err
	}
	return echo, websocket.Message.Receive(conn, &echo)
}

// dialWebSocket connects to an app through the proxy, whatever its name resolves to.
func (s *Stack) dialWebSocket(ctx context.Context, app, path string, protocols ...string) (*websocket.Conn, error) {
	tls, err := s.TLS()
	if err != nil {
		return nil, err
	}
	config, err := websocket.NewConfig("wss"+s.URL(app, path)[len("https"):], s.URL(app, ""))
	if err != nil {
		return nil, err
	}
	tls.ServerName = app + ".localhost"
	config.Protocol, config.TlsConfig = protocols, tls
	return dialCable(ctx, config, loopback(s.HTTPSPort))
}

// dialCable connects to the proxy, whatever the name resolves to.
func dialCable(ctx context.Context, config *websocket.Config, address string) (*websocket.Conn, error) {
	raw, err := new(net.Dialer).DialContext(ctx, "tcp", address)
	if err != nil {
		return nil, err
	}
	conn, err := tlsClient(ctx, raw, config.TlsConfig)
	if err != nil {
		raw.Close()
		return nil, err
	}
	ws, err := websocket.NewClient(config, conn)
	if err != nil {
		conn.Close()
		return nil, err
	}
	return ws, nil
}
