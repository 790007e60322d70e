package apps

import (
	"context"
	"errors"
	"fmt"
	"io"
	"net/netip"
	"slices"
	"strconv"
	"strings"
	"sync"
	"time"

	"towline/daemon"
	"towline/daemon/cause"
	"towline/daemon/container"
	"towline/daemon/work"
)

const (
	causeLines = 80 // at the end of what a process wrote, where the cause is looked for
	shownLines = 20 // of these that are shown
)

// explain says of a web process that failed why, as far as what it wrote and what it listens
// on tell: of the one named, or the first that has ended. What it wrote last is part of the hint.
func (ps *Processes) explain(ctx context.Context, err error, web []daemon.ContainerSpec, name string) error {
	var e *daemon.Error
	if !errors.As(err, &e) || e.Kind != daemon.Failed {
		return err
	}
	f := ps.findFailed(ctx, web, name)
	words, hint := f.why()
	if words != "" {
		e = daemon.Errorf(e.Kind, "%s: %s", e.Message, words)
	}
	if len(f.lines) == 0 {
		return e.WithHint("%s; it wrote nothing", hint)
	}
	return e.WithHint("%s\nIts last output:\n    %s", hint, strings.Join(f.lines[max(0, len(f.lines)-shownLines):], "\n    "))
}

const (
	firstLook = 3 * time.Second // after a process was started, at where it listens
	nextLook  = 2 * time.Second
)

// whileReachable returns a context that ends, with a NotReadyError as its cause, when a process
// listens on $PORT where nobody but itself reaches it, and goes on to: there is nothing to wait
// for. Of one that listens on another port alone, out is told: it may be about to listen on
// $PORT too. The function returned ends both, and out is not written to after it.
func (ps *Processes) whileReachable(ctx context.Context, web []daemon.ContainerSpec, out io.Writer) (context.Context, func()) {
	ctx, cancel := context.WithCancelCause(ctx)
	var looks sync.WaitGroup
	var told sync.Once
	for _, spec := range web {
		looks.Go(func() {
			defer daemon.Contain("a look at where a process listens", nil)
			for before, wait := "", firstLook; ; wait = nextLook {
				select {
				case <-ctx.Done():
					return
				case <-time.After(wait):
				}
				f := failed{spec: spec, running: true}
				var err error
				f.listeners, err = ps.Engine.Listeners(ctx, spec.Name)
				f.looked = err == nil
				words, hint := f.notReached()
				switch {
				case words == "" || words != before:
				case f.hidden():
					cancel(&daemon.NotReadyError{Target: spec.Name, Reason: "nothing answers at its address"})
				case ctx.Err() == nil:
					told.Do(func() {
						work.Warn(out, "%s is waited for: so far %s\n%s", ps.Containers.ShortName(spec.Name), words, hint)
					})
				}
				before = words
			}
		})
	}
	return ctx, func() { cancel(nil); looks.Wait() }
}

// hidden tells of a process that listens on $PORT, and on its loopback alone.
func (f failed) hidden() bool {
	own := func(l netip.AddrPort) bool { return strconv.Itoa(int(l.Port())) == f.spec.Labels[daemon.LabelPort] }
	words, _ := f.notReached()
	return words != "" && slices.ContainsFunc(f.listeners, own)
}

// failed is a web process that did not become ready.
type failed struct {
	spec      daemon.ContainerSpec
	running   bool
	exit      int
	lines     []string // that it wrote last
	listeners []netip.AddrPort
	looked    bool // listeners are known
}

// findFailed looks at the container named, or the first that has stopped.
func (ps *Processes) findFailed(ctx context.Context, web []daemon.ContainerSpec, name string) (f failed) {
	for _, spec := range web {
		c, err := ps.Engine.Container(ctx, spec.Name)
		if err != nil || (name != spec.Name && c.Running) {
			continue
		}
		f.spec, f.running, f.exit = spec, c.Running, c.ExitCode
		var end container.LogEnd
		if err := ps.Engine.ContainerLog(ctx, spec.Name, false, &end, &end); err == nil {
			f.lines = end.Lines(causeLines)
		}
		if c.Running {
			f.listeners, err = ps.Engine.Listeners(ctx, spec.Name)
			f.looked = err == nil
		}
		return f
	}
	return f
}

// why is what it failed by, empty where nothing tells, and what to do.
func (f failed) why() (words, hint string) {
	app := daemon.App{Name: f.spec.Labels[daemon.LabelApp], Capabilities: f.spec.CapAdd}
	if words, hint := lackedCapability(f.lines, app); words != "" {
		return words, hint
	}
	if words, hint := f.notReached(); words != "" {
		return words, hint
	}
	c := cause.Of(f.lines)
	switch {
	case c.Known():
		return c.String(), c.Hint
	case f.running:
		return "", "it must answer HTTP on $PORT"
	case f.spec.Name != "" && f.exit == 0:
		return "", "a web process must go on, and answer HTTP on $PORT: what it does in the background it must do in the foreground"
	case c.Complains():
		return c.String(), "mend what its output complains about, commit and push again"
	}
	return "", "it must answer HTTP on $PORT"
}

