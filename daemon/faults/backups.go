package faults

import (
	"context"
	"io"

	"towline/daemon"
)

// Vault is a daemon.Vault at the other end of a line.
type Vault struct {
	Line *Line
	To   daemon.Vault
}

// Mirror implements daemon.Vault, as all below do.
func (v Vault) Mirror(dirs map[string]string) daemon.Mirror {
	return mirror{v.Line, v.To.Mirror(dirs)}
}

type mirror struct {
	Line *Line
	To   daemon.Mirror
}

func (m mirror) Pass(ctx context.Context, frozen bool) (daemon.Pass, error) {
	return get(m.Line, ctx, "Mirror.Pass", "", func() (daemon.Pass, error) { return m.To.Pass(ctx, frozen) })
}

func (v Vault) Store(ctx context.Context, id string, dirs map[string]string, about any) (daemon.Part, error) {
	return get(v.Line, ctx, "Vault.Store", id, func() (daemon.Part, error) { return v.To.Store(ctx, id, dirs, about) })
}

func (v Vault) Add(ctx context.Context, id, name string, write func(io.Writer) error) (daemon.Part, error) {
	return get(v.Line, ctx, "Vault.Add", id, func() (daemon.Part, error) { return v.To.Add(ctx, id, name, write) })
}

func (v Vault) Describe(ctx context.Context, id string, about any, parts ...daemon.Part) error {
	return v.Line.do(ctx, "Vault.Describe", id, func() error { return v.To.Describe(ctx, id, about, parts...) })
}

func (v Vault) Load(ctx context.Context, id string, part daemon.Part, dirs map[string]string) error {
	return v.Line.do(ctx, "Vault.Load", id, func() error { return v.To.Load(ctx, id, part, dirs) })
}

func (v Vault) Open(ctx context.Context, id string, part daemon.Part) (io.ReadCloser, error) {
	return get(v.Line, ctx, "Vault.Open", id, func() (io.ReadCloser, error) { return v.To.Open(ctx, id, part) })
}

func (v Vault) Delete(ctx context.Context, id string) error {
	return v.Line.do(ctx, "Vault.Delete", id, func() error { return v.To.Delete(ctx, id) })
}

// Offsite is a daemon.Offsite at the other end of a line.
type Offsite struct {
	Line *Line
	To   daemon.Offsite
}

// Upload implements daemon.Offsite, as all below do.
func (o Offsite) Upload(ctx context.Context, id string) error {
	return o.Line.do(ctx, "Offsite.Upload", id, func() error { return o.To.Upload(ctx, id) })
}

func (o Offsite) Fetch(ctx context.Context, id string) error {
	return o.Line.do(ctx, "Offsite.Fetch", id, func() error { return o.To.Fetch(ctx, id) })
}

func (o Offsite) Forget(ctx context.Context, id string) error {
	return o.Line.do(ctx, "Offsite.Forget", id, func() error { return o.To.Forget(ctx, id) })
}

func (o Offsite) Place() string { return o.To.Place() }
