package store

import (
	"context"
	"database/sql"
	"embed"
	"fmt"
)

// migrations are applied in the order of their numbers and never edited once
// released; user_version is the number of the last one that was applied.
//
//go:embed migrations/*.sql
var migrations embed.FS

// migrate brings the schema to the newest version, one transaction a step.
func migrate(ctx context.Context, conn *sql.Conn) error {
	files, err := migrations.ReadDir("migrations") // sorted by name
	if err != nil {
		return err
	}
	have, err := versionOf(ctx, conn)
	if err != nil {
		return err
	}
	if have > len(files) {
		return fmt.Errorf("it is at schema version %d and this towlined knows only up to %d: "+
			"a newer version has used it; install that version again, or restore a backup from before the upgrade", have, len(files))
	}
	for i := have; i < len(files); i++ {
		text, err := migrations.ReadFile("migrations/" + files[i].Name())
		if err != nil {
			return err
		}
		err = transact(ctx, conn, "BEGIN IMMEDIATE", func() error {
			_, err := conn.ExecContext(ctx, fmt.Sprintf("%s;\nPRAGMA user_version = %d", text, i+1))
			return err
		})
		if err != nil {
			return fmt.Errorf("migration %s: %w", files[i].Name(), err)
		}
	}
	return nil
}

// versionOf is the number of the last migration that was applied; 0: none.
func versionOf(ctx context.Context, conn *sql.Conn) (version int, err error) {
	err = conn.QueryRowContext(ctx, "PRAGMA user_version").Scan(&version)
	return version, err
}
