package daemon

import "encoding/json"

// parseProtocol reads from an app.json what the web process speaks, as in Process.
func parseProtocol(text []byte) (string, error) {
	var file struct {
		Protocol map[string]string `json:"protocol"`
	}
	if err := json.Unmarshal(text, &file); err != nil {
		return "", Errorf(Invalid, "app.json is not valid: %v", err)
	}
	for process := range file.Protocol {
		if process != "web" {
			return "", Errorf(Invalid, "app.json: protocol of %q: the proxy serves web processes alone", clip(process))
		}
	}
	switch protocol := file.Protocol["web"]; protocol {
	case "", "http":
		return "", nil
	case ProtocolH2C:
		return ProtocolH2C, nil
	default:
		return "", Errorf(Invalid, "app.json: protocol %q of web is not known", clip(protocol)).
			WithHint(`it is "http" or, for gRPC, "h2c": {"protocol": {"web": "h2c"}}`)
	}
}
