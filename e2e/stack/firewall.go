package stack

import (
	"bytes"
	"fmt"
	"net"
	"os"
	"os/exec"
	"path/filepath"
	"regexp"
	"strings"
)

// forgetRules takes out of the firewall what an installation has put there: the chain and the
// set of its add-ons, its bridges, and the ports that its containers reach. What others
// have, or is gone, stays as it is.
func forgetRules(name, dir string, networks []string) error {
	script := "add table bridge towline\n" +
		"add set bridge towline answers-" + name + " { type ether_addr; }\n" +
		"add chain bridge towline answers-" + name + " { type filter hook forward priority filter; }\n" +
		"delete chain bridge towline answers-" + name + "\ndelete set bridge towline answers-" + name + "\n" +
		"add table inet towline\nadd set inet towline bridges { typeof iifname . oifname; }\nadd set inet towline public { type inet_service; }\n"
	for _, network := range networks {
		bridge, err := Podman("network", "inspect", "--format", "{{.NetworkInterface}}", network)
		if err != nil {
			return err
		}
		if bridge = strings.TrimSpace(bridge); bridge != "" {
			element := fmt.Sprintf("element inet towline bridges { %[1]q . %[1]q }\n", bridge)
			script += "add " + element + "delete " + element
		}
	}
	for _, port := range publicPorts(dir) {
		element := "element inet towline public { " + port + " }\n"
		script += "add " + element + "delete " + element
	}
	cmd := exec.Command("nft", "-f", "-")
	cmd.Stdin = strings.NewReader(script)
	if out, err := cmd.CombinedOutput(); err != nil {
		return fmt.Errorf("nft: %w: %s", err, bytes.TrimSpace(out))
	}
	return nil
}

var listens = regexp.MustCompile(`(?m)^https? = "([^"]+)"$`)

// publicPorts are those that the configuration in dir names.
func publicPorts(dir string) (ports []string) {
	text, _ := os.ReadFile(filepath.Join(dir, "towline.toml"))
	for _, m := range listens.FindAllStringSubmatch(string(text), -1) {
		if _, port, err := net.SplitHostPort(m[1]); err == nil {
			ports = append(ports, port)
		}
	}
	return ports
}
