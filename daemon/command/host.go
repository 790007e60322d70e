package command

import (
	"context"
	"fmt"
	"io"
	"maps"
	"slices"
	"strings"
	"time"

	"github.com/spf13/pflag"
	"golang.org/x/sys/unix"

	"towline/daemon"
	"towline/daemon/disk"
	"towline/daemon/doctor"
	"towline/daemon/hostbackup"
)

// HostParts are what is done on the machine, beside what the daemon does for apps.
type HostParts struct {
	Doctor func(context.Context) doctor.Report
	Disk   func(context.Context) (disk.Report, error)
	Facts  *doctor.Facts
	// Backups are those of the whole machine.
	Backups *hostbackup.Host
	Config  HostConfig
}

// HostConfig is what people want to see of towline.toml.
type HostConfig struct {
	Name    string `json:"name"`
	Domain  string `json:"domain"`
	SSH     string `json:"ssh"`
	HTTP    string `json:"http"`
	HTTPS   string `json:"https"`
	State   string `json:"state"`
	Offsite string `json:"offsite,omitempty"`
}

func hostCommands() []*Command {
	return []*Command{
		{Name: "host", Summary: "show the machine: versions, memory, disk, what it serves", On: on(theHost()), Run: runHostInfo},
		{Name: "host:info", Summary: "show the machine: versions, memory, disk, what it serves", On: on(theHost()), Run: runHostInfo},
		{Name: "host:doctor", Summary: "look the machine over, and say what to type", On: on(theHost()), Run: runHostDoctor,
			Help: "Looks at what Towline stands on, and changes nothing: Podman, the firewall, ports, sshd, DNS, certificates, the\n" +
				"clock, disk, memory, backups. Each check is ok, warn, fail, or skip where there is nothing to look at. Exits\n" +
				"with 1 if one fails. While towlined is down, type on the machine itself, as root: towlined doctor"},
		{Name: "host:disk", Summary: "show who holds what of the disk", On: on(theHost()), Run: runHostDisk,
			Help: "An app has images, a repository, logs and a build cache; an add-on has volumes and backups. An image counts by\n" +
				"what it shares with no other."},
		{Name: "host:backup", Args: "[FILE]", Summary: "back up the whole machine as one encrypted stream", Max: 1, Stream: Bytes, On: on(theHost()), Run: runHostBackup,
			Help: hostBackupHelp,
			Flags: func(f *pflag.FlagSet) {
				f.String("to", "", "write to this file of the machine, or send to offsite, in place of the standard output")
				_ = f.SetAnnotation("to", valueKind, []string{"FILE"}) // it is there
				f.StringArray("recipient", nil, "encrypt to this public key of age's (age1...); may be given several times")
				f.Bool("passphrase", false, "encrypt by the passphrase in the first line of the standard input, or decrypt by it")
				f.Bool("verify", false, "restore FILE, or the standard input, into a second root, and check it")
			}},
		{Name: "host:backup:info", Summary: "tell when the machine was last backed up, and that verified", On: on(theHost()), Run: runHostBackupInfo},
	}
}

func runHostDoctor(ctx context.Context, call *Call) (Result, error) {
	r := call.table.host.Doctor(ctx)
	res := Result{Value: r, Text: func(w io.Writer) { PrintReport(w, r) }}
	if r.Status == doctor.Fail {
		res.Code = 1
	}
	return res, nil
}

// PrintReport shows what the doctor found: what is wrong comes last, where eyes are.
func PrintReport(w io.Writer, r doctor.Report) {
	var good, bad []doctor.Finding
	for _, f := range r.Findings {
		if f.Status == doctor.OK || f.Status == doctor.Skip {
			good = append(good, f)
		} else {
			bad = append(bad, f)
		}
	}
	for _, f := range good {
		say(w, fmt.Sprintf("%-5s %-13s ", f.Status, f.ID), f.Found)
	}
	for _, f := range bad {
		fmt.Fprintln(w)
		say(w, fmt.Sprintf("%-5s %-13s ", strings.ToUpper(string(f.Status)), f.ID), f.Found)
		if f.Want != "" {
			say(w, "      want:         ", f.Want)
		}
		if f.Do != "" {
			say(w, "      type:         ", f.Do)
		}
	}
	fmt.Fprintln(w)
	switch r.Status {
	case doctor.OK:
		fmt.Fprintln(w, "All is well")
	case doctor.Warn:
		fmt.Fprintf(w, "%s\n", count(len(bad), "warning"))
	default:
		failed := 0
		for _, f := range bad {
			if f.Status == doctor.Fail {
				failed++
			}
		}
		fmt.Fprintf(w, "%s failed, %s\n", count(failed, "check"), count(len(bad)-failed, "warning"))
	}
}

