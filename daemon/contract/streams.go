package contract

import (
	"bytes"
	"context"
	"errors"
	"fmt"
	"io"
	"maps"
	"slices"
	"strconv"
	"strings"
	"sync"
	"testing"
	"testing/iotest"
	"time"

	"towline/daemon"
)

func itoa(n int) string { return strconv.Itoa(n) }

func containerLog(t *testing.T, b Bench) {
	ctx := t.Context()
	c := b.create(t, daemon.ContainerSpec{}, "out", "one\n", "err", "two\n", "nap", "200ms", "out", "three\n")
	var out, errs strings.Builder
	must(t, b.ContainerLog(ctx, c, false, &out, &errs))
	if out.Len()+errs.Len() > 0 {
		t.Errorf("before its start it said %q, %q", out.String(), errs.String())
	}
	must(t, b.StartContainer(ctx, c))
	must(t, b.ContainerLog(ctx, c, true, &out, &errs))
	if out.String() != "one\nthree\n" || errs.String() != "two\n" {
		t.Errorf("followed: %q, %q", out.String(), errs.String())
	}
	out.Reset()
	must(t, b.ContainerLog(ctx, c, false, &out, nil))
	if out.String() != "one\nthree\n" {
		t.Errorf("afterwards: %q", out.String())
	}
	c = b.started(t, daemon.ContainerSpec{}, "sleep")
	short, cancel := context.WithTimeout(ctx, 50*time.Millisecond)
	defer cancel()
	if err := b.ContainerLog(short, c, true, nil, nil); !errors.Is(err, context.DeadlineExceeded) {
		t.Errorf("its context ended: %v", err)
	}
}

func attached(t *testing.T, b Bench) {
	ctx := t.Context()
	c := b.create(t, daemon.ContainerSpec{}, "out", "one", "err", "two", "exit", "37")
	var out, errs bytes.Buffer
	code, err := b.RunAttached(ctx, c, daemon.Streams{Stdout: &out, Stderr: &errs})
	if err != nil || code != 37 || out.String() != "one" || errs.String() != "two" {
		t.Errorf("got %d, %q, %q, %v", code, out.String(), errs.String(), err)
	}
	if got := b.state(t, c); got.Running || got.ExitCode != 37 {
		t.Errorf("afterwards: %+v", got)
	}

	c = b.create(t, daemon.ContainerSpec{Stdin: true}, "cat", "out", "END")
	input := strings.Repeat("some\x00thing\n", 10_000)
	out.Reset()
	code, err = b.RunAttached(ctx, c, daemon.Streams{Stdin: strings.NewReader(input), Stdout: &out})
	if err != nil || code != 0 || out.String() != input+"END" {
		t.Errorf("input: got %d, %d bytes, %v", code, out.Len(), err)
	}

	c = b.create(t, daemon.ContainerSpec{Stdin: true, Init: true}, "cat", "out", "END")
	why := errors.New("the line was cut")
	out.Reset()
	_, err = b.RunAttached(ctx, c, daemon.Streams{Stdin: iotest.ErrReader(why), Stdout: &out})
	if !errors.Is(err, why) || strings.Contains(out.String(), "END") {
		t.Errorf("broken input: %q, %v", out.String(), err)
	}
	b.goesOn(t, c)

	c = b.create(t, daemon.ContainerSpec{Stdin: true, Init: true}, "out", "up", "cat", "out", "END")
	interrupted, interrupt := context.WithCancel(ctx)
	defer interrupt()
	never, hangUp := io.Pipe()
	defer hangUp.Close()
	if code, err = b.RunAttached(interrupted, c, daemon.Streams{Stdin: never, Stdout: whenWritten(interrupt)}); err == nil {
		t.Errorf("its context ended while input was awaited: code %d", code)
	}
	b.goesOn(t, c)

	c = b.create(t, daemon.ContainerSpec{Init: true}, "out", "up", "sleep")
	ended, cancel := context.WithCancel(ctx)
	defer cancel()
	if code, err = b.RunAttached(ended, c, daemon.Streams{Stdout: whenWritten(cancel)}); err == nil {
		t.Errorf("its context ended: code %d", code)
	}
	if got := b.state(t, c); !got.Running {
		t.Errorf("its context ended, and so did the container: %+v", got)
	}

	c = b.create(t, daemon.ContainerSpec{NoLog: true}, "out", "secret")
	out.Reset()
	_, err = b.RunAttached(ctx, c, daemon.Streams{Stdout: &out})
	must(t, err)
	var kept strings.Builder
	_ = b.ContainerLog(ctx, c, false, &kept, &kept)
	if out.String() != "secret" || kept.Len() > 0 {
		t.Errorf("without a log: showed %q, kept %q", out.String(), kept.String())
	}
}

