package daemon

import (
	"context"
	"time"
)

// FindApp looks an app up, and says more than that it is absent.
func FindApp(tx Tx, name string) (App, error) {
	app, err := tx.App(name)
	if IsKind(err, NotFound) {
		return app, Errorf(NotFound, "there is no app %q", Clip(name)).WithHint("towline apps lists them; towline apps:create NAME makes one")
	}
	return app, err
}

// Read runs one query in a transaction of its own.
func Read[T any](ctx context.Context, s Store, f func(Tx) (T, error)) (T, error) {
	var v T
	err := s.View(ctx, func(tx Tx) (err error) {
		v, err = f(tx)
		return err
	})
	return v, err
}

// Now is the present time as the store keeps it.
func Now() time.Time { return time.Now().UTC().Truncate(time.Millisecond) }
