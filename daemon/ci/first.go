package ci

import (
	"context"
	"errors"
	"fmt"
	"io"
	"os"
	"path/filepath"
	"slices"
	"time"

	"towline/daemon"
	"towline/daemon/apps"
	"towline/daemon/work"
)

// SetFirst has what is pushed to an app deployed only once its tests have succeeded, or no longer.
func (ts *Tests) SetFirst(ctx context.Context, app, member string, on bool) error {
	if _, err := ts.Pipelines.Coupling(ctx, app); err != nil && on {
		return err
	}
	unlock, err := ts.Journal.LockApp(ctx, app, nil)
	if err != nil {
		return err
	}
	defer unlock()
	return ts.Store.Update(ctx, func(tx daemon.Tx) error {
		a, err := daemon.FindApp(tx, app)
		if err != nil || a.TestsFirst == on {
			return err
		}
		a.TestsFirst = on
		event := daemon.Activity{Time: daemon.Now(), Member: member, Kind: daemon.TestsFirstSet, App: app, Text: "has pushes deployed once their tests have succeeded", Undo: "ci:off"}
		if !on {
			event.Text, event.Undo = "has pushes deployed without tests", "ci:on"
		}
		return errors.Join(tx.UpdateApp(a), tx.RecordActivity(event))
	})
}

// Deploy deploys source, of an app that wants its tests first once they have succeeded: now, or for
// the same commit as it was pushed before. Then the image is built with what the build of the tests
// has left in the cache.
func (ts *Tests) Deploy(ctx context.Context, req apps.DeployRequest, branch string, out io.Writer) (daemon.Release, error) {
	a, err := ts.Apps.App(ctx, req.App)
	if err != nil || !a.TestsFirst {
		return ts.Releases.Deploy(ctx, req, out)
	}
	runs, err := ts.Runs(ctx, req.App)
	if err != nil {
		return daemon.Release{}, err
	}
	green := slices.IndexFunc(runs, func(r daemon.TestRun) bool {
		return req.Commit != "" && r.Commit == req.Commit && r.Status == daemon.TestSucceeded
	})
	if green >= 0 {
		work.Stage(out, "Tests of %.8s have succeeded in run %d", req.Commit, runs[green].Number)
		return ts.Releases.Deploy(ctx, req, out)
	}
	// It is read twice: by the tests, and by the deploy.
	spool := fmt.Sprintf("%s-first-%d", req.App, time.Now().UnixNano())
	defer ts.Releases.RemoveWork(spool)
	f, err := spoolFile(work.Dir(ts.Dir, spool))
	if err != nil {
		return daemon.Release{}, err
	}
	defer f.Close()
	copied := &bounded{to: f, left: 1 << 62}
	run, err := ts.Run(ctx, Request{App: req.App, Member: req.Member, Branch: branch, Commit: req.Commit, Subject: req.Subject, Source: io.TeeReader(req.Source, copied)}, out)
	switch {
	case err != nil:
		return daemon.Release{}, err
	case run.Status != daemon.TestSucceeded:
		return daemon.Release{}, daemon.Errorf(daemon.Failed, "nothing is deployed, as the tests have not succeeded: %s", Says(run)).
			WithHint("towline ci:output %d -a %s shows the run again", run.Number, req.App)
	case copied.err != nil:
		return daemon.Release{}, copied.err
	}
	work.Stage(out, "%s", Says(run))
	if _, err := f.Seek(0, io.SeekStart); err != nil {
		return daemon.Release{}, err
	}
	req.Source = f
	return ts.Releases.Deploy(ctx, req, out)
}

func spoolFile(dir string) (*os.File, error) {
	if err := os.MkdirAll(dir, 0o700); err != nil {
		return nil, err
	}
	return os.OpenFile(filepath.Join(dir, "source"), os.O_CREATE|os.O_EXCL|os.O_RDWR, 0o600)
}

// SetConfig changes the config vars of an app's test runs, for the next ones.
func (ts *Tests) SetConfig(ctx context.Context, c apps.ConfigChange) error {
	unlock, err := ts.Journal.LockApp(ctx, c.App, nil)
	if err != nil {
		return err
	}
	defer unlock()
	return ts.Store.Update(ctx, func(tx daemon.Tx) error {
		a, err := daemon.FindApp(tx, c.App)
		if err != nil {
			return err
		}
		before := a.TestConfig
		if a.TestConfig, err = c.ChangeTests(before); err != nil {
			return err
		}
		event := daemon.Activity{Time: daemon.Now(), Member: c.Member, Kind: daemon.TestConfigSet, App: c.App, Names: append(daemon.SortedKeys(c.Set), slices.Sorted(slices.Values(c.Unset))...), Text: "removed config vars of tests"}
		if len(c.Set) > 0 {
			event.Text = "set config vars of tests"
			if !slices.ContainsFunc(event.Names, func(key string) bool { _, had := before[key]; return had }) {
				event.Undo = "ci:config:unset"
				for _, key := range event.Names {
					event.Undo += " " + key
				}
			}
		}
		return errors.Join(tx.UpdateApp(a), tx.RecordActivity(event))
	})
}

// ReadConfig returns the config vars of an app's test runs, of all names or of those given, and
// records that the member was shown them. One that is absent is left out.
func (ts *Tests) ReadConfig(ctx context.Context, app, member string, names ...string) (map[string]string, error) {
	vars := map[string]string{}
	err := ts.Store.Update(ctx, func(tx daemon.Tx) error {
		a, err := daemon.FindApp(tx, app)
		if err != nil {
			return err
		}
		for key, value := range a.TestConfig {
			if len(names) == 0 || slices.Contains(names, key) {
				vars[key] = value
			}
		}
		if len(vars) == 0 {
			return nil
		}
		return tx.RecordActivity(daemon.Activity{Time: daemon.Now(), Member: member, Kind: daemon.ConfigRead, App: app, Names: daemon.SortedKeys(vars), Text: "was shown config vars of tests"})
	})
	return vars, err
}
