package doctor

import (
	"bufio"
	"context"
	"errors"
	"fmt"
	"io/fs"
	"net"
	"net/netip"
	"os"
	"os/exec"
	"path/filepath"
	"slices"
	"strconv"
	"strings"
	"syscall"
	"time"

	"golang.org/x/sys/unix"
)

// Machine says where on this machine to look.
type Machine struct {
	User, Keys string              // the account that sshd logs in, and its authorized_keys
	Addresses  []string            // of the proxy's listeners, ":443"
	Dirs       map[string][]string // directory -> what is kept there
	Reserve    int64               // bytes that builds leave free
}

// Facts are those that the machine itself tells. Others are for the caller to add.
func (m Machine) Facts() *Facts {
	f := &Facts{
		Netavark: netavark, Cgroup: cgroup, Kernel: kernel, Tables: tables, Ports: m.ports, Resolve: resolve,
		Addresses: ownAddresses, Clock: clock, Disks: m.disks, Reboot: reboot, Now: time.Now,
	}
	if _, err := os.Stat("/run/systemd/system"); err == nil {
		f.Units = units
	}
	if _, err := exec.LookPath(sshdPath); err == nil {
		f.SSHD = m.sshd
	}
	return f
}

// ask runs a program that only tells something.
func ask(ctx context.Context, name string, args ...string) (string, error) {
	cmd := exec.CommandContext(ctx, name, args...)
	cmd.Env = []string{"PATH=/usr/local/sbin:/usr/local/bin:/usr/sbin:/usr/bin:/sbin:/bin", "LC_ALL=C"}
	cmd.WaitDelay = time.Second
	out, err := cmd.Output()
	var exited *exec.ExitError
	if errors.As(err, &exited) && len(exited.Stderr) > 0 {
		err = fmt.Errorf("%s: %w: %s", filepath.Base(name), err, strings.TrimSpace(string(exited.Stderr[:min(300, len(exited.Stderr))])))
	}
	return string(out), err
}

// netavark looks where Podman does.
func netavark(ctx context.Context) (string, error) {
	for _, dir := range []string{"/usr/local/libexec/podman", "/usr/local/lib/podman", "/usr/libexec/podman", "/usr/lib/podman"} {
		path := filepath.Join(dir, "netavark")
		if _, err := os.Stat(path); err != nil {
			continue
		}
		out, err := ask(ctx, path, "--version")
		if err != nil {
			return "", err
		}
		words := strings.Fields(out)
		if len(words) < 2 {
			return "", fmt.Errorf("it calls itself %q", out)
		}
		return words[1], nil
	}
	return "", errors.New("it is not installed")
}

// cgroup reads which controllers there are: of v2 at its root; else those of v1.
func cgroup(context.Context) (Cgroup, error) {
	const root = "/sys/fs/cgroup"
	if text, err := os.ReadFile(root + "/cgroup.controllers"); err == nil {
		return Cgroup{Version: 2, Controllers: strings.Fields(string(text))}, nil
	}
	text, err := os.ReadFile("/proc/cgroups")
	if err != nil {
		return Cgroup{}, err
	}
	c := Cgroup{Version: 1}
	for line := range strings.Lines(string(text)) {
		// name, hierarchy, number, enabled
		if w := strings.Fields(line); len(w) == 4 && w[3] == "1" && w[0][0] != '#' {
			c.Controllers = append(c.Controllers, w[0])
		}
	}
	return c, nil
}

func kernel(context.Context) (string, error) {
	var u unix.Utsname
	err := unix.Uname(&u)
	return unix.ByteSliceToString(u.Release[:]), err
}

func tables(ctx context.Context) (list []string, err error) {
	out, err := ask(ctx, "nft", "list", "tables")
	for line := range strings.Lines(out) {
		if name, ok := strings.CutPrefix(strings.TrimSpace(line), "table "); ok {
			list = append(list, name)
		}
	}
	return list, err
}

func resolve(ctx context.Context, host string) ([]netip.Addr, error) {
	return net.DefaultResolver.LookupNetIP(ctx, "ip", host)
}

func ownAddresses(context.Context) (list []netip.Addr, err error) {
	all, err := net.InterfaceAddrs()
	for _, a := range all {
		if prefix, perr := netip.ParsePrefix(a.String()); perr == nil {
			list = append(list, prefix.Addr().Unmap())
		}
	}
	return list, err
}

