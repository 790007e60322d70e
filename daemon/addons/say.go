package addons

import (
	"context"
	"fmt"
)

// Say tells the daemon's log and those of the apps attached to an add-on.
func (b *base) Say(ctx context.Context, addon, format string, args ...any) {
	text := fmt.Sprintf(format, args...)
	b.Log.Warn(text, "addon", addon)
	attached, err := b.Attachments(ctx, addon)
	if err != nil {
		b.Log.Error("attachments", "addon", addon, "err", err)
	}
	for _, at := range attached {
		b.Logs.Write(at.App, "addon", addon, text)
	}
}
