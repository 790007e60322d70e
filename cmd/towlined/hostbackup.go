package main

import (
	"context"
	"errors"
	"fmt"
	"io"
	"log/slog"
	"os"
	"path/filepath"

	"towline/cmd/internal/config"
	"towline/daemon"
	"towline/daemon/addons"
	"towline/daemon/backups"
	"towline/daemon/command"
	"towline/daemon/git"
	"towline/daemon/hostbackup"
	"towline/daemon/machine"
	"towline/daemon/podman"
	"towline/daemon/store"
)

// backupPlan is what towline.toml says of scheduled backups of the machine.
func backupPlan(file config.File) hostbackup.Plan {
	b := file.Backup
	return hostbackup.Plan{Cron: b.Schedule, Zone: b.Zone, To: b.To, Keep: b.Keep}
}

// checkBackup tells what is wrong with the section [backup].
func checkBackup(file config.File, path string) error {
	err := backupPlan(file).Check()
	if b := file.Backup; err == nil && b.Schedule != "" && len(b.Recipients) == 0 && b.PassphraseFile == "" {
		err = errors.New("backup.schedule is set, and neither backup.recipients nor backup.passphrase_file: say whom to encrypt to")
	}
	if b := file.Backup; err == nil && b.Schedule != "" && b.To == hostbackup.ToOffsite && file.Offsite.Repository == "" {
		err = errors.New("backup.to is offsite, and there is no offsite.repository")
	}
	if err != nil {
		return fmt.Errorf("%s: %w", path, err)
	}
	return nil
}

// hostBackups are the backups of this machine. d is nil where none runs: for a restore.
func hostBackups(file config.File, path string, a account, engine *podman.Engine, d *machine.Machine) *hostbackup.Host {
	var db daemon.Store
	var copies hostbackup.Offsite
	if d != nil {
		db = d.Store
		copies, _ = d.Offsite.(hostbackup.Offsite)
	}
	state := func(name string) string { return filepath.Join(file.State, name) }
	files := map[string]string{"towline.toml": path}
	if file.Offsite.Repository != "" {
		files["offsite.password"] = file.Offsite.PasswordFile
	}
	return hostbackup.New(hostbackup.Options{
		Name: file.Name, Domain: file.Domain, Version: command.Version, State: file.State, Proxy: file.Proxy.State, Files: files,
		Keys:  hostbackup.Keys{Recipients: file.Backup.Recipients, PassphraseFile: file.Backup.PassphraseFile},
		Plan:  backupPlan(file),
		Store: db, AsOf: backups.AsOf, Plugins: addons.PluginDir(file.State),
		Repositories: git.NewRepositories(state("git"), int(a.uid), int(a.gid)),
		Images:       engine,
		Offsite:      copies,
		Snapshot: func(ctx context.Context, to string) (daemon.Store, error) {
			return snapshot(ctx, db, state("key"), to)
		},
		Second: func(ctx context.Context, root string) (hostbackup.Machine, error) {
			return secondMachine(ctx, file, a, root)
		},
	})
}

// snapshot writes a copy of the database, and opens one more of that: opening changes it.
func snapshot(ctx context.Context, db daemon.Store, keyFile, to string) (daemon.Store, error) {
	s, ok := db.(*store.Store)
	if !ok {
		return nil, errors.New("the database has no snapshots")
	}
	if err := s.Snapshot(ctx, to); err != nil {
		return nil, err
	}
	text, err := os.ReadFile(to)
	if err == nil {
		err = os.WriteFile(to+".read", text, 0o600)
	}
	if err != nil {
		return nil, err
	}
	key, err := store.LoadKey(keyFile)
	if err != nil {
		return nil, err
	}
	return store.Open(ctx, to+".read", key)
}

// restored is a daemon that is restored into.
type restored struct {
	*git.Repositories
	d     *machine.Machine
	close func(ctx context.Context, remove bool) error
}

func (m *restored) Store() daemon.Store { return m.d.Store }

func (m *restored) Refill(ctx context.Context, addon, backup string, out io.Writer) error {
	if err := m.d.LearnHandles(ctx); err != nil { // the daemon has not reconciled yet
		return err
	}
	return m.d.Restores.Refill(ctx, addon, backup, out)
}

func (m *restored) Close(ctx context.Context, remove bool) error {
	if m.close == nil {
		return nil
	}
	return m.close(ctx, remove)
}

// thisMachine is the one that a restore is for.
func thisMachine(file config.File, a account, d *machine.Machine) *restored {
	return &restored{Repositories: git.NewRepositories(filepath.Join(file.State, "git"), int(a.uid), int(a.gid)), d: d}
}

// secondMachine is wired like the first, below root and by another name, so that nothing of
// the first can be meant; there is one at a time. It has no copies elsewhere to fall back on.
func secondMachine(ctx context.Context, file config.File, a account, root string) (*restored, error) {
	file.Name += "-verify"
	file.State, file.Run = root, filepath.Join(root, "run")
	file.Offsite = config.Offsite{}
	if err := makeDirs(file); err != nil {
		return nil, err
	}
	d, closeAll, err := wire(ctx, file, a, slog.New(slog.DiscardHandler))
	if err != nil {
		return nil, err
	}
	m := thisMachine(file, a, d)
	m.close = func(ctx context.Context, remove bool) error {
		defer closeAll()
		if !remove {
			return nil
		}
		return removeVolumes(ctx, d.Engine)
	}
	// One that was killed has left its own.
	if err := removeVolumes(ctx, d.Engine); err != nil {
		return nil, errors.Join(err, m.close(ctx, false))
	}
	return m, nil
}

func removeVolumes(ctx context.Context, engine daemon.Engine) error {
	containers, err := engine.ContainerList(ctx, nil)
	for _, c := range containers {
		err = errors.Join(err, engine.RemoveContainer(ctx, c.Name))
	}
	volumes, verr := engine.Volumes(ctx)
	for _, v := range volumes {
		verr = errors.Join(verr, engine.RemoveVolume(ctx, v.Name))
	}
	return errors.Join(err, verr)
}
