package podman

import (
	"strconv"
	"time"

	"github.com/containers/podman/v5/libpod/define"
	"github.com/containers/podman/v5/pkg/specgen"
	rspec "github.com/opencontainers/runtime-spec/specs-go"
	nettypes "go.podman.io/common/libnetwork/types"
	"go.podman.io/image/v5/manifest"
	"go.podman.io/storage/pkg/idtools"
	storage "go.podman.io/storage/types"
	"golang.org/x/sys/unix"

	"towline/daemon"
)

// idMapSize is how many ids a mapped container has.
const idMapSize = 65536

// cpuPeriod is the scheduler's accounting period in microseconds.
const cpuPeriod = 100_000

// generate turns a spec into Podman's terms. The API applies fewer defaults than
// the podman command does: what matters is said here.
func (e *Engine) generate(spec daemon.ContainerSpec, f facts) *specgen.SpecGenerator {
	s := specgen.NewSpecGenerator(e.rewrite(spec.Image), false)
	s.Name = spec.Name
	s.Labels = e.labelled(spec.Labels)
	s.Labels[labelMounts] = "" // an image may bring labels of its own
	if spec.IDMap != 0 && spec.IDMapMounts {
		s.Labels[labelMounts] = strconv.FormatUint(uint64(spec.IDMap), 10)
	}
	s.Entrypoint, s.Command = spec.Entrypoint, spec.Command
	s.Env = spec.Env
	s.EnvHost, s.HTTPProxy = new(false), new(false) // nothing of the host's environment
	s.WorkDir = spec.WorkDir
	s.CreateWorkingDir = new(spec.WorkDir != "")
	s.User = spec.User
	s.Hostname = spec.Hostname
	s.Terminal, s.Stdin = &spec.Terminal, &spec.Stdin
	s.Init = &spec.Init
	s.Systemd = "false"
	s.Umask = "0022"
	s.HealthConfig = &manifest.Schema2HealthConfig{Test: []string{"NONE"}} // readiness is the daemon's business
	if spec.StopGrace > 0 {
		s.StopTimeout = new(seconds(spec.StopGrace))
	}
	s.LogConfiguration = &specgen.LogConfig{Driver: define.KubernetesLogging, Path: spec.LogPath, Size: spec.LogSize}
	if spec.NoLog {
		s.LogConfiguration = &specgen.LogConfig{Driver: define.NoLogging}
	}
	setSecurity(s, spec, f)
	setNetworks(s, spec)
	setMounts(s, spec)
	s.ResourceLimits = resources(spec.Limits)
	if f.slices {
		s.CgroupParent = sliceOf(spec)
	}
	s.Rlimits = rlimits(spec.Limits)
	if spec.Limits.Disk > 0 && f.quotas {
		s.StorageOpts = map[string]string{"size": strconv.FormatInt(spec.Limits.Disk, 10)}
	}
	return s
}

func setSecurity(s *specgen.SpecGenerator, spec daemon.ContainerSpec, f facts) {
	s.CapAdd, s.CapDrop = spec.CapAdd, spec.CapDrop
	s.ReadOnlyFilesystem = &spec.ReadOnly
	s.NoNewPrivileges = new(!spec.AllowNewPrivileges)
	if spec.Unconfined {
		s.SeccompProfilePath = "unconfined"
		// Where AppArmor is on, its default profile refuses every mount as well.
		s.ApparmorProfile = "unconfined"
	}
	if spec.IDMap != 0 && (!spec.IDMapIfCheap || f.cheapMaps) {
		ids := []idtools.IDMap{{ContainerID: 0, HostID: int(spec.IDMap), Size: idMapSize}}
		s.UserNS.NSMode = specgen.Private
		s.IDMappings = &storage.IDMappingOptions{UIDMap: ids, GIDMap: ids}
	}
}

// setNetworks leaves a container that names no network without one: the default
// network of Podman's is shared with everyone.
func setNetworks(s *specgen.SpecGenerator, spec daemon.ContainerSpec) {
	switch {
	case spec.HostNetwork:
		s.NetNS.NSMode = specgen.Host
	case spec.NoNetwork || len(spec.Networks) == 0:
		s.NetNS.NSMode = specgen.NoNetwork
	default:
		s.NetNS.NSMode = specgen.Bridge
		s.DNSOptions = []string{"timeout:1", "attempts:5"} // see names.go
		s.Networks = make(map[string]nettypes.PerNetworkOptions, len(spec.Networks))
		for _, n := range spec.Networks {
			s.Networks[n.Network] = nettypes.PerNetworkOptions{Aliases: n.Aliases}
		}
	}
}

func setMounts(s *specgen.SpecGenerator, spec daemon.ContainerSpec) {
	for _, m := range spec.Mounts {
		access := "rw"
		if m.ReadOnly {
			access = "ro"
		}
		switch {
		case m.Volume != "":
			s.Volumes = append(s.Volumes, &specgen.NamedVolume{Name: m.Volume, Dest: m.Target, Options: []string{access}})
		case m.Source != "":
			s.Mounts = append(s.Mounts, rspec.Mount{Type: "bind", Source: m.Source, Destination: m.Target,
				Options: []string{"rbind", "rprivate", access}})
		default:
			s.Mounts = append(s.Mounts, rspec.Mount{Type: "tmpfs", Source: "tmpfs", Destination: m.Target,
				Options: []string{"nosuid", "nodev", "mode=1777", access}})
		}
	}
}

// backgroundShares is an eighth of what a container has unless told otherwise.
const backgroundShares = 128

// resources are nil where nothing is limited. Swap counts as memory, so that a
// limit is met and not evaded.
func resources(limits daemon.Limits) *rspec.LinuxResources {
	r := &rspec.LinuxResources{}
	if limits.Memory > 0 {
		r.Memory = &rspec.LinuxMemory{Limit: &limits.Memory, Swap: &limits.Memory}
	}
	if limits.CPU > 0 {
		r.CPU = &rspec.LinuxCPU{Quota: new(int64(limits.CPU * cpuPeriod)), Period: new(uint64(cpuPeriod))}
	}
	if limits.Background {
		if r.CPU == nil {
			r.CPU = &rspec.LinuxCPU{}
		}
		r.CPU.Shares = new(uint64(backgroundShares))
	}
	if limits.Pids > 0 {
		r.Pids = &rspec.LinuxPids{Limit: limits.Pids}
	}
	return r
}

// maxUserProcesses is what the processes of one user may be in all containers together;
// a container's own limit is Limits.Pids.
const maxUserProcesses = 32768

// rlimits hold for each process of a container. They replace those of Podman's
// configuration, all of them.
func rlimits(limits daemon.Limits) (list []rspec.POSIXRlimit) {
	add := func(name string, n uint64) {
		list = append(list, rspec.POSIXRlimit{Type: name, Soft: n, Hard: n})
	}
	if limits.Files > 0 {
		add("nofile", uint64(limits.Files))
	}
	if limits.Disk > 0 {
		add("fsize", uint64(limits.Disk))
	}
	var own unix.Rlimit
	if list != nil && unix.Getrlimit(unix.RLIMIT_NPROC, &own) == nil {
		add("nproc", min(own.Max, maxUserProcesses))
	}
	return list
}

// seconds rounds up: Podman counts whole ones.
func seconds(d time.Duration) uint {
	return uint((d + time.Second - 1) / time.Second)
}
