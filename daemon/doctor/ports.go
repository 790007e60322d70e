package doctor

import (
	"context"
	"fmt"
	"net"
	"os"
	"path/filepath"
	"slices"
	"strconv"
	"strings"
)

// listening is the state of a socket in /proc/net/tcp.
const listening = "0A"

// ports finds who listens at the proxy's addresses, by the sockets' inodes.
func (m Machine) ports(ctx context.Context) ([]Port, error) {
	wanted := map[int]string{}
	var list []Port
	for _, address := range m.Addresses {
		_, port, err := net.SplitHostPort(address)
		n, nerr := strconv.Atoi(port)
		if err == nil && nerr == nil && n > 0 {
			wanted[n] = address
		}
	}
	inodes := map[string]int{} // of listening sockets -> port
	for _, file := range []string{"/proc/net/tcp", "/proc/net/tcp6"} {
		text, err := os.ReadFile(file)
		if err != nil {
			continue // without IPv6 there is none
		}
		for line := range strings.Lines(string(text)) {
			if inode, port := listener(line); wanted[port] != "" {
				inodes[inode] = port
			}
		}
	}
	names, err := holders(ctx, inodes)
	for _, address := range m.Addresses {
		for port, a := range wanted {
			if a == address {
				list = append(list, Port{Address: address, Holders: names[port]})
			}
		}
	}
	return list, err
}

// listener reads a line of /proc/net/tcp; port 0: it is none.
func listener(line string) (inode string, port int) {
	w := strings.Fields(line)
	if len(w) < 10 || w[3] != listening {
		return "", 0
	}
	_, hex, _ := strings.Cut(w[1], ":")
	n, err := strconv.ParseUint(hex, 16, 16)
	if err != nil {
		return "", 0
	}
	return w[9], int(n)
}

// holders are the programs that have the sockets open, "nginx (812)", by port. A socket
// whose holder cannot be seen has an unnamed one.
func holders(ctx context.Context, inodes map[string]int) (map[int][]string, error) {
	names := map[int][]string{}
	if len(inodes) == 0 {
		return names, nil
	}
	descriptors, err := filepath.Glob("/proc/[0-9]*/fd/*")
	for _, path := range descriptors {
		if ctx.Err() != nil {
			return nil, ctx.Err()
		}
		link, lerr := os.Readlink(path)
		inode, ok := strings.CutPrefix(link, "socket:[")
		if lerr != nil || !ok {
			continue
		}
		port, ok := inodes[strings.TrimSuffix(inode, "]")]
		if !ok {
			continue
		}
		pid := strings.Split(path, "/")[2]
		program, rerr := os.ReadFile("/proc/" + pid + "/comm")
		if rerr != nil {
			continue
		}
		name := fmt.Sprintf("%s (%s)", strings.TrimSpace(string(program)), pid)
		if !slices.Contains(names[port], name) {
			names[port] = append(names[port], name)
		}
	}
	for _, port := range inodes {
		if len(names[port]) == 0 {
			names[port] = []string{"a program of another namespace"}
		}
	}
	return names, err
}
