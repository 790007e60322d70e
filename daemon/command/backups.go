package command

import (
	"context"
	"fmt"
	"io"
	"strings"
	"time"

	"github.com/spf13/pflag"

	"towline/daemon"
	"towline/daemon/backups"
)

func backupCommands() []*Command {
	return []*Command{
		{Name: "backups", Args: "[ADDON]", Summary: "list backups", Max: 1, On: on(appOfFlag(daemon.View), theAddon(daemon.View)), Run: runBackups,
			Flags: func(f *pflag.FlagSet) { f.StringP("app", "a", "", "only those of add-ons attached to this app") }},
		{Name: "backups:capture", Args: "ADDON", Summary: "take a backup now", Min: 1, Max: 1, On: on(theAddon(daemon.Operate)), Run: runBackupCapture,
			Help: "The service stays up; its clients see a short pause, never an error.", Flags: appNotNeeded},
		{Name: "backups:restore", Args: "BACKUP", Summary: "put an add-on's data back to a backup, or to a dump", Max: 1,
			On: on(theBackup(daemon.Manage), addonOfFlag("to", daemon.Manage)),
			Help: "The data of before is kept as a backup. Requests of the attached apps wait while the data\n" +
				"is replaced. Another add-on of the same service takes a backup's portable dump, and any\n" +
				"takes a dump of your own from the standard input.\n\n" +
				"  towline backups:restore BACKUP --confirm ADDON\n" +
				"  towline backups:restore BACKUP --to OTHER --confirm OTHER\n" +
				"  towline backups:restore --dump --to ADDON --confirm ADDON < my.dump",
			Confirm: restoreConfirm, Effect: restoreEffect, Exists: restoreExists, Run: runBackupRestore, Flags: func(f *pflag.FlagSet) {
				appNotNeeded(f)
				f.String("to", "", "the add-on to restore into; default: the backup's own")
				f.Bool("dump", false, "read a dump from the standard input")
			}},
		{Name: "backups:download", Args: "BACKUP", Summary: "write a backup's portable dump to the standard output", Min: 1, Max: 1, On: on(theBackup(daemon.Manage)),
			Help: "  towline backups:download BACKUP > my.dump", Stream: Bytes, Run: runBackupDownload, Flags: appNotNeeded},
		{Name: "backups:verify", Args: "BACKUP", Summary: "prove a stored backup again", Min: 1, Max: 1, On: on(theBackup(daemon.Operate)),
			Help: "Checks the sums, unpacks it and starts a throwaway container on it.", Run: runBackupVerify, Flags: appNotNeeded},
		{Name: "backups:info", Args: "BACKUP", Summary: "show a backup", Min: 1, Max: 1, On: on(theBackup(daemon.View)), Run: runBackupInfo, Flags: appNotNeeded},
		{Name: "backups:delete", Args: "BACKUP", Summary: "delete a backup", Min: 1, Max: 1, On: on(theBackup(daemon.Manage)),
			Confirm: func(call *Call) string { return call.Backup.ID }, Run: runBackupDelete, Flags: appNotNeeded},
		{Name: "backups:schedule", Args: `ADDON "MIN HOUR DAY MONTH WEEKDAY"`, Summary: "take backups at set times", Min: 2, Max: 6, On: on(theAddon(daemon.Operate)),
			Help: "Replaces the add-on's schedule. Of each of the last so many days, weeks and months the\n" +
				"newest good backup is kept; the last good one is never deleted.\n\n" +
				"  towline backups:schedule neo4j-shop \"0 3 * * *\" --keep 7d,4w,6m --tz Europe/Berlin",
			Run: runBackupSchedule, Flags: func(f *pflag.FlagSet) {
				appNotNeeded(f)
				f.String("keep", "7d,4w,6m", "how many to keep")
				f.String("tz", "UTC", "time zone of the schedule")
			}},
		{Name: "backups:schedules", Summary: "list schedules", Max: 0, On: on(appOfFlag(daemon.View)), Run: runBackupSchedules,
			Flags: func(f *pflag.FlagSet) { f.StringP("app", "a", "", "only those of add-ons attached to this app") }},
		{Name: "backups:unschedule", Args: "ADDON", Summary: "take no more backups at set times", Min: 1, Max: 1, On: on(theAddon(daemon.Operate)),
			Run: runBackupUnschedule, Flags: appNotNeeded},
		{Name: "backups:on-release", Args: "on|off", Summary: "back an app's add-ons up before each release", Min: 1, Max: 1, On: on(theApp(daemon.Operate)),
			Help: "A release waits until they are proven, and is refused if one fails. The newest ten of each\n" +
				"add-on are kept. releases:rollback vN --with-data goes back to one. Releases that attaching\n" +
				"or rotating an add-on makes have none.", Run: runBackupOnRelease},
		{Name: "backups:check", Args: "[ADDON]", Summary: "exit with 1 if backups fail, are overdue or are missing", Max: 1, On: on(theAddon(daemon.View)),
			Help: "For monitoring, or for a deploy script.", Run: runBackupCheck, Flags: appNotNeeded},
	}
}

