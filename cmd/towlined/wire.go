package main

import (
	"context"
	"errors"
	"fmt"
	"log/slog"
	"net"
	"os"
	"path/filepath"
	"runtime"
	"slices"
	"strconv"
	"strings"
	"time"

	"towline/cmd/internal/config"
	"towline/daemon"
	"towline/daemon/addons"
	"towline/daemon/apps"
	"towline/daemon/build"
	"towline/daemon/cgroup"
	"towline/daemon/command"
	"towline/daemon/git"
	"towline/daemon/history"
	"towline/daemon/logs"
	"towline/daemon/machine"
	"towline/daemon/offsite"
	"towline/daemon/podman"
	"towline/daemon/router"
	"towline/daemon/store"
	"towline/daemon/vault"
	"towline/plugins"
	"towline/proxy/control"
)

// wire makes the daemon out of its adapters. closeAll ends what was started.
func wire(ctx context.Context, file config.File, a account, log *slog.Logger) (d *machine.Machine, closeAll func(), err error) {
	var closers []func() error
	closeAll = func() {
		for i := len(closers) - 1; i >= 0; i-- {
			if err := closers[i](); err != nil {
				log.Error("close", "err", err)
			}
		}
	}
	defer func() {
		if err != nil {
			closeAll()
		}
	}()
	state := func(name string) string { return filepath.Join(file.State, name) }

	key, err := store.LoadKey(state("key"))
	if err != nil {
		return nil, nil, err
	}
	db, err := store.Open(ctx, state("towline.db"), key)
	if err != nil {
		return nil, nil, err
	}
	closers = append(closers, db.Close)
	engine, err := podman.New(ctx, podman.Options{
		Address: file.Podman, Name: file.Name, Images: file.Images,
		PublicPorts: publicPorts(file.Proxy.HTTP, file.Proxy.HTTPS),
	})
	if err != nil {
		return nil, nil, err
	}
	limits, builds, err := limits(file)
	if err != nil {
		return nil, nil, err
	}
	room, err := buildRoom(file, engine)
	if err != nil {
		return nil, nil, err
	}
	builder, err := build.New(build.Options{
		Room:   room,
		Engine: engine, Name: file.Name, Dir: state("build"),
		Builder: file.Build.Builder, Lifecycle: file.Build.Lifecycle, Dockerfile: file.Build.Dockerfile,
		Bases:  file.Build.Bases,
		Memory: builds.memory, AtOnce: builds.atOnce, Disk: builds.disk,
		Timeout: time.Duration(file.Build.Timeout), Env: file.Build.Env, CABundle: file.Build.CABundle,
	})
	if err != nil {
		return nil, nil, err
	}
	closers = append(closers, builder.Close)
	maxLog, err := config.ParseSize(file.Logs.MaxSize)
	if err != nil {
		return nil, nil, fmt.Errorf("logs.max_size: %w", err)
	}
	appLogs := logs.New(logs.Options{
		Dir: state("logs"), RouterDir: file.Proxy.AccessLog, MaxSize: maxLog, MaxAge: time.Duration(file.Logs.MaxAge),
	})
	backups, err := vault.New(state("backups"))
	if err != nil {
		return nil, nil, err
	}
	copies, err := openOffsite(file, state("backups"))
	if err != nil {
		return nil, nil, err
	}
	catalog, err := loadCatalog(append(slices.Clone(file.Addons), addons.PluginDir(file.State)), log)
	if err != nil {
		return nil, nil, err
	}
	go keepOn(ctx, func(ctx context.Context) {
		engine.KeepFirewall(ctx, func(err error) { log.Warn("the firewall", "err", err) })
	})
	proxy := control.NewClient(file.Proxy.Control)
	closers = append(closers, proxy.Close)
	routes := router.New(proxy)
	measured := history.New(state("metrics.db"), log)
	closers = append(closers, measured.Close)
	o := machine.Options{
		Name: file.Name, Dir: file.State, Domain: file.Domain, Port: httpsPort(file.Proxy.HTTPS), Remote: remote(file),
		Limits: limits, Bounds: apps.Bounds{Processes: file.Limits.Processes, Apps: file.Limits.Apps, OneOffs: file.Limits.OneOffs},
		Store: db, Engine: engine, Builder: builder, Router: routes,
		Repositories: git.NewRepositories(state("git"), int(a.uid), int(a.gid)),
		Unpacker:     git.NewUnpacker(git.Limits{}),
		Keys:         git.NewKeys(state("ssh/authorized_keys"), append([]string{"exec"}, shellCommand(file)...)...),
		Logs:         appLogs, Vault: backups, Catalog: catalog, Log: log, Fault: fault, DiskShort: builder.Short,
		Traffic: routes, Meters: cgroup.New("/sys/fs/cgroup", "/proc"), History: measured,
	}
	if copies != nil {
		o.Offsite = copies
	}
	d = machine.New(o)
	closers = append(closers, func() error { d.Close(); return nil })
	go keepOn(ctx, func(ctx context.Context) {
		// Asked when all has been started, for it takes Podman a while; the first deploy needs the answer.
		select {
		case <-d.Started():
		case <-ctx.Done():
			return
		}
		if can, err := engine.LimitsDisk(ctx); err == nil && !can {
			log.Info("Podman's storage can't bound what a container writes, only the size of each file: "+
				"that takes XFS with project quotas", "limits.disk", file.Limits.Disk)
		}
	})
	return d, closeAll, nil
}

