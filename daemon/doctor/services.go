package doctor

import (
	"context"
	"fmt"
	"slices"
	"strings"
)

func checkDaemon(ctx context.Context, f *Facts) Finding {
	if f.Daemon == nil {
		return skip("not asked")
	}
	version, err := f.Daemon(ctx)
	if err != nil {
		return Finding{Status: Fail, Found: "towlined does not answer: " + err.Error(), Want: "towlined runs",
			Do: "systemctl restart towlined; journalctl -u towlined -n 50 says why it went down"}
	}
	return ok("towlined %s answers", version)
}

func checkProxy(ctx context.Context, f *Facts) Finding {
	if f.Proxy == nil {
		return skip("not asked")
	}
	if err := f.Proxy(ctx); err != nil {
		return Finding{Status: Fail, Found: "towline-proxy does not answer: " + err.Error(), Want: "towline-proxy serves",
			Do: "systemctl restart towline-proxy; journalctl -u towline-proxy -n 50 says why it went down"}
	}
	return ok("towline-proxy answers")
}

// checkUnits is for machines that systemd runs.
func checkUnits(ctx context.Context, f *Facts) Finding {
	if f.Units == nil {
		return skip("systemd does not run this machine")
	}
	units, err := f.Units(ctx)
	if err != nil {
		return unknown(err)
	}
	var failed, restarted, absent, running []string
	for _, u := range units {
		switch {
		case u.Load == "not-found" || u.Load == "masked":
			if u.Needed {
				absent = append(absent, u.Name)
			}
		case u.Active == "failed" || u.Needed && u.Active != "active":
			failed = append(failed, u.Name+" is "+u.Active)
		case u.Restarts >= 3:
			restarted = append(restarted, fmt.Sprintf("%s was restarted %d times", u.Name, u.Restarts))
		default:
			running = append(running, u.Name)
		}
	}
	const want = "every unit of Towline's is active, and stays so"
	switch {
	case len(failed) > 0:
		name, _, _ := strings.Cut(failed[0], " ")
		return Finding{Status: Fail, Found: strings.Join(append(failed, absent...), "; "), Want: want,
			Do: "systemctl status " + name + "; systemctl restart " + name}
	case len(absent) > 0:
		return Finding{Status: Warn, Found: strings.Join(absent, ", ") + ": no such unit", Want: want, Do: "run Towline from its package, or ignore this where something else starts it"}
	case len(restarted) > 0:
		name, _, _ := strings.Cut(restarted[0], " ")
		return Finding{Status: Warn, Found: strings.Join(restarted, "; "), Want: want, Do: "journalctl -u " + name + " -p warning"}
	}
	return ok("%s", strings.Join(running, ", "))
}

// checkSSHD asks sshd itself how it would treat Towline's account.
func checkSSHD(ctx context.Context, f *Facts) Finding {
	if f.SSHD == nil {
		return skip("there is no sshd on this machine")
	}
	s, err := f.SSHD(ctx)
	if err != nil {
		return unknown(err)
	}
	want := fmt.Sprintf("sshd lets %s in by the keys in %s, and nobody's command takes the place of theirs", s.User, s.Keys)
	do := fmt.Sprintf("in /etc/ssh/sshd_config.d/towline.conf: Match User %s, AuthorizedKeysFile %s; then sshd -t && systemctl reload ssh", s.User, s.Keys)
	switch {
	case s.Denied != "":
		return Finding{Status: Fail, Found: fmt.Sprintf("%s keeps %s out", s.Denied, s.User), Want: want,
			Do: fmt.Sprintf("add %s to it; then sshd -t && systemctl reload ssh", s.User)}
	case s.Forced != "":
		return Finding{Status: Fail, Found: "ForceCommand " + s.Forced + " takes the place of towline-shell", Want: want, Do: do}
	case s.Command == "" && !slices.Contains(s.Reads, s.Keys):
		return Finding{Status: Fail, Found: fmt.Sprintf("for %s it reads %s", s.User, strings.Join(s.Reads, " ")), Want: want, Do: do}
	case s.Command != "":
		return ok("%s logs in by the keys that %s gives", s.User, s.Command)
	}
	return ok("%s logs in by the keys in %s", s.User, s.Keys)
}

func checkReboot(ctx context.Context, f *Facts) Finding {
	if f.Reboot == nil {
		return skip("not asked")
	}
	r, err := f.Reboot(ctx)
	if err != nil {
		return unknown(err)
	}
	if !r.Required {
		return ok("none is pending")
	}
	found := "the machine waits for a reboot"
	if len(r.Packages) > 0 {
		slices.Sort(r.Packages)
		found += ": " + strings.Join(slices.Compact(r.Packages), ", ")
	}
	return Finding{Status: Warn, Found: found, Want: "updates of the kernel and of libraries are in use", Do: "systemctl reboot, at a quiet time: apps come back by themselves"}
}