// appNotNeeded accepts -a, which fingers type anyway: an add-on's name says enough.
func appNotNeeded(f *pflag.FlagSet) {
	f.StringP("app", "a", "", "not needed: the add-on is named")
}

// restoreConfirm is the name of the add-on that a restore overwrites.
func restoreConfirm(call *Call) string {
	if to, _ := call.Flags.GetString("to"); to != "" {
		return to
	}
	return call.Backup.Addon
}

func restoreEffect(call *Call) string {
	from := "a dump"
	if call.Backup.ID != "" {
		from = call.Backup.ID
	}
	return "this replaces the data of " + restoreConfirm(call) + " by that of " + from + "; the data of before is kept as a backup"
}

// restoreExists refuses what is no restore at all.
func restoreExists(_ context.Context, call *Call) error {
	to, _ := call.Flags.GetString("to")
	switch dump, _ := call.Flags.GetBool("dump"); {
	case dump && (to == "" || len(call.Args) > 0):
		return daemon.Errorf(daemon.Invalid, "a dump needs --to ADDON, and no backup").WithHint("towline backups:restore --dump --to ADDON --confirm ADDON < my.dump")
	case dump && call.Terminal:
		return daemon.Errorf(daemon.Invalid, "the dump is read from the standard input, which is a terminal").WithHint("add: < my.dump")
	case !dump && len(call.Args) == 0:
		return daemon.Errorf(daemon.Invalid, "backups:restore needs BACKUP").WithHint("towline backups lists them")
	}
	return nil
}

func runBackups(ctx context.Context, call *Call) (Result, error) {
	app, _ := call.Flags.GetString("app")
	addon := ""
	if len(call.Args) == 1 {
		addon = call.Args[0]
	}
	list, err := call.Backups.List(ctx, call.Member, app, addon)
	if err != nil {
		return Result{}, err
	}
	return show(list, func(w io.Writer) {
		if len(list) == 0 {
			fmt.Fprintln(w, "No backups. Take one: towline backups:capture ADDON")
			return
		}
		table(w, func(row func(...any)) {
			if call.Copies.Offsite == nil {
				row("BACKUP", "STATUS", "TAKEN", "SIZE", "STALL", "PROVEN", "FACTS")
			} else {
				row("BACKUP", "STATUS", "TAKEN", "SIZE", "STALL", "PROVEN", "OFFSITE", "FACTS")
			}
			for _, b := range list {
				cells := []any{b.ID, b.Status, ago(b.Created), size(b.Size), b.Stall.Round(time.Millisecond), ago(b.Proven)}
				if call.Copies.Offsite != nil {
					cells = append(cells, offsite(b))
				}
				row(append(cells, b.Facts)...)
			}
		})
	})
}

// offsite is where the copy of a backup is on its way.
func offsite(b daemon.Backup) string {
	at, problem := backups.OffsiteCopy(b)
	switch {
	case !at.IsZero():
		return ago(at)
	case problem != "":
		return "FAILED"
	case b.Status == daemon.BackupGood:
		return "waiting"
	}
	return "-"
}

func runBackupCapture(ctx context.Context, call *Call) (Result, error) {
	b, err := call.Backups.Capture(ctx, call.Args[0], call.Member, "manual", call.Stderr)
	if err != nil {
		return Result{}, err
	}
	return show(b, func(w io.Writer) {
		fmt.Fprintf(w, "Backup %s is %s: %s, the service stood still for %s\n", b.ID, b.Status, size(b.Size), b.Stall.Round(time.Millisecond))
	})
}

