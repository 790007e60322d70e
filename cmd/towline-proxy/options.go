package main

import (
	"fmt"
	"log/slog"
	"net"
	"net/netip"

	"towline/cmd/internal/config"
	"towline/proxy"
)

// proxyOptions turns the file's tables into what the proxy takes, and checks
// what would otherwise fail only at start.
func proxyOptions(f config.File, log *slog.Logger) (proxy.Options, error) {
	o := proxy.Options{
		HTTP: f.Proxy.HTTP, HTTPS: f.Proxy.HTTPS, Control: f.Proxy.Control, Metrics: f.Proxy.Metrics,
		State: f.Proxy.State, AccessLog: f.Proxy.AccessLog, Connections: f.Proxy.Connections,
		TLS: proxy.TLS{
			ACME: f.TLS.ACME, Email: f.TLS.Email,
			EABKeyID: f.TLS.EABKeyID, EABKey: f.TLS.EABKey, CARoots: f.TLS.CARoots,
		},
		Log: log,
	}
	for key, address := range map[string]string{"proxy.http": o.HTTP, "proxy.https": o.HTTPS, "proxy.metrics": o.Metrics} {
		if address == "" {
			continue
		}
		if _, err := net.ResolveTCPAddr("tcp", address); err != nil {
			return o, fmt.Errorf("%s: %q is not an address such as \":80\": %w", key, address, err)
		}
	}
	if o.HTTP == "" && o.HTTPS == "" {
		return o, fmt.Errorf("proxy.http and proxy.https are both empty: there is nothing to serve")
	}
	if o.Connections < 0 {
		return o, fmt.Errorf("proxy.connections: %d: use 1 or more, or 0 for as many as the machine has memory for", o.Connections)
	}
	if o.Connections == 0 {
		o.Connections = fitting()
	}
	var err error
	if o.ProxyProtocol, err = ranges("proxy.proxy_protocol", f.Proxy.ProxyProtocol); err != nil {
		return o, err
	}
	if o.TrustForwarded, err = ranges("proxy.trust_forwarded", f.Proxy.TrustForwarded); err != nil {
		return o, err
	}
	if (o.TLS.EABKeyID == "") != (o.TLS.EABKey == "") {
		return o, fmt.Errorf("tls.eab_key_id and tls.eab_key belong together")
	}
	o.TLS.DNSProvider, err = dnsProvider(f.TLS.DNSProvider, f.TLS.DNS)
	return o, err
}

func ranges(key string, list []string) (out []netip.Prefix, err error) {
	for _, text := range list {
		p, err := netip.ParsePrefix(text)
		if err != nil {
			return nil, fmt.Errorf("%s: %q is not a CIDR range such as \"10.0.0.0/8\"", key, text)
		}
		out = append(out, p.Masked())
	}
	return out, nil
}

// connectionMemory is what an idle connection takes, in bytes, kernel's and proxy's.
const connectionMemory = 32 << 10

// fitting is how many of them a quarter of the machine's memory holds.
func fitting() int {
	total, err := config.MachineMemory()
	if err != nil {
		total = 2 << 30
	}
	return int(total / 4 / connectionMemory)
}
