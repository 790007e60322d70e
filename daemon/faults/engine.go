package faults

import (
	"context"
	"io"
	"net/netip"
	"time"

	"towline/daemon"
)

// Engine is a daemon.Engine at the other end of a line. It embeds none: what the port gains
// has to be led over the line too.
type Engine struct {
	Line *Line
	To   daemon.Engine
}

var _ daemon.Engine = Engine{}

func (e Engine) do(ctx context.Context, method, subject string, effect func() error) error {
	return e.Line.do(ctx, "Engine."+method, subject, effect)
}

// EnsureImage implements daemon.Engine, as all below do.
func (e Engine) EnsureImage(ctx context.Context, ref string, out io.Writer) (daemon.Image, error) {
	return get(e.Line, ctx, "Engine.EnsureImage", ref, func() (daemon.Image, error) { return e.To.EnsureImage(ctx, ref, out) })
}

func (e Engine) Image(ctx context.Context, ref string) (daemon.Image, error) {
	return get(e.Line, ctx, "Engine.Image", ref, func() (daemon.Image, error) { return e.To.Image(ctx, ref) })
}

func (e Engine) Replacement(ref string) string { return e.To.Replacement(ref) } // asks nobody

func (e Engine) LoadImage(ctx context.Context, archive io.Reader) (daemon.Image, error) {
	return get(e.Line, ctx, "Engine.LoadImage", "", func() (daemon.Image, error) { return e.To.LoadImage(ctx, archive) })
}

func (e Engine) SaveImage(ctx context.Context, ref string, w io.Writer) error {
	return e.do(ctx, "SaveImage", ref, func() error { return e.To.SaveImage(ctx, ref, w) })
}

func (e Engine) TagImage(ctx context.Context, id, ref string) error {
	return e.do(ctx, "TagImage", ref, func() error { return e.To.TagImage(ctx, id, ref) })
}

func (e Engine) UntagImage(ctx context.Context, ref string) error {
	return e.do(ctx, "UntagImage", ref, func() error { return e.To.UntagImage(ctx, ref) })
}

func (e Engine) EnsureNetwork(ctx context.Context, name string, labels map[string]string) error {
	return e.do(ctx, "EnsureNetwork", name, func() error { return e.To.EnsureNetwork(ctx, name, labels) })
}

func (e Engine) RemoveNetwork(ctx context.Context, name string) error {
	return e.do(ctx, "RemoveNetwork", name, func() error { return e.To.RemoveNetwork(ctx, name) })
}

func (e Engine) Networks(ctx context.Context) ([]daemon.Labelled, error) {
	return get(e.Line, ctx, "Engine.Networks", "", func() ([]daemon.Labelled, error) { return e.To.Networks(ctx) })
}

func (e Engine) Connect(ctx context.Context, network, container string, aliases []string) error {
	return e.do(ctx, "Connect", container, func() error { return e.To.Connect(ctx, network, container, aliases) })
}

func (e Engine) Disconnect(ctx context.Context, network, container string) error {
	return e.do(ctx, "Disconnect", container, func() error { return e.To.Disconnect(ctx, network, container) })
}

func (e Engine) EnsureVolume(ctx context.Context, name string, labels map[string]string) error {
	return e.do(ctx, "EnsureVolume", name, func() error { return e.To.EnsureVolume(ctx, name, labels) })
}

func (e Engine) RemoveVolume(ctx context.Context, name string) error {
	return e.do(ctx, "RemoveVolume", name, func() error { return e.To.RemoveVolume(ctx, name) })
}

func (e Engine) Volumes(ctx context.Context) ([]daemon.Labelled, error) {
	return get(e.Line, ctx, "Engine.Volumes", "", func() ([]daemon.Labelled, error) { return e.To.Volumes(ctx) })
}

func (e Engine) VolumePath(ctx context.Context, name string) (string, error) {
	return get(e.Line, ctx, "Engine.VolumePath", name, func() (string, error) { return e.To.VolumePath(ctx, name) })
}

func (e Engine) CreateContainer(ctx context.Context, spec daemon.ContainerSpec) error {
	return e.do(ctx, "CreateContainer", spec.Name, func() error { return e.To.CreateContainer(ctx, spec) })
}

func (e Engine) StartContainer(ctx context.Context, name string) error {
	return e.do(ctx, "StartContainer", name, func() error { return e.To.StartContainer(ctx, name) })
}

func (e Engine) StopContainer(ctx context.Context, name string, grace time.Duration) error {
	return e.do(ctx, "StopContainer", name, func() error { return e.To.StopContainer(ctx, name, grace) })
}

func (e Engine) RemoveContainer(ctx context.Context, name string) error {
	return e.do(ctx, "RemoveContainer", name, func() error { return e.To.RemoveContainer(ctx, name) })
}

func (e Engine) KillContainer(ctx context.Context, name, signal string) error {
	return e.do(ctx, "KillContainer", name, func() error { return e.To.KillContainer(ctx, name, signal) })
}

func (e Engine) PauseContainer(ctx context.Context, name string) error {
	return e.do(ctx, "PauseContainer", name, func() error { return e.To.PauseContainer(ctx, name) })
}

func (e Engine) UnpauseContainer(ctx context.Context, name string) error {
	return e.do(ctx, "UnpauseContainer", name, func() error { return e.To.UnpauseContainer(ctx, name) })
}

func (e Engine) Container(ctx context.Context, name string) (daemon.Container, error) {
	return get(e.Line, ctx, "Engine.Container", name, func() (daemon.Container, error) { return e.To.Container(ctx, name) })
}

func (e Engine) ContainerList(ctx context.Context, labels map[string]string) ([]daemon.Container, error) {
	return get(e.Line, ctx, "Engine.ContainerList", "", func() ([]daemon.Container, error) { return e.To.ContainerList(ctx, labels) })
}

func (e Engine) WaitContainer(ctx context.Context, name string) (int, error) {
	return get(e.Line, ctx, "Engine.WaitContainer", name, func() (int, error) { return e.To.WaitContainer(ctx, name) })
}

func (e Engine) ContainerLog(ctx context.Context, name string, follow bool, stdout, stderr io.Writer) error {
	return e.do(ctx, "ContainerLog", name, func() error { return e.To.ContainerLog(ctx, name, follow, stdout, stderr) })
}

func (e Engine) Listeners(ctx context.Context, name string) ([]netip.AddrPort, error) {
	return get(e.Line, ctx, "Engine.Listeners", name, func() ([]netip.AddrPort, error) { return e.To.Listeners(ctx, name) })
}

func (e Engine) RunAttached(ctx context.Context, name string, s daemon.Streams) (int, error) {
	return get(e.Line, ctx, "Engine.RunAttached", name, func() (int, error) { return e.To.RunAttached(ctx, name, s) })
}

func (e Engine) Exec(ctx context.Context, name string, cmd daemon.ExecSpec, s daemon.Streams) (int, error) {
	return get(e.Line, ctx, "Engine.Exec", name, func() (int, error) { return e.To.Exec(ctx, name, cmd, s) })
}

func (e Engine) Events(ctx context.Context) (<-chan daemon.Event, error) {
	return get(e.Line, ctx, "Engine.Events", "", func() (<-chan daemon.Event, error) { return e.To.Events(ctx) })
}

func (e Engine) Ping(ctx context.Context) (string, error) {
	return get(e.Line, ctx, "Engine.Ping", "", func() (string, error) { return e.To.Ping(ctx) })
}
