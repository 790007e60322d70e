package main

import (
	"errors"
	"fmt"
	"net"
	"os"
	"path/filepath"

	"github.com/coreos/go-systemd/v22/activation"

	"towline/cmd/internal/config"
)

// openSocket is the socket that systemd holds open, so that commands wait in it while the
// daemon is restarted; without systemd, one of the daemon's own.
func openSocket(file config.File, a account) (net.Listener, error) {
	given, err := activation.Listeners()
	if err != nil {
		return nil, fmt.Errorf("the socket that systemd gives: %w", err)
	}
	switch len(given) {
	case 0:
		return listen(filepath.Join(file.Run, "towlined.sock"), a)
	case 1:
		l, ok := given[0].(*net.UnixListener)
		if !ok {
			return nil, fmt.Errorf("systemd gives a socket at %s in place of a unix socket", given[0].Addr())
		}
		l.SetUnlinkOnClose(false) // the file is systemd's
		return l, nil
	}
	return nil, fmt.Errorf("systemd gives %d sockets in place of one", len(given))
}

// listen makes the socket: for root and the account alone.
func listen(path string, a account) (net.Listener, error) {
	if err := os.Remove(path); err != nil && !errors.Is(err, os.ErrNotExist) {
		return nil, err
	}
	l, err := net.Listen("unix", path)
	if err != nil {
		return nil, err
	}
	if err := errors.Join(os.Chown(path, 0, int(a.gid)), os.Chmod(path, 0o660)); err != nil {
		l.Close()
		return nil, err
	}
	return l, nil
}
