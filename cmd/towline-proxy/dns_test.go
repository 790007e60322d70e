package main

import (
	"log/slog"
	"strings"
	"testing"

	"github.com/caddyserver/certmagic"

	"towline/cmd/internal/config"
)

func TestDNSProviders(t *testing.T) {
	for name, settings := range map[string]map[string]string{
		"cloudflare": {"api_token": "x", "zone_token": "y"},
		"desec":      {"token": "x"},
		"gandi":      {"bearer_token": "x"},
		"rfc2136":    {"server": "ns.example.com:53", "key_name": "k", "key_secret": "c2VjcmV0"},
	} {
		p, err := dnsProvider(name, settings)
		if _, ok := p.(certmagic.DNSProvider); err != nil || !ok {
			t.Errorf("%s: %T, %v", name, p, err)
		}
	}
}

func TestDNSSettingsThatAreWrong(t *testing.T) {
	rfc := func(change ...string) map[string]string {
		m := map[string]string{"server": "ns.example.com:53", "key_name": "k", "key_secret": "c2VjcmV0"}
		m[change[0]] = change[1]
		return m
	}
	for _, c := range []struct {
		provider string
		settings map[string]string
		want     string
	}{
		{"carrier pigeon", nil, `"carrier pigeon" is not known; it can be cloudflare, desec, gandi, rfc2136`},
		{"cloudflare", nil, "tls.dns.api_token is missing; cloudflare needs api_token"},
		{"cloudflare", map[string]string{"api_token": "x", "token": "y"}, "tls.dns.token is not known; cloudflare takes api_token, zone_token"},
		{"", map[string]string{"api_token": "x"}, "set tls.dns_provider"},
		{"rfc2136", rfc("server", "ns.example.com"), "tls.dns.server"},
		{"rfc2136", rfc("key_secret", "?"), "tls.dns.key_secret"},
		{"rfc2136", rfc("key_name", ""), "tls.dns.key_name is missing"},
	} {
		f := config.Default()
		f.TLS.DNSProvider, f.TLS.DNS = c.provider, c.settings
		if _, err := proxyOptions(f, slog.New(slog.DiscardHandler)); err == nil || !strings.Contains(err.Error(), c.want) {
			t.Errorf("%s %v: %v, want %q", c.provider, c.settings, err, c.want)
		}
	}
}
