package container

import (
	"errors"
	"net"
	"syscall"
	"time"
)

const dialTimeout = 5 * time.Second

// Dialer reaches what is on a network of this machine's alone (SO_DONTROUTE, see
// socket(7)): the address of a container that is gone may be somebody else's elsewhere.
var Dialer = &net.Dialer{Timeout: dialTimeout, Control: func(_, _ string, c syscall.RawConn) error {
	var err error
	cerr := c.Control(func(fd uintptr) {
		err = syscall.SetsockoptInt(int(fd), syscall.SOL_SOCKET, syscall.SO_DONTROUTE, 1)
	})
	return errors.Join(cerr, err)
}}
