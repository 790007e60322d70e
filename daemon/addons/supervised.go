package addons

import (
	"context"
	"fmt"

	"towline/daemon"
)

// Supervised are services as their supervisor sees them: see package supervise.
type Supervised struct{ *Services }

// Lock takes the add-on's lock.
func (s Supervised) Lock(ctx context.Context, e daemon.Event) (unlock func(), err error) {
	return s.Locks.Lock(ctx, "addon:"+e.Labels[daemon.LabelAddon], nil)
}

// Name is the add-on's.
func (s Supervised) Name(e daemon.Event) string { return e.Labels[daemon.LabelAddon] }

// Wanted tells whether the container is of the add-on's present generation.
func (s Supervised) Wanted(ctx context.Context, e daemon.Event) bool {
	addon, err := s.Addon(ctx, s.Name(e))
	return err == nil && addon.Status == daemon.AddonReady && e.Container == s.ContainerName(addon)
}

// Tell writes into the logs of the apps attached to the add-on.
func (s Supervised) Tell(ctx context.Context, e daemon.Event, text string) {
	attached, err := s.Attachments(ctx, s.Name(e))
	if err != nil {
		s.Log.Error("log crash", "err", err)
	}
	for _, at := range attached {
		s.Logs.Write(at.App, "addon", at.Addon, text)
	}
}

// Follow has the add-on's page lead to where the service is, once it answers.
func (s Supervised) Follow(_ context.Context, e daemon.Event) error {
	s.Life.Go(func(ctx context.Context) { s.pages.followPage(ctx, s.Name(e)) })
	return nil
}

// OutOfMemory leads to a larger plan.
func (s Supervised) OutOfMemory(e daemon.Event) string {
	return fmt.Sprintf("out of memory: the kernel killed %s in %s; towline addons:upgrade %[2]s --plan gives it a larger plan", e.OutOfMemory, s.Name(e))
}
