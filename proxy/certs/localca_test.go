package certs

import (
	"crypto/x509"
	"fmt"
	"testing"
	"time"
)

func TestLeavesAreBoundedByHosts(t *testing.T) {
	ca, err := openLocalCA(t.TempDir())
	if err != nil {
		t.Fatal(err)
	}
	roots := x509.NewCertPool()
	roots.AddCert(ca.root)
	for _, base := range []string{"wild.test", "localhost"} {
		for n := range 100 {
			name := fmt.Sprintf("n%d.%s", n, base)
			c, err := ca.leaf("*."+base, name)
			if err != nil {
				t.Fatal(err)
			}
			if _, err := c.Leaf.Verify(x509.VerifyOptions{Roots: roots, DNSName: name, CurrentTime: time.Now()}); err != nil {
				t.Fatal(err)
			}
		}
	}
	if len(ca.leaves) != 1 {
		t.Errorf("%d leaves are kept", len(ca.leaves))
	}
	ca.forget("*.wild.test")
	if len(ca.leaves) != 0 {
		t.Error("a host that is gone keeps its leaf")
	}
}
