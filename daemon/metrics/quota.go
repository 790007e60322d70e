package metrics

import (
	"fmt"

	"towline/daemon"
)

// A process is said to be over its quota from overQuota per cent of its limit on, and once until it
// is below underQuota again. Beyond the limit the kernel kills: there is no swap to go on in.
const (
	overQuota  = 95
	underQuota = 85
)

// watchQuota writes into the app's log, in Heroku's words, that a process is near its limit of
// memory.
func (m *Metrics) watchQuota(c *container, r daemon.Reading) {
	if r.Limit <= 0 || c.handle == "" {
		return
	}
	percent := 100 * float64(r.Memory) / float64(r.Limit)
	switch {
	case percent < underQuota:
		c.over = false
	case percent >= overQuota && !c.over:
		c.over = true
		m.Logs.Write(c.handle, "system", c.process, fmt.Sprintf("Process running mem=%dM(%.1f%%)", r.Memory>>20, percent))
		m.Logs.Write(c.handle, "system", c.process, "Error R14 (Memory quota exceeded)")
	}
}
