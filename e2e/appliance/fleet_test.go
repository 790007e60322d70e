package appliance

import (
	"errors"
	"fmt"
	"strconv"
	"strings"
	"sync"
	"time"
)

// fleet is how many apps there are beside shop. The first half of them share its Redis.
const fleet = 20

func (s *story) fleetHost(n int) string { return fmt.Sprintf("app%02d.towline.test", n) }

// twenty has 20 more apps, and reboots. Nothing is built: shop's build is promoted to them.
func (s *story) twenty() {
	s.root(fmt.Sprintf(`set -e; towline pipelines:create fleet -a shop --stage staging
for n in $(seq -w %d); do
	towline apps:create app$n
	towline config:set VERSION=app$n. -a app$n
	test $n -gt %d || towline addons:attach redis-shop -a app$n
	towline pipelines:add fleet -a app$n --stage production
done
towline pipelines:promote -a shop`, fleet, fleet/2))
	s.others = fleet
	s.waitFleet(time.Minute)

	own := s.ownBoot()
	s.must(s.m.Reboot(s.t.Context()))
	s.waitFleet(time.Minute)
	all := time.Now()
	since := s.since(all)
	s.t.Logf("%d apps answer %.1f s after systemd began, %.1f s after towlined; podman run takes %.1f s for as many, %d at a time",
		fleet, since("-P UserspaceTimestampMonotonic"), since("-P ExecMainStartTimestampMonotonic towlined"), own.Seconds(), atOnce)
	// 5 s and their own boot is the goal of a machine that has nothing else to do.
	if took, limit := since("-P ExecMainStartTimestampMonotonic towlined"), 2*(s.m.Slowness()*5*time.Second+own); took > limit.Seconds() {
		s.t.Errorf("all answer %.1f s after towlined began, want %.1f at most", took, limit.Seconds())
	}
	s.waitPage(time.Minute)
	s.waitRunning()
	s.addonsFirst()
	s.fleetAnswers()
}

// atOnce is how many apps the daemon starts at a time.
const atOnce = 4

// ownBoot is what Podman alone takes for as many containers, each until its program has run.
func (s *story) ownBoot() time.Duration {
	s.t.Helper()
	out := s.root(fmt.Sprintf("begin=$(date +%%s%%3N); seq %d | xargs -P %d -I@ podman run --rm localhost/towline/testapp:1 true; echo $(($(date +%%s%%3N) - begin))", fleet, atOnce))
	ms, err := strconv.Atoi(strings.TrimSpace(out))
	s.must(err)
	return time.Duration(ms) * time.Millisecond
}

// since returns by how many seconds a moment came after one that systemd has noted, in
// microseconds of the guest's monotonic clock.
func (s *story) since(moment time.Time) func(property string) float64 {
	s.t.Helper()
	up, err := strconv.ParseFloat(strings.TrimSpace(s.root("perl -MTime::HiRes=clock_gettime,CLOCK_MONOTONIC -e 'print clock_gettime(CLOCK_MONOTONIC)'")), 64)
	s.must(err)
	up -= time.Since(moment).Seconds()
	return func(property string) float64 {
		us, err := strconv.ParseFloat(strings.TrimSpace(s.root("systemctl show "+property)), 64)
		s.must(err)
		return up - us/1e6
	}
}

// waitFleet waits until each of the apps has answered, and wants no host to answer with the
// page of another meanwhile.
func (s *story) waitFleet(limit time.Duration) {
	s.t.Helper()
	client := s.client()
	errs := make([]error, s.others)
	var hosts sync.WaitGroup
	for i := range s.others {
		hosts.Go(func() {
			for end := time.Now().Add(s.m.Slowness() * limit); ; time.Sleep(250 * time.Millisecond) {
				body, err := get(client, "https://"+s.fleetHost(i+1)+"/")
				if err == nil {
					errs[i] = s.isOwn(i+1, body)
					return
				}
				if time.Now().After(end) {
					errs[i] = fmt.Errorf("%s: %w: %.100s", s.fleetHost(i+1), err, body)
					return
				}
			}
		})
	}
	hosts.Wait()
	if err := errors.Join(errs...); err != nil {
		s.t.Fatalf("%v\n%s", err, s.root("podman ps -a; towline apps"))
	}
}

func (s *story) isOwn(n int, body string) error {
	if !strings.Contains(body, fmt.Sprintf("version=app%02d.", n)) || !strings.Contains(body, "host="+s.fleetHost(n)) {
		return fmt.Errorf("%s answers with %q", s.fleetHost(n), body)
	}
	return nil
}

// fleetAnswers wants each of the apps to answer now, and shop too.
func (s *story) fleetAnswers() {
	s.t.Helper()
	client := s.client()
	for n := range s.others {
		body, err := get(client, "https://"+s.fleetHost(n+1)+"/")
		if err == nil {
			err = s.isOwn(n+1, body)
		}
		if err != nil {
			s.t.Errorf("%s: %v", s.fleetHost(n+1), err)
		}
	}
}

// addonsFirst wants each app's processes to have started after the add-ons attached to it.
func (s *story) addonsFirst() {
	s.t.Helper()
	out := s.root(`podman ps -q --filter label=towline=towline | xargs podman inspect --format '{{index .Config.Labels "towline.kind"}} {{index .Config.Labels "towline.app"}}{{index .Config.Labels "towline.addon"}} {{.State.StartedAt.UnixNano}}'`)
	addon, apps := map[string]int64{}, map[string][]int64{}
	for line := range strings.Lines(out) {
		f := strings.Fields(line)
		at, err := strconv.ParseInt(f[len(f)-1], 10, 64)
		s.must(err)
		switch f[0] {
		case "addon":
			addon[f[1]] = at
		case "process":
			apps[f[1]] = append(apps[f[1]], at)
		}
	}
	needs := map[string][]string{}
	for _, kind := range s.addons {
		needs["shop"] = append(needs["shop"], kind+"-shop")
	}
	for n := range s.others / 2 {
		needs[fmt.Sprintf("app%02d", n+1)] = []string{"redis-shop"}
	}
	for app, names := range needs {
		for _, name := range names {
			if len(apps[app]) == 0 || addon[name] == 0 {
				s.t.Errorf("no process of %s, or no %s, in\n%s", app, name, out)
			}
			for _, at := range apps[app] {
				if at <= addon[name] {
					s.t.Errorf("a process of %s started %s before %s", app, time.Duration(addon[name]-at), name)
				}
			}
		}
	}
}

// fewer destroys the 20 apps.
func (s *story) fewer() {
	s.root(fmt.Sprintf(`set -e; for n in $(seq -w %d); do
	test $n -gt %d || towline addons:detach redis-shop -a app$n
	towline apps:destroy -a app$n --confirm app$n
done
towline pipelines:destroy fleet --confirm fleet`, fleet, fleet/2))
	s.others = 0
	s.settle()
	s.page()
}
