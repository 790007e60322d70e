package proxy

import (
	"fmt"
	"runtime/debug"
)

// guard is deferred by every goroutine that works for a client. A panic there ends
// what end closes, the client's connection or one to a target, and never the
// process; it is logged with its stack and counted. Memory that the goroutine took
// from a pool is not given back: another goroutine may still hold it.
//
//	defer p.guard("connection", func() { raw.Close() })
func (p *Proxy) guard(what string, end func()) {
	reason := recover()
	if reason == nil {
		return
	}
	p.panics.Add(1)
	if end != nil {
		end()
	}
	p.options.Log.Error("panic: a fault of towline-proxy; its "+what+" was closed", "panic", fmt.Sprint(reason), "stack", string(debug.Stack()))
}
