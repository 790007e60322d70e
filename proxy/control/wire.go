package control

import "time"

// MaxBody bounds a request on the control socket, in bytes. Maintenance and
// error pages are the largest things that travel.
const MaxBody = 8 << 20

// The request bodies. Each method of Proxy is a POST to /v1/NAME in lower case.
type (
	nameRequest struct {
		Service string `json:"service"`
	}
	drainRequest struct {
		Service string        `json:"service"`
		Budget  time.Duration `json:"budget"`
	}
	pauseRequest struct {
		Service string        `json:"service"`
		Limit   time.Duration `json:"limit"`
	}
	hostRequest struct {
		Host string `json:"host"`
	}
	trafficRequest struct {
		Mark string        `json:"mark"`
		Wait time.Duration `json:"wait"`
	}
	certificateRequest struct {
		Host  string `json:"host"`
		Chain []byte `json:"chain"`
		Key   []byte `json:"key"`
	}
)

// failure is the body of every answer that is not 200.
type failure struct {
	Error    string    `json:"error"`
	NotReady *NotReady `json:"not_ready,omitempty"`
	Invalid  bool      `json:"invalid,omitempty"`
	NotFound bool      `json:"not_found,omitempty"`
}

// Invalid is the error of a request that makes no sense as it stands: trying
// again without a change is of no use.
type Invalid struct{ Reason string }

func (e *Invalid) Error() string { return e.Reason }

// NotFound is the error of a request about a service that is not there.
type NotFound struct{ Reason string }

func (e *NotFound) Error() string { return e.Reason }
