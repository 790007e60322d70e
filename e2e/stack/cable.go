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
	tls, err := s.TLS()
	if err != nil {
		return "", err
	}
	config, err := websocket.NewConfig("wss"+s.URL(app, "/cable")[len("https"):], s.URL(app, ""))
	if err != nil {
		return "", err
	}
	config.Protocol, config.TlsConfig = []string{"actioncable-v1-json"}, tls
	config.TlsConfig.ServerName = app + ".localhost"
	conn, err := dialCable(ctx, config, loopback(s.HTTPSPort))
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
