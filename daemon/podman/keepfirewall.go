package podman

import (
	"bytes"
	"context"
	"errors"
	"fmt"
	"os"
	"os/exec"
	"syscall"
	"time"

	"golang.org/x/sys/unix"
)

const (
	// settle is how long a change of the ruleset is waited for to end: a reload of the
	// machine's own rules is many messages.
	settle = 100 * time.Millisecond
	// keepRound is how often the rules are looked at though nobody told of a change.
	keepRound = time.Minute
)

// KeepFirewall puts the rules back whenever somebody else has taken them away: nftables.service
// begins its restart with a flush of everything. The kernel tells of changes; where it does
// not, the rules are looked at now and then. It returns when ctx ends. failed is told what
// could not be put back.
func (e *networkEngine) KeepFirewall(ctx context.Context, failed func(error)) {
	changes := make(chan struct{}, 1)
	if err := watchRules(ctx, changes); err != nil {
		failed(fmt.Errorf("the kernel does not tell of changes to the firewall, which is looked at every %s: %w", keepRound, err))
	}
	tick := time.NewTicker(keepRound)
	defer tick.Stop()
	for {
		select {
		case <-ctx.Done():
			return
		case <-changes:
			select {
			case <-time.After(settle):
			case <-ctx.Done():
				return
			}
		case <-tick.C:
		}
		if err := e.restoreFirewall(ctx); err != nil && ctx.Err() == nil {
			failed(err)
		}
	}
}

// restoreFirewall puts back the rules of all networks of this installation, if they are gone.
func (e *networkEngine) restoreFirewall(ctx context.Context) error {
	networks, err := e.Networks(ctx)
	if err != nil || len(networks) == 0 {
		return err
	}
	bridges := make([]string, len(networks))
	for i, n := range networks {
		bridges[i] = bridgeName(n.Name)
	}
	if there, err := e.hasRules(ctx, bridges); err != nil || there {
		return err
	}
	if err := e.isolate(ctx, bridges...); err != nil {
		return err
	}
	e.restraining.Lock()
	defer e.restraining.Unlock()
	return e.restrain(ctx)
}

// hasRules tells whether the kernel has the rules for these bridges and this installation's
// add-ons. Where there are no add-ons there are no rules for them: to miss those would be to
// write them again for ever.
func (f *firewall) hasRules(ctx context.Context, bridges []string) (bool, error) {
	f.restraining.Lock()
	restrained := f.restrained
	f.restraining.Unlock()
	if restrained == nil {
		return false, nil
	}
	ctx, cancel := context.WithTimeout(ctx, callLimit)
	defer cancel()
	out, err := exec.CommandContext(ctx, "nft", "list", "ruleset").Output()
	if err != nil {
		return false, fmt.Errorf("look at the firewall: %w", err)
	}
	wanted := append([]string{"table inet towline ", "chain forward ", "chain outward ", "chain inward ", "chain input "}, bridges...)
	if *restrained {
		wanted = append(wanted, "chain answers-"+f.name+" ")
	}
	for _, words := range wanted {
		if !bytes.Contains(out, []byte(words)) {
			return false, nil
		}
	}
	return true, nil
}

// takesOurs tells whether the kernel's messages say that a part of a table of ours is gone, or
// can't be read. Podman's own changes, dozens with each container that comes or goes, do not count,
// and neither do rules within a chain, public ports and the addresses of add-ons, which are
// written anew with containers of Towline's.
func takesOurs(messages []byte) bool {
	list, err := syscall.ParseNetlinkMessage(messages)
	if err != nil {
		return true
	}
	for _, m := range list {
		ours := bytes.Contains(m.Data, []byte("towline\x00")) // the table's name
		switch m.Header.Type {
		case nftMessage | unix.NFT_MSG_DELTABLE, nftMessage | unix.NFT_MSG_DELCHAIN, nftMessage | unix.NFT_MSG_DELSET:
		case nftMessage | unix.NFT_MSG_DELSETELEM:
			ours = ours && bytes.Contains(m.Data, []byte("bridges\x00"))
		default:
			ours = false
		}
		if ours {
			return true
		}
	}
	return false
}

// nftMessage is in the type of every message of nf_tables.
const nftMessage = unix.NFNL_SUBSYS_NFTABLES << 8

// DropFirewall takes the rules away. No container may run.
func (f *firewall) DropFirewall(ctx context.Context) error {
	return nft(ctx, "add table inet towline\ndelete table inet towline\nadd table bridge towline\ndelete table bridge towline\n")
}

// watchRules sends to changes, without waiting, when something of ours was taken from the
// ruleset, until ctx ends.
func watchRules(ctx context.Context, changes chan<- struct{}) error {
	fd, err := unix.Socket(unix.AF_NETLINK, unix.SOCK_RAW|unix.SOCK_CLOEXEC|unix.SOCK_NONBLOCK, unix.NETLINK_NETFILTER)
	if err != nil {
		return err
	}
	if err := unix.Bind(fd, &unix.SockaddrNetlink{Family: unix.AF_NETLINK, Groups: 1 << (unix.NFNLGRP_NFTABLES - 1)}); err != nil {
		_ = unix.Close(fd)
		return err
	}
	socket := os.NewFile(uintptr(fd), "nftables")
	stop := context.AfterFunc(ctx, func() { _ = socket.Close() })
	go func() {
		defer stop()
		defer func() { _ = socket.Close() }()
		for buffer := make([]byte, 64<<10); ; {
			n, err := socket.Read(buffer)
			if err != nil && !errors.Is(err, unix.ENOBUFS) { // which means: there were more
				return
			}
			if err == nil && !takesOurs(buffer[:n]) {
				continue
			}
			select {
			case changes <- struct{}{}:
			default:
			}
		}
	}()
	return nil
}