// say writes a text behind a heading, folded beside it.
func say(w io.Writer, heading, text string) {
	for i, line := range fold(text, max(0, widthOf(w)-len(heading))) {
		if i > 0 {
			heading = strings.Repeat(" ", len(heading))
		}
		fmt.Fprintln(w, heading+line)
	}
}

func runHostDisk(ctx context.Context, call *Call) (Result, error) {
	r, err := call.table.host.Disk(ctx)
	if err != nil {
		return Result{}, err
	}
	return show(r, func(w io.Writer) {
		table(w, func(row func(...any)) {
			row("WHO", "", "TOTAL", "OF IT")
			for _, u := range r.Uses {
				if u.Total == 0 {
					continue
				}
				var parts []string
				for _, part := range slices.Sorted(maps.Keys(u.Parts)) {
					parts = append(parts, part+" "+size(u.Parts[part]))
				}
				row(u.Of, u.Name, size(u.Total), strings.Join(parts, ", "))
			}
		})
		fmt.Fprintf(w, "\n%s in all; %s free, of which builds leave %s\n", size(r.Total), size(r.Free), size(r.Reserve))
		for _, dir := range r.Unread {
			warn(call.Stderr, dir+" could not be read")
		}
	})
}

// Size is a number of bytes for people.
func Size(bytes int64) string { return size(bytes) }

// hostInfo is the machine as programs read it.
type hostInfo struct {
	HostConfig
	Version   string    `json:"version"`
	System    string    `json:"system"`
	Kernel    string    `json:"kernel"`
	Podman    string    `json:"podman"`
	Netavark  string    `json:"netavark"`
	Booted    time.Time `json:"booted"`
	Memory    int64     `json:"memory"`
	Available int64     `json:"memory_available"`
	Disk      int64     `json:"disk"`
	Free      int64     `json:"disk_free"`
	Apps      int       `json:"apps"`
	Addons    int       `json:"addons"`
	Members   int       `json:"members"`
}

// runHostInfo shows what can be had; a neighbour that is away leaves a blank.
func runHostInfo(ctx context.Context, call *Call) (Result, error) {
	h := call.table.host
	ctx, cancel := context.WithTimeout(ctx, 20*time.Second)
	defer cancel()
	v := hostInfo{HostConfig: h.Config, Version: Version, System: doctor.System()}
	v.Kernel, _ = h.Facts.Kernel(ctx)
	if p, err := h.Facts.Podman(ctx); err == nil {
		v.Podman = strings.TrimSpace(p.Version + " " + p.Runtime)
	}
	v.Netavark, _ = h.Facts.Netavark(ctx)
	var info unix.Sysinfo_t
	if unix.Sysinfo(&info) == nil {
		v.Booted = time.Now().Add(-time.Duration(info.Uptime) * time.Second).UTC().Truncate(time.Second)
	}
	if m, err := doctor.MachineMemory(); err == nil {
		v.Memory, v.Available = m.Total, m.Available
	}
	var st unix.Statfs_t
	if unix.Statfs(h.Config.State, &st) == nil {
		v.Disk, v.Free = int64(st.Blocks)*st.Bsize, int64(st.Bavail)*st.Bsize
	}
	err := call.Apps.Store.View(ctx, func(tx daemon.Tx) error {
		apps, err := tx.Apps()
		if err != nil {
			return err
		}
		addons, err := tx.Addons()
		if err != nil {
			return err
		}
		members, err := tx.Members()
		v.Apps, v.Addons, v.Members = len(apps), len(addons), len(members)
		return err
	})
	if err != nil {
		return Result{}, err
	}
	return show(v, func(w io.Writer) {
		table(w, func(row func(...any)) {
			row("=== " + v.Domain)
			row("Towline:", v.Version)
			row("System:", v.System+", Linux "+v.Kernel+", up since "+v.Booted.Local().Format("2006-01-02 15:04"))
			row("Podman:", v.Podman+", netavark "+v.Netavark)
			row("Memory:", size(v.Available)+" free of "+size(v.Memory))
			row("Disk:", size(v.Free)+" free of "+size(v.Disk)+", where "+v.State+" is")
			row("Serves:", v.HTTP+" and "+v.HTTPS+"; "+count(v.Apps, "app")+", "+count(v.Addons, "add-on")+", "+count(v.Members, "member"))
			row("Push to:", v.SSH+"APP")
			row("Copies:", orElse(v.Offsite != "", func() string { return v.Offsite }, "no offsite copies are made"))
		})
	})
}
