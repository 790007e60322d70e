package apps

import (
	"context"
	"errors"
	"io"
	"slices"
	"strings"

	"towline/daemon"
)

// SetCapabilities replaces the capabilities that an app's processes have: those that run are
// replaced by fresh ones, without a gap. If a new web process doesn't become ready the old
// ones stay, with what they had.
func (ps *Processes) SetCapabilities(ctx context.Context, app, member string, names []string, out io.Writer) ([]string, error) {
	capabilities, err := daemon.CheckCapabilities(names)
	if err != nil {
		return nil, err
	}
	unlock, err := ps.Journal.LockApp(ctx, app, out)
	if err != nil {
		return nil, err
	}
	defer unlock()
	a, err := ps.App(ctx, app)
	if err != nil || slices.Equal(a.Capabilities, capabilities) {
		return capabilities, err
	}
	rel, err := ps.Release(ctx, app, 0)
	if daemon.IsKind(err, daemon.NotFound) {
		rel, err = daemon.Release{}, nil
	}
	if err != nil {
		return nil, err
	}
	event := daemon.Activity{Time: daemon.Now(), Member: member, Kind: daemon.CapabilitiesSet, App: app, Names: capabilities, Text: "took all capabilities away", Undo: "ps:capabilities:set none"}
	if len(capabilities) > 0 {
		event.Text = "set the capabilities " + capabilityList(capabilities)
	}
	if len(a.Capabilities) > 0 {
		event.Undo = "ps:capabilities:set " + strings.Join(a.Capabilities, " ")
	}
	if rel.Image == "" {
		return capabilities, ps.Store.Update(ctx, func(tx daemon.Tx) error {
			return errors.Join(putCapabilities(tx, app, capabilities), tx.RecordActivity(event))
		})
	}
	r := &rollout{release: rel, formation: a.Formation, version: rel.Version, grant: &capabilities}
	return capabilities, ps.reroll(ctx, event, r, out)
}

func putCapabilities(tx daemon.AppTx, app string, capabilities []string) error {
	a, err := tx.App(app)
	if err != nil {
		return err
	}
	a.Capabilities = capabilities
	return tx.UpdateApp(a)
}

// capabilityList is also the label of a container that has them.
func capabilityList(capabilities []string) string { return strings.Join(capabilities, ", ") }
