package main

import (
	"context"
	"encoding/json"
	"fmt"
	"io"
	"os"

	"towline/cmd/internal/config"
	"towline/daemon/command"
	"towline/daemon/doctor"
)

// examine is host:doctor for a machine whose daemon may be down: towlined doctor. What
// only the daemon knows is skipped.
func examine(ctx context.Context, file config.File, asJSON bool, out io.Writer) (code int) {
	h, err := newHost(ctx, file, "", account{}, nil)
	if err != nil {
		fmt.Fprintf(os.Stderr, "towlined: %v\n", err)
		return 1
	}
	r := doctor.Run(ctx, h.facts())
	if asJSON {
		enc := json.NewEncoder(out)
		enc.SetIndent("", "  ")
		err = enc.Encode(r)
	} else {
		command.PrintReport(out, r)
	}
	if err != nil || r.Status == doctor.Fail {
		return 1
	}
	return 0
}