// goesOn wants a process that reads its input not to learn of an end.
func (b Bench) goesOn(t *testing.T, container string) {
	t.Helper()
	for range 10 {
		if got := b.state(t, container); !got.Running {
			t.Fatalf("its input has ended: %+v", got)
		}
		time.Sleep(50 * time.Millisecond)
	}
}

// whenWritten is called at each write.
type whenWritten func()

func (f whenWritten) Write(b []byte) (int, error) { f(); return len(b), nil }

func exec(t *testing.T, b Bench) {
	ctx := t.Context()
	c := b.started(t, daemon.ContainerSpec{Env: map[string]string{"OWN": "own"}}, "sleep")
	var out, errs bytes.Buffer
	spec := daemon.ExecSpec{Command: []string{"/probe", "env", "WHO", "env", "OWN", "err", "oops", "exit", "42"}, Env: map[string]string{"WHO": "me=you"}}
	code, err := b.Exec(ctx, c, spec, daemon.Streams{Stdout: &out, Stderr: &errs})
	if err != nil || code != 42 || out.String() != "me=you\nown\n" || errs.String() != "oops" {
		t.Errorf("got %d, %q, %q, %v", code, out.String(), errs.String(), err)
	}
	out.Reset()
	code, err = b.Exec(ctx, c, daemon.ExecSpec{Command: []string{"/probe", "cat", "out", "END"}}, daemon.Streams{Stdin: strings.NewReader("input "), Stdout: &out})
	if err != nil || code != 0 || out.String() != "input END" {
		t.Errorf("input: got %d, %q, %v", code, out.String(), err)
	}
	why := errors.New("the line was cut")
	if _, err = b.Exec(ctx, c, daemon.ExecSpec{Command: []string{"/probe", "cat"}}, daemon.Streams{Stdin: iotest.ErrReader(why), Stdout: io.Discard}); !errors.Is(err, why) {
		t.Errorf("broken input: %v", err)
	}
	if code, err = b.Exec(ctx, c, daemon.ExecSpec{Command: []string{"nosuch"}}, daemon.Streams{}); err != nil || code != 127 {
		t.Errorf("absent command: %d, %v", code, err)
	}
	short, cancel := context.WithTimeout(ctx, 200*time.Millisecond)
	defer cancel()
	if _, err = b.Exec(short, c, daemon.ExecSpec{Command: []string{"/probe", "sleep"}}, daemon.Streams{}); !errors.Is(err, context.DeadlineExceeded) {
		t.Errorf("its context ended: %v", err)
	}
	if got := b.state(t, c); !got.Running {
		t.Errorf("a command ended, and so did the container: %+v", got)
	}
	must(t, b.StopContainer(ctx, c, time.Second))
	_, err = b.Exec(ctx, c, spec, daemon.Streams{})
	is(t, "in what has ended", err, daemon.Conflict)
	_, err = b.Exec(ctx, b.create(t, daemon.ContainerSpec{}, "sleep"), spec, daemon.Streams{})
	is(t, "in what was not started", err, daemon.Conflict)
}

func events(t *testing.T, b Bench) {
	ctx, cancel := context.WithCancel(t.Context())
	defer cancel()
	events, err := b.Events(ctx)
	must(t, err)
	c := b.started(t, daemon.ContainerSpec{Labels: map[string]string{"towline.process": "web"}}, "exit", "3")
	next := func() daemon.Event {
		for {
			select {
			case e := <-events:
				if e.Container == c {
					return e
				}
			case <-time.After(patience):
				t.Fatal("no event")
			}
		}
	}
	if e := next(); e.Died || e.Labels["towline.process"] != "web" {
		t.Errorf("the start: %+v", e)
	}
	if e := next(); !e.Died || e.ExitCode != 3 || e.Labels["towline.process"] != "web" {
		t.Errorf("the end: %+v", e)
	}
	must(t, b.StartContainer(ctx, c))
	if e := next(); e.Died {
		t.Errorf("another start: %+v", e)
	}
	next()
	c = b.started(t, daemon.ContainerSpec{}, "sleep")
	next()
	must(t, b.StopContainer(t.Context(), c, 10*time.Second))
	if e := next(); !e.Died || e.ExitCode != 143 {
		t.Errorf("a stop: %+v", e)
	}
	must(t, b.StartContainer(ctx, c))
	next()
	must(t, b.RemoveContainer(ctx, c))
	if e := next(); !e.Died {
		t.Errorf("a removal of what runs: %+v", e)
	}
	cancel()
	for range events { // closed by and by
	}
}

