package proxy_test

import (
	"fmt"
	"testing"

	"towline/proxy"
)

// A client's buffer is used again once its exchange has ended, and net/http may still look
// at the request then.
func TestRequestsOfH2CTargetsLieInNoBuffer(t *testing.T) {
	data := []byte("PURGE /path HTTP/1.1\r\nHost: shop.localhost\r\nX-A: b\r\n\r\n")
	r, err := proxy.H2CRequest(data)
	if err != nil {
		t.Fatal(err)
	}
	say := func() string { return fmt.Sprint(r.Method, " ", r.Host, " ", r.URL, " ", r.Header) }
	before := say()
	for i := range data {
		data[i] = '!'
	}
	if after := say(); after != before {
		t.Errorf("%q became %q", before, after)
	}
}
