package podman

import (
	"bufio"
	"context"
	"encoding/binary"
	"encoding/hex"
	"fmt"
	"io"
	"net/netip"
	"os"
	"slices"
	"strconv"
	"strings"

	"golang.org/x/sys/unix"

	"towline/daemon"
)

// Listeners implements daemon.Containers: by what the kernel tells of the container's network,
// so that it needs no program in the image.
func (e *containerEngine) Listeners(ctx context.Context, name string) ([]netip.AddrPort, error) {
	data, err := e.inspect(ctx, name)
	if err != nil {
		return nil, err
	}
	if !live(data.State) {
		return nil, daemon.Errorf(daemon.Conflict, "container %s does not run", name)
	}
	process, err := openProcess(data.State.Pid)
	if err != nil {
		return nil, fmt.Errorf("process %d of container %s: %w", data.State.Pid, name, err)
	}
	defer process.Close()
	var all []netip.AddrPort
	for _, table := range []string{"tcp", "tcp6"} {
		f, err := os.Open(fmt.Sprintf("/proc/%d/net/%s", data.State.Pid, table))
		if err != nil {
			continue // without IPv6, say
		}
		all = append(all, listening(f)...)
		f.Close()
	}
	// What was read is another's if the process has ended and its number was given away.
	if gone := unix.PidfdSendSignal(int(process.Fd()), 0, nil, 0); gone != nil {
		return nil, daemon.Errorf(daemon.Conflict, "container %s does not run", name)
	}
	slices.SortFunc(all, netip.AddrPort.Compare)
	return slices.Compact(all), nil
}

const (
	stateListen = "0A"
	maxTable    = 1 << 20 // bytes that are read of one; a container may have any number of sockets
)

// listening reads the addresses that are listened on from a table of the kernel's.
func listening(table io.Reader) (list []netip.AddrPort) {
	lines := bufio.NewScanner(io.LimitReader(table, maxTable))
	for lines.Scan() {
		fields := strings.Fields(lines.Text()) // number, local, remote, state
		if len(fields) < 4 || fields[3] != stateListen {
			continue
		}
		if address, ok := kernelAddress(fields[1]); ok {
			list = append(list, address)
		}
	}
	return list
}

// kernelAddress reads an address as the kernel prints it: words in the machine's own order of
// bytes, and a port.
func kernelAddress(text string) (netip.AddrPort, bool) {
	address, port, _ := strings.Cut(text, ":")
	raw, err := hex.DecodeString(address)
	number, perr := strconv.ParseUint(port, 16, 16)
	if err != nil || perr != nil || len(raw)%4 != 0 {
		return netip.AddrPort{}, false
	}
	for i := 0; i < len(raw); i += 4 {
		binary.NativeEndian.PutUint32(raw[i:], binary.BigEndian.Uint32(raw[i:]))
	}
	ip, ok := netip.AddrFromSlice(raw)
	return netip.AddrPortFrom(ip.Unmap(), uint16(number)), ok
}
