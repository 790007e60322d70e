package main

import (
	"bytes"
	"context"
	"errors"
	"flag"
	"fmt"
	"io"
	"log/slog"
	"os"
	"path/filepath"
	"strings"
	"time"

	"towline/cmd/internal/config"
	"towline/daemon"
	"towline/daemon/hostbackup"
	"towline/daemon/machine"
	"towline/daemon/podman"
	"towline/daemon/store"
)

// restoreFlags are those of towlined restore.
type restoreFlags struct {
	unlock  hostbackup.Unlock
	replace bool
	file    string
}

func parseRestore(args []string) (r restoreFlags, err error) {
	f := flag.NewFlagSet("towlined restore", flag.ContinueOnError)
	f.StringVar(&r.unlock.IdentityFile, "identity", "", "`file` of keys of age's that open the backup")
	passphrase := f.String("passphrase-file", "", "`file` whose first line is the passphrase")
	f.BoolVar(&r.replace, "replace", false, "though this machine has apps or add-ons: what it has is set aside")
	if err := f.Parse(args); err != nil {
		return r, err
	}
	if f.NArg() != 1 {
		return r, errors.New("usage: towlined restore [--identity FILE | --passphrase-file FILE] [--replace] FILE; - is standard input, offsite the newest at the offsite server")
	}
	r.file = f.Arg(0)
	if *passphrase != "" {
		r.unlock.Passphrase, err = hostbackup.ReadPassphrase(*passphrase)
	}
	return r, err
}

// restore brings this machine up from a backup, while the daemon is down. Killed at any
// moment, the machine is as it was, or the restore goes on when towlined starts.
func restore(ctx context.Context, file config.File, path string, r restoreFlags, out io.Writer) error {
	account, err := lookup(file.User)
	if err != nil {
		return err
	}
	if err := makeDirs(file); err != nil {
		return err
	}
	unlock, err := lockState(file.State)
	if err != nil {
		return fmt.Errorf("%w: stop it first, by systemctl stop towlined", err)
	}
	defer unlock()
	engine, err := podman.New(ctx, podman.Options{Address: file.Podman, Name: file.Name, Images: file.Images})
	if err != nil {
		return err
	}
	if _, err := engine.Ping(ctx); err != nil {
		return err
	}
	if err := checkEmpty(ctx, file, r.replace); err != nil {
		return err
	}
	in, err := openBackup(ctx, file, r.file)
	if err != nil {
		return err
	}
	defer in.Close()
	h := hostBackups(file, path, account, engine, nil)
	began := time.Now()
	if _, err := h.Stage(ctx, in, r.unlock, out); err != nil {
		return err
	}
	if err := h.Finish(out); err != nil {
		return err
	}
	if file, err = settle(h, file, path, out); err != nil {
		return err
	}
	if err := makeDirs(file); err != nil {
		return err
	}
	log := slog.New(slog.NewTextHandler(os.Stderr, &slog.HandlerOptions{Level: slog.LevelError}))
	d, closeAll, err := wire(ctx, file, account, log)
	if err != nil {
		return err
	}
	defer closeAll()
	p, err := h.Resume(ctx, thisMachine(file, account, d), out)
	if err != nil {
		return err
	}
	tell(out, p, began)
	if len(p.Failed) > 0 {
		return fmt.Errorf("the data of %d add-ons could not be restored", len(p.Failed))
	}
	return nil
}

// openBackup opens what is to be restored: a file, the standard input or the newest backup at
// the offsite server.
func openBackup(ctx context.Context, file config.File, name string) (io.ReadCloser, error) {
	switch name {
	case "-":
		return os.Stdin, nil
	case hostbackup.ToOffsite:
	default:
		return os.Open(name)
	}
	copies, err := openOffsite(file, filepath.Join(file.State, "backups"))
	if err != nil {
		return nil, err
	}
	if copies == nil {
		return nil, errors.New("there is no offsite.repository in towline.toml; a file of that name is ./offsite")
	}
	r, w := io.Pipe()
	go func() { w.CloseWithError(copies.FetchMachine(ctx, w)) }()
	return r, nil
}

