package command

import (
	"bytes"
	"context"
	"errors"
	"io"
	"strings"
	"sync"
	"testing"
	"time"

	"towline/daemon"
)

// safe is a buffer for two goroutines.
type safe struct {
	mu sync.Mutex
	b  bytes.Buffer
}

func (s *safe) Write(p []byte) (int, error) {
	s.mu.Lock()
	defer s.mu.Unlock()
	return s.b.Write(p)
}

func (s *safe) String() string {
	s.mu.Lock()
	defer s.mu.Unlock()
	return s.b.String()
}

// TestChangedRightsEndSessions: what a member has open ends as soon as they may not have it
// any more, and goes on as long as they may.
func TestChangedRightsEndSessions(t *testing.T) {
	for _, c := range []struct {
		name, member, line, say string
		change                  func(*testing.T, *Table) error
	}{
		{"member removed", "operate", "run -a shop sh", "you are no member here any more", func(t *testing.T, table *Table) error {
			_, err := table.People.RemoveMember(t.Context(), "operate", "admin")
			return err
		}},
		{"key removed", "operate", "run -a shop sh", "is not operate's any more", func(t *testing.T, table *Table) error {
			_, _, err := table.People.RemoveKey(t.Context(), "operate", "SHA256:operate", "admin")
			return err
		}},
		{"permission taken", "operate", "run -a shop sh", "you may not operate shop", func(t *testing.T, table *Table) error {
			return table.People.Grant(t.Context(), "shop", "operate", []daemon.Permission{daemon.View}, "manage")
		}},
		{"access taken", "view", "logs -t -a shop", `no app "shop"`, func(t *testing.T, table *Table) error {
			return table.People.Grant(t.Context(), "shop", "view", nil, "manage")
		}},
		{"access to the add-on's owner taken", "manage", "addons:console redis-shop", `no add-on "redis-shop"`, func(t *testing.T, table *Table) error {
			return table.People.Grant(t.Context(), "shop", "manage", nil, "admin")
		}},
		{"add-on handed over", "operate", "addons:forward redis-shop --stdio", "belongs to another app", func(t *testing.T, table *Table) error {
			now := time.Now().UTC()
			err := table.People.Store.Update(t.Context(), func(tx daemon.Tx) error { return tx.InsertApp(daemon.App{Name: "other", Created: now}) })
			if err == nil {
				_, err = table.Addons.Transfer(t.Context(), "redis-shop", "other", "admin")
			}
			return err
		}},
		{"permission on a target taken", "deploy", "pipelines:promote -a shop", "you may not deploy live", func(t *testing.T, table *Table) error {
			return table.People.Grant(t.Context(), "live", "deploy", []daemon.Permission{daemon.View}, "manage")
		}},
		// What was chosen as the call began stays chosen.
		{"another app in the next stage", "deploy", "pipelines:promote -a shop", "", func(t *testing.T, table *Table) error {
			return later(t, table, func(tx daemon.Tx) error {
				return errors.Join(tx.InsertApp(daemon.App{Name: "secret", Created: time.Now()}), tx.PutCoupling(daemon.Coupling{App: "secret", Pipeline: "safetow", Stage: daemon.StageProduction}))
			})
		}},
		{"out of the pipeline", "deploy", "pipelines:promote -a shop", "", func(t *testing.T, table *Table) error {
			return later(t, table, func(tx daemon.Tx) error { return tx.DeleteCoupling("shop") })
		}},
		{"access by the pipeline taken", "byline", "run -a shop sh", `no app "shop"`, func(t *testing.T, table *Table) error {
			_, err := table.Pipelines.Grant(t.Context(), daemon.PipelineAccess{Pipeline: "safetow", Stage: daemon.StageStaging, Member: "byline"}, "manage")
			return err
		}},
		{"less access by the pipeline", "byline", "run -a shop sh", "you may not operate shop", func(t *testing.T, table *Table) error {
			_, err := table.Pipelines.Grant(t.Context(), daemon.PipelineAccess{Pipeline: "safetow", Stage: daemon.StageStaging, Member: "byline", Permissions: []daemon.Permission{daemon.Deploy}}, "manage")
			return err
		}},
		{"app moved to another stage", "byline", "addons:forward redis-shop --stdio", `no add-on "redis-shop"`, func(t *testing.T, table *Table) error {
			_, err := table.Pipelines.Couple(t.Context(), daemon.Coupling{App: "shop", Pipeline: "safetow", Stage: daemon.StageProduction}, "manage", true)
			return err
		}},
		{"app taken out of the pipeline", "byline", "logs -t -a shop", `no app "shop"`, func(t *testing.T, table *Table) error {
			_, _, err := table.Pipelines.Uncouple(t.Context(), "shop", "manage")
			return err
		}},
		{"pipeline destroyed", "byline", "logs -t -a shop", `no app "shop"`, func(t *testing.T, table *Table) error {
			_, err := table.Pipelines.Destroy(t.Context(), "safetow", "manage")
			return err
		}},
		{"pipeline renamed", "byline", "run -a shop sh", "", func(t *testing.T, table *Table) error {
			return table.Pipelines.Rename(t.Context(), "safetow", "tow", "manage")
		}},
		{"nothing that matters", "operate", "run -a shop sh", "", func(t *testing.T, table *Table) error {
			return errors.Join(
				table.People.Grant(t.Context(), "shop", "operate", []daemon.Permission{daemon.Operate, daemon.Deploy}, "manage"),
				table.People.Grant(t.Context(), "shop", "view", nil, "manage"))
		}},
	} {
		t.Run(c.name, func(t *testing.T) {
			t.Parallel()
			table, _ := newTable(t)
			if err := table.People.Store.Update(t.Context(), func(tx daemon.Tx) error {
				return errors.Join(tx.InsertMember(daemon.Member{Name: "byline"}), tx.InsertKey(daemon.MemberKey{Member: "byline", Key: newKey(t), Fingerprint: "SHA256:byline"}),
					tx.PutPipelineAccess(daemon.PipelineAccess{Pipeline: "safetow", Stage: daemon.StageStaging, Member: "byline", Permissions: []daemon.Permission{daemon.View, daemon.Operate}}))
			}); err != nil {
				t.Fatal(err)
			}
			words := strings.Fields(c.line)
			command, _, err := table.find(words)
			if err != nil {
				t.Fatal(err)
			}
			begun, finish := make(chan struct{}), make(chan struct{})
			command.Run = func(ctx context.Context, _ *Call) (Result, error) {
				close(begun)
				select {
				case <-ctx.Done():
					if words[0] == "run" { // whose program is killed
						return Result{Code: 137}, nil
					}
					return Result{}, ctx.Err()
				case <-finish:
					return Result{}, nil
				}
			}
			var out safe
			var streams error
			code := make(chan int, 1)
			r := request(c.member, words, &out)
			r.End = func(cause error) { streams = cause }
			go func() { code <- table.Run(t.Context(), r) }()
			select {
			case <-begun:
			case n := <-code:
				t.Fatalf("refused: %d %s", n, &out)
			}
			if err := c.change(t, table); err != nil {
				t.Fatal(err)
			}
			if c.say == "" {
				close(finish)
				if n := <-code; n != 0 || out.String() != "" {
					t.Errorf("ended: %d %s", n, &out)
				}
				return
			}
			select {
			case n := <-code:
				if n != exitCodes[daemon.Forbidden] || !strings.Contains(out.String(), "this was ended: ") || !strings.Contains(out.String(), c.say) {
					t.Errorf("%d %s", n, &out)
				}
			case <-time.After(time.Minute):
				t.Fatal("it goes on")
			}
			if streams == nil {
				t.Error("the caller's input was not ended")
			}
		})
	}
}

