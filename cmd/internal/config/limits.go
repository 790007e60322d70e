package config

import (
	"fmt"
	"os"
	"strconv"
	"strings"
	"syscall"
)

// Limits bound what runs for members, and what a member can make.
type Limits struct {
	// Memory is what each process, one-off and release phase may use, e.g. "512m".
	// Empty: a quarter of the machine's, of at least 512m and at most 4g.
	Memory string `toml:"memory"`
	Pids   int64  `toml:"pids"`  // processes and threads in each of these
	Files  int64  `toml:"files"` // open files of each process
	// Disk is what each may write to its own file system, where Podman's storage can
	// tell (XFS with project quotas), and the size of any one file everywhere.
	Disk string `toml:"disk"`

	// Reserve is how much of its disk builds leave free, e.g. "2g". Empty: a twentieth of
	// the disk, of at most 10g.
	Reserve string `toml:"reserve"`

	Processes   int `toml:"processes"`   // how many one app may run, of all types together
	Apps        int `toml:"apps"`        // how many one member may own who is no administrator
	OneOffs     int `toml:"one_offs"`    // how many one member may run at a time
	Connections int `toml:"connections"` // how many one member may have at a time: commands, pushes, forwards
}

func defaultLimits() Limits {
	return Limits{
		Pids: 512, Files: 16384, Disk: "10g",
		Processes: 100, Apps: 20, OneOffs: 5, Connections: 100,
	}
}

func (l *Limits) check() error {
	for key, n := range map[string]int64{
		"pids": l.Pids, "files": l.Files, "processes": int64(l.Processes),
		"apps": int64(l.Apps), "one_offs": int64(l.OneOffs), "connections": int64(l.Connections),
	} {
		if n < 1 {
			return fmt.Errorf("limits.%s: %d: use 1 or more", key, n)
		}
	}
	if l.Pids < 16 {
		return fmt.Errorf("limits.pids: %d: few programs start with less than 16", l.Pids)
	}
	if l.Files < 64 {
		return fmt.Errorf("limits.files: %d: few programs start with less than 64", l.Files)
	}
	return nil
}

const (
	mebi = 1 << 20
	gibi = 1 << 30
)

// ProcessMemory is limits.memory in bytes, on a machine that has total bytes.
func (f *File) ProcessMemory(total int64) (int64, error) {
	return sizeOr(f.Limits.Memory, "limits.memory", min(max(total/4, 512*mebi), 4*gibi))
}

// BuildMemory is build.memory in bytes, on a machine that has total bytes.
func (f *File) BuildMemory(total int64) (int64, error) {
	return sizeOr(f.Build.Memory, "build.memory", min(max(total/2, 1*gibi), 4*gibi))
}

// BuildsAtOnce is build.at_once, on a machine of so many processors and bytes of memory, of
// which a build may take some.
func (f *File) BuildsAtOnce(processors int, total, build int64) int {
	if f.Build.AtOnce > 0 {
		return f.Build.AtOnce
	}
	if build > 0 {
		processors = min(processors, int(total*3/4/build))
	}
	return max(processors, 1)
}

// BuildDisk is build.disk in bytes.
func (f *File) BuildDisk() (int64, error) { return sizeOr(f.Build.Disk, "build.disk", 10*gibi) }

// ProcessDisk is limits.disk in bytes.
func (f *File) ProcessDisk() (int64, error) { return sizeOr(f.Limits.Disk, "limits.disk", 10*gibi) }

// DiskReserve is limits.reserve in bytes, on the disk where dir is.
func (f *File) DiskReserve(dir string) (int64, error) {
	var st syscall.Statfs_t
	if err := syscall.Statfs(dir, &st); err != nil {
		return 0, err
	}
	return sizeOr(f.Limits.Reserve, "limits.reserve", min(int64(st.Blocks)*st.Bsize/20, 10*gibi))
}

// BuildCache is build.cache in bytes, on the disk where dir is.
func (f *File) BuildCache(dir string) (int64, error) {
	var st syscall.Statfs_t
	if err := syscall.Statfs(dir, &st); err != nil {
		return 0, err
	}
	return sizeOr(f.Build.Cache, "build.cache", min(max(int64(st.Blocks)*st.Bsize/10, 2*gibi), 20*gibi))
}

func sizeOr(text, key string, otherwise int64) (int64, error) {
	if text == "" {
		return otherwise, nil
	}
	n, err := ParseSize(text)
	if err != nil {
		return 0, fmt.Errorf("%s: %w", key, err)
	}
	return n, nil
}

// MachineMemory is the machine's, in bytes.
func MachineMemory() (int64, error) {
	text, err := os.ReadFile("/proc/meminfo")
	if err != nil {
		return 0, err
	}
	for line := range strings.Lines(string(text)) {
		if words := strings.Fields(line); len(words) == 3 && words[0] == "MemTotal:" {
			kib, err := strconv.ParseInt(words[1], 10, 64)
			return kib << 10, err
		}
	}
	return 0, fmt.Errorf("/proc/meminfo does not tell how much memory there is")
}