// notReached tells of a process that listens where the proxy does not find it.
func (f failed) notReached() (words, hint string) {
	port, err := strconv.Atoi(f.spec.Labels[daemon.LabelPort])
	if err != nil || !f.looked {
		return "", ""
	}
	var own, others []netip.AddrPort
	for _, l := range f.listeners {
		switch {
		case int(l.Port()) == port && !l.Addr().IsLoopback():
			return "", ""
		case l.Addr().IsLoopback():
			own = append(own, l)
		default:
			others = append(others, l)
		}
	}
	how := f.listenHint()
	switch i := slices.IndexFunc(own, func(l netip.AddrPort) bool { return int(l.Port()) == port }); {
	case i >= 0:
		return fmt.Sprintf("it listens on %s alone, where nobody but itself reaches it", own[i]), "have it listen on all addresses: " + how
	case len(others) > 0:
		there := others[0].Port()
		return fmt.Sprintf("it listens on port %d, and not on $PORT, which is %d", there, port),
			fmt.Sprintf("have it listen on $PORT: %s; or say where it listens: towline config:set PORT=%d -a %s", how, there, f.spec.Labels[daemon.LabelApp])
	case len(own) > 0:
		return fmt.Sprintf("it listens on %s, where nobody but itself reaches it, and not on $PORT, which is %d", own[0], port), "have it listen on all addresses, and on $PORT: " + how
	}
	return "", ""
}

// listenWays are how programs are told where to listen, by a word of their command or of what
// they write.
var listenWays = []struct{ word, how string }{
	{"runserver", "python manage.py runserver 0.0.0.0:$PORT"},
	{"gunicorn", "gunicorn --bind 0.0.0.0:$PORT"},
	{"uvicorn", "uvicorn --host 0.0.0.0 --port $PORT"},
	{"hypercorn", "hypercorn --bind 0.0.0.0:$PORT"},
	{"streamlit", "streamlit run --server.address 0.0.0.0 --server.port $PORT"},
	{"flask", "flask run --host 0.0.0.0 --port $PORT"},
	{"Werkzeug", "app.run(host=\"0.0.0.0\", port=os.environ[\"PORT\"])"},
	{"python", "host 0.0.0.0, port os.environ[\"PORT\"]"},
	{"puma", "puma -b tcp://0.0.0.0:$PORT"},
	{"rails", "rails server -b 0.0.0.0 -p $PORT"},
	{"rackup", "rackup --host 0.0.0.0 --port $PORT"},
	{"ruby", "set :bind, \"0.0.0.0\" and set :port, ENV[\"PORT\"]"},
	{"next", "next start -H 0.0.0.0 -p $PORT"},
	{"vite", "vite preview --host 0.0.0.0 --port $PORT"},
	{"npm", "app.listen(process.env.PORT, \"0.0.0.0\")"},
	{"yarn", "app.listen(process.env.PORT, \"0.0.0.0\")"},
	{"node", "app.listen(process.env.PORT, \"0.0.0.0\")"},
	{"php", "php -S 0.0.0.0:$PORT"},
	{"Spring", "server.address=0.0.0.0 and server.port=${PORT}"},
	{"java", "0.0.0.0, and the port of System.getenv(\"PORT\")"},
}

// listenHint fits the program, as far as it is known.
func (f failed) listenHint() string {
	command := strings.Join(slices.Concat(f.spec.Entrypoint, f.spec.Command), " ")
	for _, text := range []string{command, strings.Join(f.lines, "\n")} {
		for _, w := range listenWays {
			if strings.Contains(text, w.word) {
				return w.how
			}
		}
	}
	return "0.0.0.0:$PORT"
}

// notStarted says why the engine could not start a process.
func notStarted(spec daemon.ContainerSpec, err error) error {
	process := spec.Labels[daemon.LabelProcess] + "." + spec.Labels[daemon.LabelIndex]
	if c := cause.Of([]string{err.Error()}); c.Known() && !daemon.IsAway(err) {
		return daemon.Errorf(daemon.Failed, "%s did not start: %s", process, c).WithHint("%s", c.Hint)
	}
	return daemon.Errorf(daemon.Failed, "%s did not start: %w", process, err)
}

// failedPhase is the error of a phase that ended with a code, by what it wrote. otherwise is what
// there is to say in any case.
func failedPhase(noun string, code int, output string, app daemon.App, otherwise string) error {
	lines := strings.Split(strings.TrimSpace(output), "\n")
	lines = lines[max(0, len(lines)-causeLines):]
	words, hint := lackedCapability(lines, app)
	if c := cause.Of(lines); words == "" && c.Complains() {
		words, hint = c.String(), c.Hint
	}
	message := fmt.Sprintf("the %s failed with exit code %d", noun, code)
	if words != "" {
		message += ": " + words
	}
	if hint != "" {
		otherwise = hint + "\n" + otherwise
	}
	return daemon.Errorf(daemon.Failed, "%s", message).WithHint("%s", otherwise)
}