// listedAddresses are those that a container has, if the list tells them.
func (b Bench) listedAddresses(t *testing.T, name string) {
	t.Helper()
	list, err := b.ContainerList(t.Context(), nil)
	must(t, err)
	i := slices.IndexFunc(list, func(c daemon.Container) bool { return c.Name == name })
	if i < 0 {
		t.Fatalf("%s is not listed", name)
	}
	want := append(slices.Collect(maps.Values(b.state(t, name).Addresses)), "127.0.0.1")
	got := slices.Clone(list[i].IPs)
	if slices.Sort(want); len(got) > 0 && !slices.Equal(slices.Sorted(slices.Values(got)), want) {
		t.Errorf("listed with the addresses %v, want %v", got, want)
	}
}

func networks(t *testing.T, b Bench) {
	ctx := t.Context()
	one, two := b.name(), b.name()
	t.Cleanup(func() {
		for _, n := range []string{one, two} {
			if err := b.RemoveNetwork(context.Background(), n); err != nil {
				t.Error(err)
			}
		}
	})
	for range 2 { // there already is no error, and changes nothing
		must(t, b.EnsureNetwork(ctx, one, map[string]string{"towline.app": "shop"}))
	}
	must(t, b.EnsureNetwork(ctx, one, nil))
	must(t, b.EnsureNetwork(ctx, two, nil))
	found, err := b.Networks(ctx)
	must(t, err)
	labelled(t, found, one, "towline.app", "shop")
	labelled(t, found, two, "towline", b.Name)

	c := b.create(t, daemon.ContainerSpec{Init: true, Networks: []daemon.Attachment{{Network: one, Aliases: []string{"db"}}}}, "sleep")
	if got := b.state(t, c); got.Addresses[one] != "" {
		t.Errorf("before its start it has the address %q", got.Addresses[one])
	}
	if err := b.RemoveNetwork(ctx, one); err == nil {
		t.Error("removed the network of a container that does not run")
	}
	must(t, b.StartContainer(ctx, c))
	if got := b.state(t, c); got.Addresses[one] == "" || got.Addresses[two] != "" {
		t.Errorf("started: %+v", got.Addresses)
	}
	is(t, "removal of a network in use", b.RemoveNetwork(ctx, one), daemon.Conflict)
	for range 2 { // joined already is no error
		must(t, b.Connect(ctx, two, c, []string{"guest"}))
	}
	if got := b.state(t, c); got.Addresses[one] == "" || got.Addresses[two] == "" {
		t.Errorf("connected: %+v", got.Addresses)
	}
	b.listedAddresses(t, c)
	must(t, b.StopContainer(ctx, c, 10*time.Second))
	must(t, b.StartContainer(ctx, c)) // it stays in both
	if got := b.state(t, c); got.Addresses[one] == "" || got.Addresses[two] == "" {
		t.Errorf("restarted: %+v", got.Addresses)
	}
	for range 2 { // nor is not joined
		must(t, b.Disconnect(ctx, two, c))
	}
	if got := b.state(t, c); got.Addresses[one] == "" || got.Addresses[two] != "" {
		t.Errorf("disconnected: %+v", got.Addresses)
	}
	b.listedAddresses(t, c)
	must(t, b.Disconnect(ctx, b.name(), c))
	must(t, b.Disconnect(ctx, two, b.name()))
	is(t, "connect to an absent network", b.Connect(ctx, b.name(), c, nil), daemon.NotFound)
	is(t, "connect of an absent container", b.Connect(ctx, two, b.name(), nil), daemon.NotFound)

	stopped := b.create(t, daemon.ContainerSpec{Init: true, Networks: []daemon.Attachment{{Network: one}}}, "sleep")
	must(t, b.Connect(ctx, two, stopped, nil)) // running or not
	must(t, b.StartContainer(ctx, stopped))
	if got := b.state(t, stopped); got.Addresses[two] == "" {
		t.Errorf("connected before its start: %+v", got.Addresses)
	}
	must(t, b.RemoveContainer(ctx, stopped))
	must(t, b.RemoveContainer(ctx, c))
	for range 2 {
		must(t, b.RemoveNetwork(ctx, two))
	}
	found, err = b.Networks(ctx)
	must(t, err)
	if slices.ContainsFunc(found, func(l daemon.Labelled) bool { return l.Name == two }) {
		t.Errorf("a network that was removed is listed: %+v", found)
	}
}

func labelled(t *testing.T, list []daemon.Labelled, name, label, value string) {
	t.Helper()
	i := slices.IndexFunc(list, func(l daemon.Labelled) bool { return l.Name == name })
	if i < 0 || list[i].Labels[label] != value {
		t.Errorf("%s with %s=%s is not in %+v", name, label, value, list)
	}
}