func runBackupRestore(ctx context.Context, call *Call) (Result, error) {
	to, _ := call.Flags.GetString("to")
	dump, _ := call.Flags.GetBool("dump")
	req := backups.RestoreRequest{To: to, Member: call.Member}
	if dump {
		req.Dump = call.input("a dump")
	} else {
		req.Backup = call.Backup.ID
	}
	addon, err := call.Restores.Restore(ctx, req, call.Stderr)
	if err != nil {
		return Result{}, err
	}
	if dump {
		return did(object{"addon": addon.Name, "restored": "dump"}, "%s holds what the dump held", addon.Name)
	}
	return did(object{"addon": addon.Name, "restored": req.Backup}, "%s is back to %s", addon.Name, req.Backup)
}

func runBackupDownload(ctx context.Context, call *Call) (Result, error) {
	b := call.Backup
	if call.Terminal {
		return Result{}, daemon.Errorf(daemon.Invalid, "a dump is nothing for a terminal").WithHint("towline backups:download %s > my.dump", b.ID)
	}
	r, name, err := call.Copies.Download(ctx, b.ID)
	if err != nil {
		return Result{}, err
	}
	defer r.Close()
	if err := call.Activity.Record(ctx, daemon.Activity{Kind: daemon.BackupDownloaded, Member: call.Member, App: b.App, Subject: b.ID, Text: "downloaded the dump of " + b.ID}); err != nil {
		return Result{}, err
	}
	n, err := io.Copy(call.Stdout, r)
	if err == nil {
		fmt.Fprintf(call.Stderr, "%s, %s\n", name, size(n))
	}
	return Result{}, err
}

func runBackupVerify(ctx context.Context, call *Call) (Result, error) {
	b, err := call.Proofs.Verify(ctx, call.Backup.ID, call.Member, call.Stderr)
	if err != nil {
		return Result{}, err
	}
	return show(b, func(w io.Writer) {
		fmt.Fprintf(w, "Backup %s is proven: %s\n", b.ID, b.Facts)
	})
}

func runBackupInfo(_ context.Context, call *Call) (Result, error) {
	b := call.Backup
	return show(b, func(w io.Writer) {
		table(w, func(row func(...any)) {
			row("=== " + b.ID)
			row("Add-on:", b.Addon+" ("+b.Service+" "+b.Version+")")
			row("Status:", b.Status)
			row("Reason:", b.Reason)
			if app, version := call.Backups.OfRelease(b); version > 0 {
				row("Data of:", fmt.Sprintf("%s v%d", app, version))
			}
			row("Taken:", b.Created.Local().Format("2006-01-02 15:04:05 MST"))
			if at := backups.AsOf(b); !at.IsZero() {
				row("Data as of:", at.Local().Format("2006-01-02 15:04:05.000 MST"))
			}
			row("Size:", size(b.Size))
			row("Stall:", b.Stall.Round(time.Millisecond))
			row("Proven:", ago(b.Proven))
			row("Facts:", b.Facts)
			if at, problem := backups.OffsiteCopy(b); problem != "" || !at.IsZero() {
				row("Offsite:", strings.TrimSpace(ago(at)+" "+problem))
			}
			if b.Error != "" {
				row("Error:", b.Error)
			}
		})
	})
}

func runBackupDelete(ctx context.Context, call *Call) (Result, error) {
	b := call.Backup
	if err := call.Backups.Delete(ctx, b.ID, call.Member); err != nil {
		return Result{}, err
	}
	return did(object{"backup": b.ID, "deleted": true}, "%s is deleted", b.ID)
}

func runBackupOnRelease(ctx context.Context, call *Call) (Result, error) {
	on := call.Args[0] == "on"
	if !on && call.Args[0] != "off" {
		return Result{}, daemon.Errorf(daemon.Invalid, "%q is neither on nor off", clip(call.Args[0])).WithHint("towline backups:on-release on -a %s", call.App)
	}
	if err := call.Restores.SetReleaseBackups(ctx, call.App, call.Member, on); err != nil {
		return Result{}, err
	}
	text := "Releases of %s take no backups"
	if on {
		text = "The add-ons of %s are backed up before each release"
	}
	return did(object{"app": call.App, "release_backups": on}, text, call.App)
}