// checkEmpty refuses a machine that has something to lose, unless that was said.
func checkEmpty(ctx context.Context, file config.File, replace bool) error {
	database := filepath.Join(file.State, "towline.db")
	if _, err := os.Stat(database); replace || errors.Is(err, os.ErrNotExist) {
		return nil
	}
	key, err := store.LoadKey(filepath.Join(file.State, "key"))
	if err != nil {
		return err
	}
	db, err := store.Open(ctx, database, key)
	if err != nil {
		return err
	}
	defer func() { _ = db.Close() }() // it was only read
	return db.View(ctx, func(tx daemon.Tx) error {
		apps, aerr := tx.Apps()
		addons, derr := tx.Addons()
		if err := errors.Join(aerr, derr); err != nil {
			return err
		}
		if len(apps)+len(addons) > 0 {
			return fmt.Errorf("this machine has %d apps and %d add-ons: a restore is for an empty one; --replace sets aside what is here, and the data of add-ons that have the same names is lost", len(apps), len(addons))
		}
		return nil
	})
}

// settle puts the restored towline.toml in the place of one that sets nothing. One that sets
// something is this machine's, and stays.
func settle(h *hostbackup.Host, file config.File, path string, out io.Writer) (config.File, error) {
	restored := h.Settings()
	if restored == "" {
		return file, nil
	}
	then, err := os.ReadFile(restored)
	if err != nil {
		return file, err
	}
	now, err := os.ReadFile(path)
	if err != nil {
		return file, err
	}
	if bytes.Equal(then, now) {
		return file, nil
	}
	next, err := config.Load(restored)
	if setsSomething(string(now)) || err != nil || next.State != file.State || next.Proxy.State != file.Proxy.State {
		fmt.Fprintf(out, " !     %s stays as it is; that of the backup is %s: compare them, above all domain and tls\n", path, restored)
		return file, nil
	}
	if err := os.Rename(path, path+".before-restore"); err != nil {
		return file, err
	}
	if err := os.WriteFile(path+".new", then, 0o644); err != nil {
		return file, err
	}
	return next, os.Rename(path+".new", path)
}

func setsSomething(text string) bool {
	for line := range strings.Lines(text) {
		if line = strings.TrimSpace(line); line != "" && line[0] != '#' {
			return true
		}
	}
	return false
}

// some counts things, with the noun in the number that fits.
func some(n int, noun string) string {
	if n == 1 {
		return "1 " + noun
	}
	return fmt.Sprintf("%d %ss", n, noun)
}

// tell says what came back, and how old it is.
func tell(out io.Writer, p hostbackup.Pending, began time.Time) {
	age := func(t time.Time) string {
		return fmt.Sprintf("%s, %s old", t.Local().Format("2006-01-02 15:04:05"), time.Since(t).Round(time.Second))
	}
	fmt.Fprintf(out, "Restored in %s: %s and %s of %s\n", time.Since(began).Round(time.Second), some(len(p.Apps), "app"), some(len(p.Addons), "add-on"), p.Domain)
	fmt.Fprintf(out, "  apps, config vars, members: as of %s\n", age(p.DataAsOf))
	for _, a := range p.Addons {
		switch {
		case p.Failed[a.Addon] != "":
			fmt.Fprintf(out, " !     %s: NOT restored: %s\n", a.Addon, p.Failed[a.Addon])
		case a.Backup == "":
			fmt.Fprintf(out, " !     %s: starts empty: the backup had no proven copy of its data\n", a.Addon)
		default:
			fmt.Fprintf(out, "  data of %s: as of %s\n", a.Addon, age(a.AsOf))
		}
	}
	for _, m := range p.Missing {
		fmt.Fprintln(out, " !     "+m)
	}
	fmt.Fprintln(out, "Now type: systemctl restart towline-proxy towlined")
}

// finishRestore puts what a restore has unpacked in its place, if it came so far, and removes
// what a verification that was killed has left.
func finishRestore(file config.File, path string, a account) error {
	h := hostBackups(file, path, a, nil, nil)
	if err := errors.Join(h.RemoveTries(), h.RemoveUnsent()); err != nil {
		return err
	}
	if err := h.Finish(os.Stderr); err != nil {
		return fmt.Errorf("finish the restore: %w", err)
	}
	return makeDirs(file)
}

// resumeRestore fills the add-ons that a restore has not come to. What fails is said, and
// left to backups:restore.
func resumeRestore(ctx context.Context, file config.File, path string, a account, d *machine.Machine, log *slog.Logger) error {
	p, err := hostBackups(file, path, a, nil, nil).Resume(ctx, thisMachine(file, a, d), nil)
	for addon, why := range p.Failed {
		log.Error("the data of an add-on could not be restored", "addon", addon, "err", why)
	}
	return err
}
