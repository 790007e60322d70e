package podman

import (
	"context"
	"os"
	"slices"
	"strings"
	"sync"

	"github.com/containers/podman/v5/libpod/define"
	"github.com/containers/podman/v5/pkg/bindings/containers"

	"towline/daemon"
)

// Podman's name server (aardvark-dns, up to 1.4 at least) starts anew whenever any
// container on the machine comes or goes, and loses the questions of that moment:
// a client waits its resolver's five seconds, or is told by the machine's own name
// server that there is no such host. A deploy would make other apps lose their
// databases for an instant. So the aliases in each network are written to the
// hosts files of its containers as well, where every resolver looks first. The
// name server remains for the rest, with a patience of one second.

// settle makes the container, and every network that it is in, fit for its process to
// start: what Podman has made for it sealed, what is mounted into it its own, the networks
// apart from others, their members known to each other by name. It returns the number of the process; one that is
// gone is unix.ESRCH. isolated waits for the networks to be apart, where that has begun
// already; may be nil.
func (e *Engine) settle(ctx context.Context, container string, isolated func() error) (process int, err error) {
	data, err := e.inspect(ctx, container)
	if err != nil {
		return 0, err
	}
	process = data.State.Pid
	if err := sealFiles(data); err != nil {
		return process, err
	}
	if err := mapMounts(data); err != nil {
		return process, err
	}
	if data.NetworkSettings == nil {
		return process, nil
	}
	if data.Config != nil && daemon.OnlyAnswers(data.Config.Labels) {
		e.restraining.Lock()
		err := e.restrain(ctx)
		e.restraining.Unlock()
		if err != nil {
			return process, err
		}
	}
	var bridges []string
	for network := range data.NetworkSettings.Networks {
		bridges = append(bridges, bridgeName(network))
		fixAddress(bridgeName(network))
		e.publish(ctx, network)
	}
	if isolated == nil {
		return process, e.isolate(ctx, bridges...)
	}
	return process, isolated()
}

// publish writes a network's aliases to the hosts files of its containers. It does
// what it can: without it there is still the name server.
func (e *networkEngine) publish(ctx context.Context, network string) {
	e.publishing.Lock()
	defer e.publishing.Unlock()
	members := e.members(ctx, network)
	if len(members) == 0 {
		return
	}
	lines := hostLines(network, members)
	for _, member := range members {
		_ = rewriteHosts(member.HostsPath, network, lines)
	}
}

// withdraw removes a network's names from a container that has left it.
func (e *networkEngine) withdraw(ctx context.Context, network, container string) {
	if data, err := e.containers.inspect(ctx, container); err == nil {
		e.publishing.Lock()
		_ = rewriteHosts(data.HostsPath, network, nil)
		e.publishing.Unlock()
	}
	e.publish(ctx, network)
}

// members are the network's containers that have a hosts file in use.
func (e *networkEngine) members(ctx context.Context, network string) []*define.InspectContainerData {
	c, err := e.call(ctx)
	if err != nil {
		return nil
	}
	filters := e.filters(nil)
	filters["network"] = []string{network}
	list, err := containers.List(c, new(containers.ListOptions).WithAll(true).WithFilters(filters))
	if err != nil {
		return nil
	}
	found := make([]*define.InspectContainerData, len(list))
	var wait sync.WaitGroup
	for i, item := range list {
		switch item.State {
		case define.ContainerStateCreated.String(), define.ContainerStateRunning.String(), define.ContainerStatePaused.String():
			wait.Go(func() {
				defer daemon.Contain("a look at a container", nil)
				found[i], _ = e.containers.inspect(ctx, item.ID)
			})
		}
	}
	wait.Wait()
	return slices.DeleteFunc(found, func(data *define.InspectContainerData) bool {
		return data == nil || data.HostsPath == "" || data.NetworkSettings == nil
	})
}

// hostLines are sorted. An alias that several containers share stays with the name
// server, which spreads the load.
func hostLines(network string, members []*define.InspectContainerData) []string {
	addresses := map[string][]string{}
	for _, member := range members {
		n := member.NetworkSettings.Networks[network]
		if n == nil || n.IPAddress == "" {
			continue
		}
		for _, alias := range n.Aliases {
			if alias != shortID(member.ID) { // which Podman adds
				addresses[alias] = append(addresses[alias], n.IPAddress)
			}
		}
	}
	var lines []string
	for alias, list := range addresses {
		if len(list) == 1 {
			lines = append(lines, list[0]+"\t"+alias)
		}
	}
	slices.Sort(lines)
	return lines
}

// shortID is what Podman shows of a container's ID.
func shortID(id string) string { return id[:min(12, len(id))] }

// rewriteHosts replaces a network's lines, in place: the file is mounted into a
// container, which would not see another take its place. A file that a container of an
// earlier version of Towline's has made larger than maxHosts is left alone.
func rewriteHosts(path, network string, lines []string) error {
	file, err := openMade(path, os.O_RDWR)
	if err != nil {
		return err
	}
	defer file.Close()
	old, err := readMade(file, maxHosts)
	if err != nil {
		return err
	}
	content := replaceLines(string(old), network, lines)
	if content == string(old) {
		return nil
	}
	// One write, then the cut: no reader finds the file empty.
	if _, err := file.WriteAt([]byte(content), 0); err != nil {
		return err
	}
	return file.Truncate(int64(len(content)))
}

// replaceLines leaves every line of others as it is. Ours end in a name made of the
// network's: Podman, which rewrites the file too, would not keep a comment.
func replaceLines(content, network string, lines []string) string {
	mark := " " + network + ".names.internal\n"
	var b strings.Builder
	for line := range strings.Lines(content) {
		line = strings.TrimSuffix(line, "\n") + "\n"
		if !strings.HasSuffix(line, mark) {
			b.WriteString(line)
		}
	}
	for _, line := range lines {
		b.WriteString(line + mark)
	}
	return b.String()
}
