package proxy

import (
	"net/http"
	"sync/atomic"
	"time"

	"towline/proxy/message"
)

// stamp is a second and how a Date field says it; it serves all answers of that second.
type stamp struct {
	second int64
	text   string
}

var lastStamp atomic.Pointer[stamp]

// addDate sees that an answer says when it was made, which RFC 9110 6.6.1 asks of
// whoever hands on one that does not.
func addDate(h *message.Head) {
	for i := range h.Fields {
		if name := h.Fields[i].Name; len(name) == 4 && message.EqualFold(name, "date") {
			return
		}
	}
	s, at := lastStamp.Load(), time.Now()
	if second := at.Unix(); s == nil || s.second != second {
		s = &stamp{second, at.UTC().Format(http.TimeFormat)}
		lastStamp.Store(s)
	}
	h.Fields = append(h.Fields, message.Field{Name: "Date", Value: s.text})
}