func volumes(t *testing.T, b Bench) {
	ctx, v := t.Context(), b.name()
	for range 2 {
		must(t, b.EnsureVolume(ctx, v, map[string]string{"towline.addon": "db"}))
	}
	must(t, b.EnsureVolume(ctx, v, nil))
	found, err := b.Volumes(ctx)
	must(t, err)
	labelled(t, found, v, "towline.addon", "db")
	labelled(t, found, v, "towline", b.Name)
	path, err := b.VolumePath(ctx, v)
	if err != nil || !strings.HasSuffix(path, v+"/_data") {
		t.Errorf("got %q, %v", path, err)
	}
	c := b.create(t, daemon.ContainerSpec{Mounts: []daemon.Mount{{Volume: v, Target: "/data"}}}, "sleep")
	is(t, "removal of a volume in use", b.RemoveVolume(ctx, v), daemon.Conflict)
	must(t, b.RemoveContainer(ctx, c))
	_, err = b.VolumePath(ctx, v)
	must(t, err) // it outlives the container
	for range 2 {
		must(t, b.RemoveVolume(ctx, v))
	}
	_, err = b.VolumePath(ctx, v)
	is(t, "a removed volume", err, daemon.NotFound)
}

func images(t *testing.T, b Bench) {
	ctx := t.Context()
	none := "localhost/" + b.Name + "/none:1"
	_, err := b.Engine.Image(ctx, none)
	is(t, "an absent image", err, daemon.NotFound)
	_, err = b.EnsureImage(ctx, none, nil)
	is(t, "an absent image of this machine's", err, daemon.NotFound)
	must(t, b.UntagImage(ctx, none))

	first, second, third := "localhost/"+b.name()+":a", "localhost/"+b.name()+":b", "localhost/"+b.name()+":c"
	image := b.NewImage(t, first)
	got, err := b.Engine.Image(ctx, first)
	if err != nil || got.ID != image.ID || !slices.Equal(got.Refs, []string{first}) {
		t.Fatalf("got %+v, %v; want %+v", got, err, image)
	}
	if got, err = b.EnsureImage(ctx, first, nil); err != nil || got.ID != image.ID {
		t.Errorf("ensured: %+v, %v", got, err)
	}
	must(t, b.TagImage(ctx, image.ID, second))
	is(t, "tag of an absent image", b.TagImage(ctx, none, third), daemon.NotFound)
	b.namesAtOnce(t, image)
	for range 2 {
		must(t, b.UntagImage(ctx, first))
	}
	if got, err = b.Engine.Image(ctx, image.ID); err != nil || !slices.Equal(got.Refs, []string{second}) {
		t.Errorf("one name left: %+v, %v", got, err)
	}
	c := b.create(t, daemon.ContainerSpec{Image: second}, "sleep")
	must(t, b.UntagImage(ctx, second))
	if got, err = b.Engine.Image(ctx, image.ID); err != nil || len(got.Refs) != 0 {
		t.Errorf("in use: %+v, %v", got, err)
	}
	if got := b.state(t, c); got.Image != image.ID {
		t.Errorf("its container: %+v", got)
	}
	must(t, b.RemoveContainer(ctx, c))
	must(t, b.UntagImage(ctx, image.ID))
	_, err = b.Engine.Image(ctx, image.ID)
	is(t, "an image without a name", err, daemon.NotFound)
	image = b.NewImage(t, third)
	must(t, b.UntagImage(ctx, third))
	_, err = b.Engine.Image(ctx, image.ID)
	is(t, "an image that lost its last name", err, daemon.NotFound)
}

// namesAtOnce: of names that are given and taken at the same time none is lost, or left.
func (b Bench) namesAtOnce(t *testing.T, image daemon.Image) {
	const n = 20
	refs, errs := make([]string, n), make([]error, n)
	var names sync.WaitGroup
	for i := range refs {
		refs[i] = fmt.Sprintf("localhost/%s:n%02d", b.name(), i)
		names.Go(func() { errs[i] = b.TagImage(t.Context(), image.ID, refs[i]) })
	}
	names.Wait()
	must(t, errors.Join(errs...))
	got, err := b.Engine.Image(t.Context(), image.ID)
	must(t, err)
	for i, ref := range refs {
		if !slices.Contains(got.Refs, ref) {
			t.Errorf("%s was lost: %q", ref, got.Refs)
		}
		names.Go(func() { errs[i] = b.UntagImage(t.Context(), ref) })
	}
	names.Wait()
	must(t, errors.Join(errs...))
	if got, err = b.Engine.Image(t.Context(), image.ID); err != nil || len(got.Refs) != len(image.Refs)+1 {
		t.Errorf("names left: %+v, %v", got, err)
	}
}