// TestOldConnection: sshd gives every command on a connection the name and the key that it
// began with. Neither a new member of that name nor a new owner of the key is meant.
func TestOldConnection(t *testing.T) {
	table, reached := newTable(t)
	d := table
	says := func(want string) {
		t.Helper()
		var out bytes.Buffer
		*reached = ""
		if code := table.Run(t.Context(), request("view", []string{"apps"}, &out)); code != exitCodes[daemon.Forbidden] || !strings.Contains(out.String(), want) || *reached != "" {
			t.Errorf("exit code %d, reached %q: %s", code, *reached, &out)
		}
	}
	if _, err := d.People.RemoveMember(t.Context(), "view", "admin"); err != nil {
		t.Fatal(err)
	}
	says("no member here any more")
	if _, err := d.People.AddMember(t.Context(), "view", newKey(t), false, "admin"); err != nil {
		t.Fatal(err)
	}
	says("not view's any more")
	err := d.People.Store.Update(t.Context(), func(tx daemon.Tx) error {
		return tx.InsertKey(daemon.MemberKey{Member: "none", Key: newKey(t), Fingerprint: "SHA256:view"})
	})
	if err != nil {
		t.Fatal(err)
	}
	says("not view's any more")
	for _, r := range []Request{{Member: "view"}, {Member: "view", Key: "SHA256:operate"}, {Key: "SHA256:view"}} {
		r.Args, r.Stdout, r.Stderr = []string{"apps"}, io.Discard, io.Discard
		if code := table.Run(t.Context(), r); code != exitCodes[daemon.Forbidden] {
			t.Errorf("as %q by the key %q: exit code %d", r.Member, r.Key, code)
		}
	}
}

// TestEndedTail: a tail ends in silence when its user ends it, with the reason when their
// rights do, however the reader of the log ends then.
func TestEndedTail(t *testing.T) {
	call := &Call{}
	for _, end := range []error{nil, context.Canceled} {
		read := func(context.Context, daemon.LogQuery, func(daemon.LogLine) error) error { return end }
		ctx, cancel := context.WithCancelCause(t.Context())
		cancel(nil)
		if err := call.printLogs(ctx, daemon.LogQuery{Follow: true}, read); err != nil {
			t.Errorf("ended by its user: %v", err)
		}
		ctx, cancel = context.WithCancelCause(t.Context())
		why := &endedError{daemon.Errorf(daemon.Forbidden, "this was ended")}
		cancel(why)
		if err := call.printLogs(ctx, daemon.LogQuery{Follow: true}, read); !errors.Is(err, why) {
			t.Errorf("ended as rights did: %v", err)
		}
	}
}

// later changes the state, and then what somebody may do.
func later(t *testing.T, table *Table, edit func(daemon.Tx) error) error {
	if err := table.People.Store.Update(t.Context(), edit); err != nil {
		return err
	}
	return table.People.Grant(t.Context(), "shop", "view", nil, "manage")
}
