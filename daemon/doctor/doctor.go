// Package doctor looks over the machine: what Towline stands on, whether it is as it should
// be, and what to type where it is not. It changes nothing.
//
// Facts say how things are; a check judges some of them. Facts are functions, so that a
// table of made-up ones tests each check, and so that a fact which cannot be had (the
// daemon is down, Podman hangs) costs one check and no other.
package doctor

import (
	"context"
	"fmt"
	"sync"
	"time"

	"towline/daemon"
)

// Status is how a check has ended.
type Status string

// Fail: something does not work, or is about to be lost. Warn: it may come to that. Skip:
// there is nothing to look at on this machine.
const (
	OK   Status = "ok"
	Warn Status = "warn"
	Fail Status = "fail"
	Skip Status = "skip"
)

// Finding is what one check has to say.
type Finding struct {
	ID     string `json:"id"`
	Status Status `json:"status"`
	Found  string `json:"found"`
	Want   string `json:"want,omitempty"`
	Do     string `json:"do,omitempty"` // what to type
}

// Report is all of it.
type Report struct {
	Status   Status    `json:"status"` // the worst
	Findings []Finding `json:"checks"`
}

// check is one. run fills Status, Found and, where they help, Want and Do.
type check struct {
	id  string
	run func(context.Context, *Facts) Finding
}

// checks in the order in which they are shown: what others stand on comes first.
var checks = []check{
	{"daemon", checkDaemon}, {"proxy", checkProxy}, {"units", checkUnits},
	{"podman", checkPodman}, {"netavark", checkNetavark}, {"cgroup", checkCgroup}, {"kernel", checkKernel},
	{"firewall", checkFirewall}, {"ports", checkPorts}, {"sshd", checkSSHD},
	{"dns", checkDNS}, {"certificates", checkCertificates}, {"clock", checkClock},
	{"disk", checkDisk}, {"memory", checkMemory},
	{"backups", checkBackups}, {"host-backup", checkHostBackup}, {"reboot", checkReboot},
}

// checkLimit bounds each check.
const checkLimit = 10 * time.Second

// Run carries out all checks at once. None waits for another, and none longer than its
// limit: what hangs is reported as not found out.
func Run(ctx context.Context, f *Facts) Report { return run(ctx, f, checks, checkLimit) }

func run(ctx context.Context, f *Facts, checks []check, limit time.Duration) Report {
	r := Report{Status: OK, Findings: make([]Finding, len(checks))}
	var all sync.WaitGroup
	for i, c := range checks {
		all.Go(func() { r.Findings[i] = c.within(ctx, f, limit) })
	}
	all.Wait()
	for _, found := range r.Findings {
		if found.Status == Fail || found.Status == Warn && r.Status == OK {
			r.Status = found.Status
		}
	}
	return r
}

// within runs a check, and leaves it behind if it does not end.
func (c check) within(ctx context.Context, f *Facts, limit time.Duration) Finding {
	ctx, cancel := context.WithTimeout(ctx, limit)
	defer cancel()
	done := make(chan Finding, 1)
	go func() {
		var err error
		defer func() {
			if err != nil {
				done <- unknown(err)
			}
		}()
		defer daemon.Contain("a check of the machine", &err)
		done <- c.run(ctx, f)
	}()
	var found Finding
	select {
	case found = <-done:
	case <-ctx.Done():
		found = unknown(fmt.Errorf("no answer within %s", limit))
	}
	found.ID = c.id
	return found
}

// unknown is the finding of a check whose facts could not be had.
func unknown(err error) Finding {
	return Finding{Status: Warn, Found: "could not be found out: " + err.Error()}
}

func ok(format string, args ...any) Finding {
	return Finding{Status: OK, Found: fmt.Sprintf(format, args...)}
}

func skip(format string, args ...any) Finding {
	return Finding{Status: Skip, Found: fmt.Sprintf(format, args...)}
}