// clock asks the kernel, which whoever keeps the clock tells how well.
func clock(context.Context) (Clock, error) {
	var t unix.Timex // with no mode set it changes nothing
	state, err := unix.Adjtimex(&t)
	if err != nil {
		return Clock{}, err
	}
	synced := state != unix.TIME_ERROR && t.Status&unix.STA_UNSYNC == 0
	return Clock{Synced: synced, Error: time.Duration(t.Maxerror) * time.Microsecond}, nil
}

// disks are the file systems of the directories, each once.
func (m Machine) disks(context.Context) (list []Disk, err error) {
	byDevice := map[uint64]int{}
	dirs := make([]string, 0, len(m.Dirs))
	for dir := range m.Dirs {
		dirs = append(dirs, dir)
	}
	slices.Sort(dirs)
	for _, dir := range dirs {
		info, err := os.Stat(dir)
		if errors.Is(err, fs.ErrNotExist) {
			continue
		}
		var st unix.Statfs_t
		if err == nil {
			err = unix.Statfs(dir, &st)
		}
		if err != nil {
			return nil, err
		}
		device := info.Sys().(*syscall.Stat_t).Dev
		if i, ok := byDevice[device]; ok {
			list[i].For = append(list[i].For, m.Dirs[dir]...)
			continue
		}
		byDevice[device] = len(list)
		list = append(list, Disk{
			Path: dir, For: slices.Clone(m.Dirs[dir]), Size: int64(st.Blocks) * st.Bsize, Free: int64(st.Bavail) * st.Bsize,
			Inodes: int64(st.Files), InodesFree: int64(st.Ffree), Reserve: m.Reserve,
		})
	}
	return list, nil
}

// MachineMemory is what /proc/meminfo tells; what was promised is for the caller to add.
func MachineMemory() (m Memory, err error) {
	f, err := os.Open("/proc/meminfo")
	if err != nil {
		return m, err
	}
	defer f.Close()
	for lines := bufio.NewScanner(f); lines.Scan(); {
		w := strings.Fields(lines.Text())
		if len(w) < 2 {
			continue
		}
		kib, _ := strconv.ParseInt(w[1], 10, 64)
		switch w[0] {
		case "MemTotal:":
			m.Total = kib << 10
		case "MemAvailable:":
			m.Available = kib << 10
		case "SwapTotal:":
			m.Swap = kib << 10
		}
	}
	return m, nil
}

// reboot reads what Debian's packages leave.
func reboot(context.Context) (Reboot, error) {
	if _, err := os.Stat("/run/reboot-required"); err != nil {
		return Reboot{}, nil
	}
	text, _ := os.ReadFile("/run/reboot-required.pkgs")
	return Reboot{Required: true, Packages: strings.Fields(string(text))}, nil
}

// units are Towline's, and the one that it stands on.
func units(ctx context.Context) (list []Unit, err error) {
	names := map[string]bool{"towlined.service": true, "towline-proxy.service": true, "towlined.socket": false, "towline-proxy.socket": false, "podman.socket": true}
	args := []string{"show", "--property=Id,LoadState,ActiveState,NRestarts"}
	for name := range names {
		args = append(args, name)
	}
	out, err := ask(ctx, "systemctl", args...)
	if err != nil {
		return nil, err
	}
	for block := range strings.SplitSeq(out, "\n\n") {
		var u Unit
		for line := range strings.Lines(block) {
			key, value, _ := strings.Cut(strings.TrimSpace(line), "=")
			switch key {
			case "Id":
				u.Name, u.Needed = value, names[value]
			case "LoadState":
				u.Load = value
			case "ActiveState":
				u.Active = value
			case "NRestarts":
				u.Restarts, _ = strconv.Atoi(value)
			}
		}
		if u.Name != "" {
			list = append(list, u)
		}
	}
	slices.SortFunc(list, func(a, b Unit) int { return strings.Compare(a.Name, b.Name) })
	return list, nil
}

// System is what the machine runs, "Debian GNU/Linux 12 (bookworm)".
func System() string {
	text, _ := os.ReadFile("/etc/os-release")
	for line := range strings.Lines(string(text)) {
		if name, ok := strings.CutPrefix(strings.TrimSpace(line), "PRETTY_NAME="); ok {
			return strings.Trim(name, `"'`)
		}
	}
	return "Linux"
}
