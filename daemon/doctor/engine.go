package doctor

import (
	"context"
	"fmt"
	"slices"
	"strconv"
	"strings"
)

// fault is one that versions below Fixed have, as Podman's release notes tell it.
type fault struct {
	fixed string
	text  string
	// around: Towline goes around it, so that it is told of and nothing more.
	around bool
}

const (
	oldestPodman = "4.3"
	newestPodman = "6"   // from here on nothing was tried
	oldestNet    = "1.4" // netavark
)

var podmanFaults = []fault{
	{"4.4", "remove, stop and kill of a container may get in each other's way", true},
	{"4.5", "how an exec has ended is not told", true},
	{"4.8", "containers made at once that share a volume may wait for each other for ever", true},
	{"5.0", "a container that was killed for its memory is not marked so", true},
	{"5.3", "events and logs give no answer before the first line", true},
	{"5.3", "removing a volume while a container starts on it may hang", true},
	{"5.4", "podman update by hand resets the limits that it does not name", true},
}

var netavarkFaults = []fault{
	{"1.5", "the isolation of networks lapses when one of them empties; table inet towline stands in for it", true},
	{"1.7", "the rules of a container that was killed may stay behind", true},
}

func checkPodman(ctx context.Context, f *Facts) Finding {
	if f.Podman == nil {
		return skip("not asked")
	}
	p, err := f.Podman(ctx)
	if err != nil {
		return Finding{Status: Fail, Found: "Podman does not answer: " + err.Error(), Want: "its API socket answers", Do: "systemctl restart podman.socket"}
	}
	about := "Podman " + p.Version
	for _, more := range []string{p.Runtime, p.Driver} {
		if more != "" {
			about += ", " + more
		}
	}
	want := fmt.Sprintf("Podman from %s on and below %s, with its storage on overlay", oldestPodman, newestPodman)
	switch {
	case older(p.Version, oldestPodman):
		return Finding{Status: Fail, Found: about, Want: want, Do: "apt install podman, from Debian 12 or later"}
	case !older(p.Version, newestPodman):
		return Finding{Status: Warn, Found: about + ", with which this Towline was never tried", Want: want, Do: "hold it: apt-mark hold podman; and look for a newer Towline"}
	case p.Driver != "" && p.Driver != "overlay":
		return Finding{Status: Warn, Found: about + ": every start of a container copies its image", Want: want, Do: "set driver = \"overlay\" in /etc/containers/storage.conf; that begins with an empty storage"}
	case p.Database == "boltdb" && !older(p.Version, "5"):
		return Finding{Status: Warn, Found: about + "; its database is of an earlier Podman (BoltDB), which later ones won't read", Want: "its database is SQLite",
			Do: "towline host:backup > FILE; podman system reset; towlined restore FILE"}
	}
	return faults(about, p.Version, podmanFaults, want)
}

func checkNetavark(ctx context.Context, f *Facts) Finding {
	if f.Netavark == nil {
		return skip("not asked")
	}
	version, err := f.Netavark(ctx)
	if err != nil {
		return Finding{Status: Fail, Found: "netavark does not run: " + err.Error(), Want: "Podman's networks are made by netavark", Do: "apt install netavark aardvark-dns"}
	}
	want := "netavark from " + oldestNet + " on"
	if older(version, oldestNet) {
		return Finding{Status: Fail, Found: "netavark " + version, Want: want, Do: "apt install netavark"}
	}
	return faults("netavark "+version, version, netavarkFaults, want)
}

// faults adds to a version what is known to be wrong with it.
func faults(about, version string, list []fault, want string) Finding {
	found := Finding{Status: OK, Found: about}
	var around, open []string
	for _, known := range list {
		switch {
		case !older(version, known.fixed):
		case known.around:
			around = append(around, known.text)
		default:
			open = append(open, known.text)
		}
	}
	if len(around) > 0 {
		found.Found += "; known faults that Towline goes around: " + strings.Join(around, "; ")
	}
	if len(open) > 0 {
		found.Status, found.Want, found.Do = Warn, want, "apt upgrade"
		found.Found += "; known faults: " + strings.Join(open, "; ")
	}
	return found
}

// older compares versions by their numbers: 4.3.1+ds1 is older than 4.10.
func older(version, than string) bool { return slices.Compare(numbers(version), numbers(than)) < 0 }

func numbers(version string) (list []int) {
	for _, part := range strings.Split(version, ".") {
		end := strings.IndexFunc(part, func(r rune) bool { return r < '0' || r > '9' })
		digits := part
		if end >= 0 {
			digits = part[:end]
		}
		n, err := strconv.Atoi(digits)
		if err != nil {
			break
		}
		list = append(list, n)
		if end >= 0 {
			break
		}
	}
	return list
}

func checkCgroup(ctx context.Context, f *Facts) Finding {
	if f.Cgroup == nil {
		return skip("not asked")
	}
	c, err := f.Cgroup(ctx)
	if err != nil {
		return unknown(err)
	}
	const want = "cgroup v2 with cpu, io, memory and pids"
	var lacks []string
	for _, name := range []string{"cpu", "io", "memory", "pids"} {
		if name == "io" && c.Version == 1 {
			name = "blkio"
		}
		if !slices.Contains(c.Controllers, name) {
			lacks = append(lacks, name)
		}
	}
	found := Finding{Status: OK, Found: fmt.Sprintf("cgroup v%d with %s", c.Version, strings.Join(c.Controllers, ", ")), Want: want}
	switch {
	case slices.Contains(lacks, "memory") || slices.Contains(lacks, "pids"):
		found.Status, found.Do = Fail, "add cgroup_enable=memory to the kernel's command line, and reboot"
		found.Found += "; without " + strings.Join(lacks, ", ") + " an app can take all of the machine"
	case c.Version != 2:
		found.Status, found.Do = Warn, "add systemd.unified_cgroup_hierarchy=1 to the kernel's command line, and reboot"
	case len(lacks) > 0:
		found.Status, found.Do = Warn, "systemctl set-property --runtime -- machine.slice CPUWeight=100 IOWeight=100"
		found.Found += "; without " + strings.Join(lacks, ", ")
	default:
		found.Want = ""
	}
	return found
}

func checkKernel(ctx context.Context, f *Facts) Finding {
	if f.Kernel == nil {
		return skip("not asked")
	}
	release, err := f.Kernel(ctx)
	if err != nil {
		return unknown(err)
	}
	if older(release, "5.19") {
		return Finding{Status: Warn, Found: "Linux " + release + ": apps run with user ids of the host's, without capabilities",
			Want: "Linux 5.19 or later, which gives each app user ids of its own", Do: "apt install linux-image-amd64 from Debian 12 or later, and reboot"}
	}
	return ok("Linux %s", release)
}
