package proxy_test

import (
	"strings"
	"testing"
)

// What an app that speaks HTTP/2 answers is held to the bounds of HTTP/1.1: net/http takes
// any number for a status, and ten megabytes of a head.
func TestAnswersOfH2CAppsThatAreNone(t *testing.T) {
	large := [][2]string{{"x-large", strings.Repeat("x", 300<<10)}}
	for name, answer := range map[string]struct {
		status string
		fields [][2]string
	}{
		"no status of HTTP":          {"600", nil},
		"more than three digits":     {"99999", nil},
		"less than three digits":     {"42", nil},
		"negative":                   {"-200", nil},
		"a change of protocols":      {"101", nil},
		"a head that is too large":   {"200", large},
		"a hint that is too large":   {"103", large},
		"many small fields in one":   {"200", manyFields(30_000)},
		"status without any meaning": {"0", nil},
	} {
		t.Run(name, func(t *testing.T) {
			s := start(t)
			s.deploy(grpcShop(h2cApp(t, func(c *h2Target) {
				for id := c.request(); id != 0; id = c.request() {
					c.writeLong(id, answer.status, answer.fields)
					if answer.status[0] == '1' {
						c.writeAnswer(id, true, "200", nil)
					}
				}
			})))
			for _, h2 := range []bool{false, true} {
				if got := s.doWith(s.newClient(h2), request(t, "POST", shopURL, nil)); got.StatusCode != 502 {
					t.Errorf("HTTP/2: %v: %d", h2, got.StatusCode)
				}
			}
		})
	}
}

func manyFields(n int) (list [][2]string) {
	for range n {
		list = append(list, [2]string{"a", ""})
	}
	return list
}
