package command

import (
	"bufio"
	"context"
	"fmt"
	"io"
	"os"
	"path/filepath"
	"strings"
	"time"

	"towline/daemon"
	"towline/daemon/hostbackup"
)

const hostBackupHelp = "State, secrets with their key, repositories, certificates, the newest proven backup of each add-on, the images that\n" +
	"serve, members and towline.toml, while everything runs on. It is encrypted by age to the --recipient keys, or to\n" +
	"what [backup] in towline.toml says, or by a passphrase.\n\n" +
	"  ssh towline@HOST host:backup --recipient age1... > towline.age\n" +
	"  ssh towline@HOST host:backup --verify < towline.age\n" +
	"  towline host:backup --to /mnt/nas/towline.age       on the machine, as root\n" +
	"  ssh towline@HOST host:backup --to offsite           to the server under [offsite] in towline.toml\n\n" +
	"With --verify nothing is backed up: the stream is restored into a second root and checked, add-ons' data in\n" +
	"throwaway containers. On an empty machine: towline host:restore towline.age. See docs/disaster.md."

func runHostBackup(ctx context.Context, call *Call) (Result, error) {
	h := call.table.host.Backups
	to, _ := call.Flags.GetString("to")
	recipients := call.given("recipient")
	verify, _ := call.Flags.GetBool("verify")
	stdin := bufio.NewReader(call.input("a passphrase or a backup"))
	passphrase, err := call.passphrase(stdin)
	if err != nil {
		return Result{}, err
	}
	switch {
	case verify:
		return call.verifyHost(ctx, stdin, passphrase)
	case len(call.Args) > 0:
		return Result{}, daemon.Errorf(daemon.Invalid, "FILE is for --verify").WithHint("towline host:backup --to %s", clip(call.Args[0]))
	case to == "" && call.Terminal:
		return Result{}, daemon.Errorf(daemon.Invalid, "a backup is nothing for a terminal").WithHint("without ssh -t: ssh towline@HOST host:backup > towline.age")
	}
	req := hostbackup.Request{Recipients: recipients, Passphrase: passphrase, Out: call.Stdout, Progress: call.Stderr}
	var res hostbackup.Result
	switch to {
	case "":
		res, err = h.Stream(ctx, req)
	case hostbackup.ToOffsite:
		res, err = h.Send(ctx, req, h.Plan.Keep)
	default:
		if err := call.hostPath("--to", to); err != nil {
			return Result{}, err
		}
		res, err = h.File(ctx, to, req)
	}
	if err != nil {
		return Result{}, err
	}
	event := daemon.Activity{Kind: daemon.HostBackedUp, Member: call.Member, Text: "backed the whole machine up"}
	if err := call.Activity.Record(context.WithoutCancel(ctx), event); err != nil {
		return Result{}, err
	}
	fmt.Fprintf(call.Stderr, "%s: %s, %s, %s; as of %s\n", size(res.Size), count(len(res.Apps), "app"), count(len(res.Addons), "add-on"),
		count(len(res.Images), "image"), res.DataAsOf.Local().Format("2006-01-02 15:04:05"))
	return Result{}, nil
}

// passphrase reads the first line of the input, if that is what it is.
func (call *Call) passphrase(stdin *bufio.Reader) (string, error) {
	if asked, _ := call.Flags.GetBool("passphrase"); !asked {
		return "", nil
	}
	if call.Terminal {
		return "", daemon.Errorf(daemon.Invalid, "the passphrase is read from the standard input, which is a terminal").WithHint("add: < FILE; its first line is the passphrase")
	}
	const most = 4096
	var line strings.Builder
	for line.Len() < most {
		b, err := stdin.ReadByte()
		if err == io.EOF || b == '\n' {
			break
		}
		if err != nil {
			return "", err
		}
		line.WriteByte(b)
	}
	text := strings.TrimSuffix(line.String(), "\r")
	if text == "" {
		return "", daemon.Errorf(daemon.Invalid, "no passphrase came").WithHint("its first line is the passphrase: < FILE")
	}
	return text, nil
}

// hostPath checks a file of the machine's. Who comes over SSH names none: as root the daemon
// could write and read all of them.
func (call *Call) hostPath(what, path string) error {
	if call.Member != "" {
		return daemon.Errorf(daemon.Forbidden, "%s names a file of the machine, which is for root on it", what).
			WithHint("over SSH it goes by the standard streams: ssh towline@HOST host:backup > FILE")
	}
	if !filepath.IsAbs(path) {
		return daemon.Errorf(daemon.Invalid, "%q is not a full path", clip(path)).WithHint("begin it with /")
	}
	return nil
}

func (call *Call) verifyHost(ctx context.Context, stdin io.Reader, passphrase string) (Result, error) {
	in := stdin
	if len(call.Args) > 0 {
		if err := call.hostPath("FILE", call.Args[0]); err != nil {
			return Result{}, err
		}
		f, err := os.Open(call.Args[0])
		if err != nil {
			return Result{}, daemon.Errorf(daemon.NotFound, "%w", err)
		}
		defer f.Close()
		in = f
	} else if call.Terminal {
		return Result{}, daemon.Errorf(daemon.Invalid, "the backup is read from the standard input, which is a terminal").WithHint("add: < towline.age")
	}
	res, err := call.table.host.Backups.Try(ctx, in, hostbackup.Unlock{Passphrase: passphrase}, call.Stderr)
	if err != nil {
		return Result{}, err
	}
	for _, m := range res.Missing {
		warn(call.Stderr, m)
	}
	return show(res, func(w io.Writer) {
		fmt.Fprintf(w, "The backup of %s, taken %s, is whole and was restored: %s, %s\n", res.Domain, res.Created.Local().Format("2006-01-02 15:04"),
			count(len(res.Apps), "app"), count(len(res.Addons), "add-on"))
		for _, a := range res.Addons {
			if a.Backup != "" {
				fmt.Fprintf(w, "%s: data as of %s\n", a.Addon, a.AsOf.Local().Format("2006-01-02 15:04:05"))
			}
		}
	})
}

func runHostBackupInfo(_ context.Context, call *Call) (Result, error) {
	r, err := call.table.host.Backups.Record()
	if err != nil {
		return Result{}, err
	}
	return show(r, func(w io.Writer) {
		if r.Taken.IsZero() && r.Error == "" {
			fmt.Fprintln(w, "This machine was never backed up. See: towline help host:backup")
			return
		}
		table(w, func(row func(...any)) {
			row("Taken:", ago(r.Taken))
			row("Data as of:", r.DataAsOf.Local().Format(time.DateTime))
			row("Size:", size(r.Size))
			row("To:", r.To)
			row("Verified:", ago(r.Verified))
			for _, m := range r.Missing {
				row("Missing:", m)
			}
			if r.Error != "" {
				row("Last error:", r.Error)
			}
		})
	})
}
