package apps

import (
	"bytes"
	"context"
	"encoding/pem"
	"slices"
	"strings"
	"time"

	"towline/daemon"
)

// Certificates lists the certificates of an app's hosts.
func (rs *Routes) Certificates(ctx context.Context, app string) ([]daemon.Certificate, error) {
	hosts, err := rs.hosts(ctx, app)
	if err != nil {
		return nil, err
	}
	all, err := rs.Router.Certificates(ctx)
	return slices.DeleteFunc(all, func(c daemon.Certificate) bool { return !slices.Contains(hosts, c.Host) }), err
}

// AddCertificate serves a certificate of the user's own for one of an app's hosts. text
// is PEM: the key and the chain, leaf first among the certificates. The proxy checks
// key, host, signatures and dates, and keeps the key; it is never in the state.
func (rs *Routes) AddCertificate(ctx context.Context, app, member, host string, text []byte) error {
	chain, key, err := splitPEM(text)
	if err != nil {
		return err
	}
	return rs.changeCertificate(ctx, daemon.CertificateAdded, app, member, host, "added a certificate for ", func(host string) error {
		return rs.Router.SetCertificate(ctx, host, chain, key)
	})
}

// RemoveCertificate goes back to an automatic certificate.
func (rs *Routes) RemoveCertificate(ctx context.Context, app, member, host string) error {
	return rs.changeCertificate(ctx, daemon.CertificateRemoved, app, member, host, "removed the certificate of ", func(host string) error {
		list, err := rs.Router.Certificates(ctx)
		if err != nil {
			return err
		}
		if !slices.ContainsFunc(list, func(c daemon.Certificate) bool { return c.Host == host && c.Kind == "uploaded" }) {
			return daemon.Errorf(daemon.NotFound, "%s has no certificate of your own", host).WithHint("towline certs -a %s", app)
		}
		return rs.Router.DeleteCertificate(ctx, host)
	})
}

func (rs *Routes) changeCertificate(ctx context.Context, kind daemon.ActivityKind, app, member, host, what string, change func(host string) error) error {
	host, err := canonicalHost(host)
	if err != nil {
		return err
	}
	unlock, err := rs.Journal.LockApp(ctx, app, nil)
	if err != nil {
		return err
	}
	defer unlock()
	hosts, err := rs.hosts(ctx, app)
	if err != nil {
		return err
	}
	if !slices.Contains(hosts, host) {
		return daemon.Errorf(daemon.NotFound, "%s has no domain %q", app, daemon.Clip(host)).WithHint("towline domains:add %s -a %s", daemon.Clip(host), app)
	}
	if err := change(host); err != nil {
		return err
	}
	return rs.Store.Update(ctx, func(tx daemon.Tx) error {
		return tx.RecordActivity(daemon.Activity{Time: daemon.Now(), Member: member, Kind: kind, App: app, Subject: host, Text: what + host})
	})
}

// splitPEM tells the certificates from the one private key.
func splitPEM(text []byte) (chain, key []byte, err error) {
	hint := "cat chain.pem key.pem | towline certs:add HOST"
	var certs, keys bytes.Buffer
	for rest := text; ; {
		var block *pem.Block
		if block, rest = pem.Decode(rest); block == nil {
			if len(bytes.TrimSpace(rest)) > 0 {
				return nil, nil, daemon.Errorf(daemon.Invalid, "there is something after the last PEM block").WithHint("%s", hint)
			}
			break
		}
		switch {
		case block.Type == "CERTIFICATE":
			_ = pem.Encode(&certs, block) // a buffer takes everything
		case block.Type == "ENCRYPTED PRIVATE KEY" || block.Headers["DEK-Info"] != "":
			return nil, nil, daemon.Errorf(daemon.Invalid, "the private key is protected by a passphrase").
				WithHint("take it off: openssl pkey -in key.pem -out plain.pem")
		case strings.HasSuffix(block.Type, "PRIVATE KEY"):
			if keys.Len() > 0 {
				return nil, nil, daemon.Errorf(daemon.Invalid, "there is more than one private key").WithHint("%s", hint)
			}
			_ = pem.Encode(&keys, block)
		case block.Type == "EC PARAMETERS": // openssl writes them before the key
		default:
			return nil, nil, daemon.Errorf(daemon.Invalid, "a %s is neither a certificate nor a private key", strings.ToLower(daemon.Clip(block.Type))).WithHint("%s", hint)
		}
	}
	switch {
	case certs.Len() == 0:
		return nil, nil, daemon.Errorf(daemon.Invalid, "standard input holds no certificate").WithHint("%s", hint)
	case keys.Len() == 0:
		return nil, nil, daemon.Errorf(daemon.Invalid, "standard input holds no private key").WithHint("%s", hint)
	}
	return certs.Bytes(), keys.Bytes(), nil
}

// warnOfCertificates writes into the logs of apps, once a day, which certificates of
// their own have to be renewed.
func (rs *Routes) warnOfCertificates(ctx context.Context) {
	list, err := rs.Router.Certificates(ctx)
	if err != nil {
		rs.Log.Error("look at certificates", "err", err)
		return
	}
	apps, err := daemon.Read(ctx, rs.Store, daemon.Tx.Apps)
	if err != nil {
		rs.Log.Error("look at certificates", "err", err)
		return
	}
	for _, a := range apps {
		hosts, err := rs.hosts(ctx, a.Name)
		if err != nil {
			rs.Log.Error("look at certificates", "app", a.Name, "err", err)
			continue
		}
		for _, c := range list {
			if c.Kind == "uploaded" && c.Error != "" && slices.Contains(hosts, c.Host) {
				rs.Logs.Write(a.Name, "system", "certs", "the certificate of "+c.Host+": "+c.Error)
			}
		}
	}
}

// WatchCertificates warns of them until ctx ends.
func (rs *Routes) WatchCertificates(ctx context.Context) {
	tick := time.NewTicker(24 * time.Hour)
	defer tick.Stop()
	for {
		rs.warnOfCertificates(ctx)
		select {
		case <-tick.C:
		case <-ctx.Done():
			return
		}
	}
}
