package main

import (
	"context"
	"net"
	"path/filepath"
	"time"

	"towline/cmd/internal/config"
	"towline/daemon"
	"towline/daemon/command"
	"towline/daemon/doctor"
	"towline/daemon/hostbackup"
	"towline/daemon/machine"
	"towline/daemon/podman"
	"towline/plugins"
	"towline/proxy/control"
)

// host is what commands on the machine need, beside the daemon. It makes adapters of its
// own, which hold nothing: they work while the daemon does not.
type host struct {
	file    config.File
	engine  *podman.Engine
	catalog *plugins.Catalog
	daemon  *machine.Machine // nil: it is down
	backups *hostbackup.Host
}

func newHost(ctx context.Context, file config.File, path string, a account, d *machine.Machine) (*host, error) {
	engine, err := podman.New(ctx, podman.Options{Address: file.Podman, Name: file.Name, Images: file.Images})
	if err != nil {
		return nil, err
	}
	h := &host{file: file, engine: engine, daemon: d}
	if d != nil {
		h.catalog = d.Catalog
		h.backups = hostBackups(file, path, a, engine, d)
	}
	return h, nil
}

// commands are the parts of the verb table that work on the machine.
func (h *host) commands() command.HostParts {
	return command.HostParts{
		Doctor: func(ctx context.Context) doctor.Report { return doctor.Run(ctx, h.facts()) },
		Disk:   h.disk, Backups: h.backups,
		Facts: h.facts(),
		Config: command.HostConfig{
			Name: h.file.Name, Domain: h.file.Domain, State: h.file.State, SSH: remote(h.file),
			HTTP: h.file.Proxy.HTTP, HTTPS: h.file.Proxy.HTTPS, Offsite: h.file.Offsite.Repository,
		},
	}
}

func (h *host) state(name string) string { return filepath.Join(h.file.State, name) }

// facts are what the doctor judges.
func (h *host) facts() *doctor.Facts {
	reserve, _ := h.file.DiskReserve(h.file.State)
	f := doctor.Machine{
		User: h.file.User, Keys: h.state("ssh/authorized_keys"),
		Addresses: []string{h.file.Proxy.HTTP, h.file.Proxy.HTTPS},
		Dirs: map[string][]string{
			h.file.State: {"state", "repositories", "backups", "logs"}, h.file.Proxy.State: {"certificates"},
			h.file.Proxy.AccessLog: {"access logs"}, "/var/lib/containers": {"images", "volumes"},
		},
		Reserve: reserve,
	}.Facts()
	f.Podman = func(ctx context.Context) (doctor.Podman, error) {
		a, err := h.engine.About(ctx)
		return doctor.Podman{Version: a.Version, Runtime: a.Runtime, Database: a.Database, Driver: a.Driver}, err
	}
	f.Proxy = func(ctx context.Context) error {
		c := control.NewClient(h.file.Proxy.Control)
		defer func() { _ = c.Close() }() // it was asked already
		_, err := c.Services(ctx)
		return err
	}
	f.Daemon = h.answers
	f.Holders = h.largest
	if h.daemon == nil {
		return f
	}
	f.Domains, f.Memory = h.domains, h.memory
	f.Certificates = h.daemon.Router.Certificates
	f.HostBackup = h.hostBackup
	f.Backups = func(ctx context.Context) (list []doctor.Backups, err error) {
		all, err := h.daemon.Schedules.Check(ctx, "", "")
		for _, b := range all {
			list = append(list, doctor.Backups{Addon: b.Addon, LastGood: b.LastGood, Problems: b.Problems})
		}
		return list, err
	}
	return f
}

// answers tells whether the daemon's socket does.
func (h *host) answers(ctx context.Context) (string, error) {
	if h.daemon != nil {
		return command.Version, nil
	}
	c, err := (&net.Dialer{Timeout: 2 * time.Second}).DialContext(ctx, "unix", filepath.Join(h.file.Run, "towlined.sock"))
	if err != nil {
		return "", err
	}
	return "", c.Close()
}

func (h *host) domains(ctx context.Context) (hosts []string, err error) {
	err = h.daemon.Store.View(ctx, func(tx daemon.Tx) error {
		apps, err := tx.Apps()
		for _, a := range apps {
			list, derr := tx.Domains(a.Name)
			if derr != nil {
				return derr
			}
			hosts = append(hosts, a.Name+"."+h.file.Domain)
			for _, d := range list {
				if d.Host != a.Name+"."+h.file.Domain {
					hosts = append(hosts, d.Host)
				}
			}
		}
		return err
	})
	return hosts, err
}

// memory is what limits and plans allow, beside what there is.
func (h *host) memory(ctx context.Context) (doctor.Memory, error) {
	m, err := doctor.MachineMemory()
	if err != nil {
		return m, err
	}
	if m.Builds, err = h.file.BuildMemory(m.Total); err != nil {
		return m, err
	}
	each, err := h.file.ProcessMemory(m.Total)
	if err != nil {
		return m, err
	}
	return m, h.daemon.Store.View(ctx, func(tx daemon.Tx) error {
		apps, err := tx.Apps()
		for _, a := range apps {
			for _, n := range a.Formation {
				m.Apps += int64(n) * each
			}
		}
		if err != nil {
			return err
		}
		addons, err := tx.Addons()
		for _, a := range addons {
			if manifest, ok := h.catalog.Service(a.Service); ok {
				if plan, ok := manifest.Plan(a.Plan); ok {
					n, _ := config.ParseSize(plan.Memory)
					m.Addons += n
				}
			}
		}
		return err
	})
}

// largest names the three who hold most of the disk.
func (h *host) largest(ctx context.Context) (list []string, err error) {
	if h.daemon == nil {
		return nil, nil
	}
	r, err := h.disk(ctx)
	for _, u := range r.Uses[:min(3, len(r.Uses))] {
		list = append(list, u.Of+" "+u.Name+": "+command.Size(u.Total))
	}
	return list, err
}

// hostBackup is what the doctor asks of the backups of the whole machine.
func (h *host) hostBackup(ctx context.Context) (doctor.HostBackup, error) {
	r, err := h.backups.Record()
	if err != nil {
		return doctor.HostBackup{}, err
	}
	b := doctor.HostBackup{Taken: r.Taken, Verified: r.Verified, Error: r.Error}
	hosts, err := h.domains(ctx)
	b.Data = len(hosts) > 0
	return b, err
}
