package main

import (
	"encoding/base64"
	"fmt"
	"net"

	"towline/proxy"
)

// dnsProvider makes what answers DNS-01 challenges. "" is none.
func dnsProvider(name string, settings map[string]string) (any, error) {
	switch name {
	case "":
		return nil, nil
	case "rfc2136":
	default:
		return nil, fmt.Errorf("tls.dns_provider: %q is not known; it can be \"rfc2136\" (dynamic updates)", name)
	}
	p := &proxy.RFC2136{}
	for key, value := range settings {
		place := map[string]*string{"server": &p.Server, "key_name": &p.KeyName, "key_secret": &p.KeySecret, "algorithm": &p.Algorithm}[key]
		if place == nil {
			return nil, fmt.Errorf("tls.dns.%s is not known; it can be server, key_name, key_secret, algorithm", key)
		}
		*place = value
	}
	if _, _, err := net.SplitHostPort(p.Server); err != nil {
		return nil, fmt.Errorf("tls.dns.server: %q is not host:port", p.Server)
	}
	if _, err := base64.StdEncoding.DecodeString(p.KeySecret); err != nil || (p.KeyName == "") != (p.KeySecret == "") {
		return nil, fmt.Errorf("tls.dns: key_name and key_secret (base64) belong together")
	}
	return p, nil
}