// rooms are those that commands work with.
func rooms(m *machine.Machine) command.Rooms {
	return command.Rooms{AppRoom: m.AppRoom, AddonRoom: m.AddonRoom, BackupRoom: m.BackupRoom, People: m.People, Activity: m.Activity, Suite: m.Suite, Pipelines: m.Pipelines, Tests: m.Tests, Metrics: m.Metrics}
}

// buildLimits are those of builds, in bytes.
type buildLimits struct {
	memory, disk int64
	atOnce       int
}

// limits are those of a process, and of builds.
func limits(file config.File) (process daemon.Limits, builds buildLimits, err error) {
	total, err := config.MachineMemory()
	if err != nil {
		return process, builds, err
	}
	process = daemon.Limits{Pids: file.Limits.Pids, Files: file.Limits.Files}
	var merr, berr, derr, bderr error
	process.Memory, merr = file.ProcessMemory(total)
	builds.memory, berr = file.BuildMemory(total)
	builds.disk, bderr = file.BuildDisk()
	builds.atOnce = file.BuildsAtOnce(runtime.NumCPU(), total, builds.memory)
	process.Disk, derr = file.ProcessDisk()
	return process, builds, errors.Join(merr, berr, derr, bderr)
}

// openOffsite returns nil if backups have no offsite copies.
func openOffsite(file config.File, dir string) (*offsite.Offsite, error) {
	o := file.Offsite
	if o.Repository == "" {
		return nil, nil
	}
	return offsite.New(offsite.Options{
		Repository: o.Repository, PasswordFile: o.PasswordFile, Env: o.Env, Flags: o.Flags, Dir: dir,
	})
}

// loadCatalog reads the add-on manifests. A broken one is reported and left out; it
// must not take the others with it.
func loadCatalog(dirs []string, log *slog.Logger) (*plugins.Catalog, error) {
	var there []string
	for _, dir := range dirs {
		if _, err := os.Stat(dir); err == nil {
			there = append(there, dir)
		} else if !errors.Is(err, os.ErrNotExist) {
			return nil, err
		}
	}
	catalog, err := plugins.Load(there...)
	if err != nil {
		log.Error("add-on manifests", "err", err)
	}
	return catalog, nil
}

// shellCommand is the forced command of every key: towline-shell, next to this
// program, told where this installation's socket and repositories are. sshd has the
// account's login shell start it; keys put "exec" before it, so that no shell stays
// in between and catches the user's Ctrl-C.
func shellCommand(file config.File) []string {
	self, err := os.Executable()
	if err != nil {
		self = "/usr/lib/towline/towlined"
	}
	dir := filepath.Dir(self)
	return []string{
		filepath.Join(dir, "towline-shell"), "--socket", filepath.Join(file.Run, "towlined.sock"),
		"--repositories", filepath.Join(file.State, "git"), "--hooks", filepath.Join(file.State, "hooks"),
	}
}

// installHooks links pre-receive to towline-shell, for the repositories of this
// installation.
func installHooks(file config.File) error {
	dir := filepath.Join(file.State, "hooks")
	if err := os.MkdirAll(dir, 0o755); err != nil {
		return err
	}
	link := filepath.Join(dir, "pre-receive")
	target := shellCommand(file)[0]
	if have, err := os.Readlink(link); err == nil && have == target {
		return nil
	}
	if err := os.Remove(link); err != nil && !errors.Is(err, os.ErrNotExist) {
		return err
	}
	return os.Symlink(target, link)
}

func remote(file config.File) string {
	if file.SSH.Port == 22 {
		return fmt.Sprintf("ssh://%s@%s/", file.User, file.SSH.Host)
	}
	return fmt.Sprintf("ssh://%s@%s:%d/", file.User, file.SSH.Host, file.SSH.Port)
}

// publicPorts are the ports of the proxy's addresses, but for those of this machine alone.
func publicPorts(addresses ...string) (ports []int) {
	for _, address := range addresses {
		host, port, err := net.SplitHostPort(address)
		if err != nil || host == "localhost" || net.ParseIP(host).IsLoopback() {
			continue // the proxy says what is wrong with it
		}
		if n, err := strconv.Atoi(port); err == nil && 0 < n && n < 1<<16 {
			ports = append(ports, n)
		}
	}
	return ports
}

// httpsPort is the port to show in addresses: none where it is the usual one.
func httpsPort(address string) string {
	_, port, _ := strings.Cut(address[strings.LastIndex(address, "]")+1:], ":")
	if port == "443" {
		return ""
	}
	return port
}

// buildRoom is what builds may take of the disks of the state and of Podman's storage.
func buildRoom(file config.File, engine *podman.Engine) (r build.Room, err error) {
	r.Dirs = func(ctx context.Context) []string {
		storage, err := engine.Storage(ctx)
		if err != nil || storage == "" {
			storage = "/var/lib/containers" // Podman is away, and this the usual place
		}
		if _, err := os.Stat(storage); err != nil {
			return []string{file.State}
		}
		return []string{file.State, storage}
	}
	var rerr, cerr error
	r.Reserve, rerr = file.DiskReserve(file.State)
	r.Cache, cerr = file.BuildCache(file.State)
	return r, errors.Join(rerr, cerr)
}
