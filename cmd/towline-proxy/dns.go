package main

import (
	"encoding/base64"
	"fmt"
	"maps"
	"net"
	"slices"
	"strings"

	"github.com/libdns/cloudflare"
	"github.com/libdns/desec"
	"github.com/libdns/gandi"
	"github.com/libdns/rfc2136"
)

// dnsKind is one way to answer DNS-01 challenges: the keys of [tls.dns] that it
// takes, and what is made of them.
type dnsKind struct {
	required, optional []string
	make               func(settings map[string]string) (any, error)
}

// dnsKinds are the values of tls.dns_provider.
var dnsKinds = map[string]dnsKind{
	"cloudflare": {[]string{"api_token"}, []string{"zone_token"}, func(s map[string]string) (any, error) {
		return &cloudflare.Provider{APIToken: s["api_token"], ZoneToken: s["zone_token"]}, nil
	}},
	"desec": {[]string{"token"}, nil, func(s map[string]string) (any, error) {
		return &desec.Provider{Token: s["token"]}, nil
	}},
	"gandi": {[]string{"bearer_token"}, nil, func(s map[string]string) (any, error) {
		return &gandi.Provider{BearerToken: s["bearer_token"]}, nil
	}},
	"rfc2136": {[]string{"server", "key_name", "key_secret"}, []string{"algorithm"}, dynamicUpdates},
}

// dynamicUpdates (RFC 2136) are what BIND, Knot, PowerDNS and others take.
func dynamicUpdates(s map[string]string) (any, error) {
	if _, _, err := net.SplitHostPort(s["server"]); err != nil {
		return nil, fmt.Errorf("tls.dns.server: %q is not host:port, such as \"ns.example.com:53\"", s["server"])
	}
	if _, err := base64.StdEncoding.DecodeString(s["key_secret"]); err != nil {
		return nil, fmt.Errorf("tls.dns.key_secret is not base64; copy it as the name server's key file has it")
	}
	p := &rfc2136.Provider{Server: s["server"], KeyName: s["key_name"], Key: s["key_secret"], KeyAlg: strings.ToLower(s["algorithm"])}
	if p.KeyAlg == "" {
		p.KeyAlg = "hmac-sha256"
	}
	return p, nil
}

// dnsProvider makes what answers DNS-01 challenges. "" is none. An error names
// the key that is wrong and what it could be.
func dnsProvider(name string, settings map[string]string) (any, error) {
	if name == "" {
		if len(settings) > 0 {
			return nil, fmt.Errorf("tls.dns has settings for no provider; set tls.dns_provider")
		}
		return nil, nil
	}
	kind, ok := dnsKinds[name]
	if !ok {
		return nil, fmt.Errorf("tls.dns_provider: %q is not known; it can be %s", name, strings.Join(slices.Sorted(maps.Keys(dnsKinds)), ", "))
	}
	keys := slices.Concat(kind.required, kind.optional)
	for _, key := range slices.Sorted(maps.Keys(settings)) {
		if !slices.Contains(keys, key) {
			return nil, fmt.Errorf("tls.dns.%s is not known; %s takes %s", key, name, strings.Join(keys, ", "))
		}
	}
	for _, key := range kind.required {
		if settings[key] == "" {
			return nil, fmt.Errorf("tls.dns.%s is missing; %s needs %s", key, name, strings.Join(kind.required, ", "))
		}
	}
	return kind.make(settings)
}
