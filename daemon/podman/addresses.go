package podman

import (
	"bufio"
	"fmt"
	"io"
	"os"
	"strings"
)

// addressesOf lists the IPv4 addresses that a process has in its network namespace, from
// the kernel's table of routes: proc_pid_net(5). There are none if it is gone.
func addressesOf(pid int) (ips []string) {
	if pid <= 0 {
		return nil
	}
	f, err := os.Open(fmt.Sprintf("/proc/%d/net/fib_trie", pid))
	if err != nil {
		return nil
	}
	defer f.Close()
	// A leaf is a line with an address, and below it one for each route to it.
	leaf, seen := "", map[string]bool{}
	for lines := bufio.NewScanner(io.LimitReader(f, maxTable)); lines.Scan(); {
		line := strings.TrimSpace(lines.Text())
		if ip, ok := strings.CutPrefix(line, "|-- "); ok {
			leaf = ip
		} else if line == "/32 host LOCAL" && !seen[leaf] {
			seen[leaf] = true
			ips = append(ips, leaf)
		}
	}
	return ips
}
