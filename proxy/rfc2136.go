package proxy

import (
	"context"
	"fmt"
	"strings"
	"time"

	"github.com/libdns/libdns"
	"github.com/miekg/dns"
)

// RFC2136 answers DNS-01 challenges by dynamic updates, which BIND, Knot,
// PowerDNS and others take. It is a value for TLS.DNSProvider.
type RFC2136 struct {
	Server    string // host:port of the zone's primary
	KeyName   string // of the TSIG key; empty: updates are not signed
	KeySecret string // base64
	Algorithm string // e.g. "hmac-sha512"; empty: hmac-sha256
}

var (
	_ libdns.RecordAppender = (*RFC2136)(nil)
	_ libdns.RecordDeleter  = (*RFC2136)(nil)
)

// AppendRecords adds records to a zone.
func (p *RFC2136) AppendRecords(ctx context.Context, zone string, records []libdns.Record) ([]libdns.Record, error) {
	return records, p.update(ctx, zone, records, (*dns.Msg).Insert)
}

// DeleteRecords takes records out of a zone. Absent is not an error.
func (p *RFC2136) DeleteRecords(ctx context.Context, zone string, records []libdns.Record) ([]libdns.Record, error) {
	return records, p.update(ctx, zone, records, (*dns.Msg).Remove)
}

func (p *RFC2136) update(ctx context.Context, zone string, records []libdns.Record, apply func(*dns.Msg, []dns.RR)) error {
	m := new(dns.Msg)
	m.SetUpdate(dns.Fqdn(zone))
	for _, r := range records {
		rr := r.RR()
		if rr.Type != "TXT" {
			return fmt.Errorf("dynamic update: unexpected %s record", rr.Type)
		}
		apply(m, []dns.RR{&dns.TXT{
			Hdr: dns.RR_Header{Name: libdns.AbsoluteName(rr.Name, dns.Fqdn(zone)), Rrtype: dns.TypeTXT, Class: dns.ClassINET, Ttl: uint32(max(rr.TTL, time.Minute).Seconds())},
			Txt: []string{rr.Data},
		}})
	}
	c := &dns.Client{Net: "tcp", Timeout: 10 * time.Second}
	if p.KeyName != "" {
		name := dns.Fqdn(p.KeyName)
		c.TsigSecret = map[string]string{name: p.KeySecret}
		m.SetTsig(name, dns.Fqdn(or(strings.ToLower(p.Algorithm), "hmac-sha256")), 300, time.Now().Unix())
	}
	res, _, err := c.ExchangeContext(ctx, m, p.Server)
	if err != nil {
		return fmt.Errorf("dynamic update of %s at %s: %w", zone, p.Server, err)
	}
	if res.Rcode != dns.RcodeSuccess {
		return fmt.Errorf("dynamic update of %s at %s: %s", zone, p.Server, dns.RcodeToString[res.Rcode])
	}
	return nil
}
