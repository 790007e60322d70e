package apps

import (
	"encoding/json"

	"towline/daemon"
)

// parseProtocol reads from an app.json what the web process speaks, as in Process.
func parseProtocol(text []byte) (string, error) {
	var file struct {
		Protocol map[string]string `json:"protocol"`
	}
	if err := json.Unmarshal(text, &file); err != nil {
		return "", daemon.Errorf(daemon.Invalid, "app.json is not valid: %v", err)
	}
	for process := range file.Protocol {
		if process != "web" {
			return "", daemon.Errorf(daemon.Invalid, "app.json: protocol of %q: the proxy serves web processes alone", daemon.Clip(process))
		}
	}
	switch protocol := file.Protocol["web"]; protocol {
	case "", "http":
		return "", nil
	case daemon.ProtocolH2C:
		return daemon.ProtocolH2C, nil
	default:
		return "", daemon.Errorf(daemon.Invalid, "app.json: protocol %q of web is not known", daemon.Clip(protocol)).
			WithHint(`it is "http" or, for gRPC, "h2c": {"protocol": {"web": "h2c"}}`)
	}
}
