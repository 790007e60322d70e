package doctor

import (
	"context"
	"fmt"
	"net/netip"
	"slices"
	"strings"
	"sync"
	"time"

	"towline/daemon"
)

// checkFirewall looks for the tables that keep apps apart.
func checkFirewall(ctx context.Context, f *Facts) Finding {
	if f.Tables == nil {
		return skip("not asked")
	}
	tables, err := f.Tables(ctx)
	if err != nil {
		return Finding{Status: Fail, Found: "nft does not answer: " + err.Error(), Want: "nftables keep apps apart", Do: "apt install nftables"}
	}
	if !slices.Contains(tables, "inet towline") {
		return Finding{Status: Fail, Found: "the table inet towline is gone, or no app was started yet: nothing keeps apps apart", Want: "nft list table inet towline shows it",
			Do: "systemctl restart towlined; and reload nftables by nft -f in place of a flush"}
	}
	if !slices.Contains(tables, "bridge towline") {
		return ok("table inet towline is there; no add-on runs that table bridge towline would be for")
	}
	return ok("tables inet towline and bridge towline are there")
}

const proxyProgram = "towline-proxy"

func checkPorts(ctx context.Context, f *Facts) Finding {
	if f.Ports == nil {
		return skip("not asked")
	}
	ports, err := f.Ports(ctx)
	if err != nil {
		return unknown(err)
	}
	var served, free, taken []string
	for _, p := range ports {
		others := slices.DeleteFunc(slices.Clone(p.Holders), func(name string) bool {
			return strings.HasPrefix(name, proxyProgram) || strings.HasPrefix(name, "systemd") // that of the socket unit
		})
		switch {
		case len(others) > 0:
			taken = append(taken, fmt.Sprintf("%s is held by %s", p.Address, strings.Join(others, ", ")))
		case len(p.Holders) == 0:
			free = append(free, "nobody listens at "+p.Address)
		default:
			served = append(served, p.Address)
		}
	}
	const want = "towline-proxy listens at the addresses under [proxy] in towline.toml"
	switch {
	case len(taken) > 0:
		_, name, _ := strings.Cut(taken[0], "held by ")
		name, _, _ = strings.Cut(name, " (")
		return Finding{Status: Fail, Found: strings.Join(append(taken, free...), "; "), Want: want,
			Do: fmt.Sprintf("systemctl disable --now %s; systemctl restart towline-proxy", name)}
	case len(free) > 0:
		return Finding{Status: Fail, Found: strings.Join(free, "; "), Want: want, Do: "systemctl restart towline-proxy"}
	}
	return ok("towline-proxy listens at %s", strings.Join(served, " and "))
}

// namesAtOnce bounds the questions to name servers.
const namesAtOnce = 16

// checkDNS looks every domain up. One that leads elsewhere may be right: a balancer, or an
// address that is translated on its way.
func checkDNS(ctx context.Context, f *Facts) Finding {
	if f.Domains == nil || f.Resolve == nil || f.Addresses == nil {
		return skip("not asked")
	}
	hosts, err := f.Domains(ctx)
	if err != nil {
		return unknown(err)
	}
	own, err := f.Addresses(ctx)
	if err != nil {
		return unknown(err)
	}
	hosts = slices.DeleteFunc(slices.Clone(hosts), func(h string) bool {
		return h == "localhost" || strings.HasSuffix(h, ".localhost")
	})
	if len(hosts) == 0 {
		return skip("there are no domains but those of localhost")
	}
	said := make([]string, len(hosts))
	lost := make([]bool, len(hosts))
	slots := make(chan struct{}, namesAtOnce)
	var all sync.WaitGroup
	for i, host := range hosts {
		all.Go(func() {
			slots <- struct{}{}
			defer func() { <-slots }()
			said[i], lost[i] = lookUp(ctx, f, host, own)
		})
	}
	all.Wait()
	wrong := slices.DeleteFunc(said, func(s string) bool { return s == "" })
	if len(wrong) == 0 {
		return ok("all %d domains lead here", len(hosts))
	}
	found := Finding{Status: Warn, Found: fmt.Sprintf("%d of %d: %s", len(wrong), len(hosts), shortened(wrong)),
		Want: "each domain has an A or AAAA record of this machine, or of what stands in front of it",
		Do:   "at your DNS provider, lead them to " + addresses(own)}
	if slices.Contains(lost, true) {
		found.Status = Fail
	}
	return found
}

// lookUp tells what is wrong with a domain, and whether it leads nowhere at all.
func lookUp(ctx context.Context, f *Facts, host string, own []netip.Addr) (wrong string, lost bool) {
	name := host
	if rest, ok := strings.CutPrefix(host, "*."); ok {
		name = "towline-doctor." + rest // as good as any
	}
	got, err := f.Resolve(ctx, name)
	if err != nil || len(got) == 0 {
		return host + " has no address", true
	}
	for _, a := range got {
		if slices.Contains(own, a.Unmap()) {
			return "", false
		}
	}
	return host + " leads to " + addresses(got), false
}

func addresses(list []netip.Addr) string {
	var texts []string
	for _, a := range list {
		if a = a.Unmap(); !a.IsLoopback() && !a.IsLinkLocalUnicast() {
			texts = append(texts, a.String())
		}
	}
	if len(texts) == 0 {
		return "this machine's public address"
	}
	return shortened(texts)
}

// shortened is a list for one line.
func shortened(list []string) string {
	const most = 5
	if len(list) > most {
		return strings.Join(list[:most], ", ") + fmt.Sprintf(" and %d more", len(list)-most)
	}
	return strings.Join(list, ", ")
}

const (
	certificateWarn = 21 * 24 * time.Hour // renewal is tried from 30 days on
	certificateFail = 3 * 24 * time.Hour
)

func checkCertificates(ctx context.Context, f *Facts) Finding {
	if f.Certificates == nil {
		return skip("not asked")
	}
	list, err := f.Certificates(ctx)
	if err != nil {
		return unknown(err)
	}
	now := f.Now()
	var bad, soon []string
	first := time.Time{}
	for _, c := range list {
		left := c.NotAfter.Sub(now)
		switch {
		case c.NotAfter.IsZero() && c.Error != "":
			bad = append(bad, c.Host+" has none: "+c.Error)
		case c.NotAfter.IsZero():
			continue // on its way
		case left < 0:
			bad = append(bad, c.Host+" has expired"+because(c))
		case left < certificateFail && c.Kind != "local":
			bad = append(bad, fmt.Sprintf("%s expires in %d hours%s", c.Host, int(left.Hours()), because(c)))
		case left < certificateWarn && c.Kind != "local":
			soon = append(soon, fmt.Sprintf("%s expires in %d days%s", c.Host, int(left.Hours()/24), because(c)))
		}
		if first.IsZero() || c.NotAfter.Before(first) {
			first = c.NotAfter
		}
	}
	found := Finding{Want: "every certificate is renewed a month before its end", Do: "towline certs -a APP says what is tried; DNS has to lead here, and port 80 be open"}
	switch {
	case len(bad) > 0:
		found.Status, found.Found = Fail, shortened(append(bad, soon...))
	case len(soon) > 0:
		found.Status, found.Found = Warn, shortened(soon)
	case first.IsZero():
		return skip("there are no certificates yet")
	default:
		return ok("%d, the first of which ends on %s", len(list), first.Format(time.DateOnly))
	}
	return found
}

func because(c daemon.Certificate) string {
	if c.Error == "" {
		return ""
	}
	return " (" + c.Error + ")"
}
