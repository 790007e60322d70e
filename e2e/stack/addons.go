package stack

import (
	"fmt"
	"strings"
)

// Address is an IP address at which the host reaches the container of an add-on.
func (s *Stack) Address(addon string) (string, error) {
	out, err := Listing("ps", "--filter", "label=towline="+s.Name, "--format", "{{.Names}}")
	if err != nil {
		return "", err
	}
	for _, name := range strings.Fields(out) {
		if !strings.HasPrefix(name, s.Name+"-addon-"+addon+".") {
			continue
		}
		out, err := Podman("inspect", "--format", "{{range .NetworkSettings.Networks}}{{.IPAddress}} {{end}}", name)
		if err != nil {
			return "", err
		}
		if addresses := strings.Fields(out); len(addresses) > 0 {
			return addresses[0], nil
		}
	}
	return "", fmt.Errorf("%s does not run", addon)
}
