package appliance

import (
	"context"
	"errors"
	"fmt"
	"os"
	"path/filepath"
	"slices"
	"strings"
)

// kernel is what a root directory lacks that is to boot by itself.
var kernel = []string{"linux-image-cloud-amd64", "initramfs-tools", "kmod", "udev", "zstd"}

// Disk makes a VM's disk, for a network. The kernel, which QEMU itself starts, is at the
// path that it returns, with .vmlinuz and .initrd.
func Disk(ctx context.Context, p Plan, w network, file string) (string, error) {
	from := filepath.Join(cache, p.Suite+"-vm")
	if err := bootable(ctx, p.Suite, from); err != nil {
		return "", err
	}
	dir := file + ".root"
	defer func() { _ = os.RemoveAll(dir) }()
	if err := run(ctx, "cp", "-a", "--reflink=auto", from, dir); err != nil {
		return "", err
	}
	wanted := "etc/systemd/system/multi-user.target.wants/network.service"
	if err := errors.Join(
		access(p, dir),
		os.MkdirAll(filepath.Join(dir, shared), 0o755),
		os.WriteFile(filepath.Join(dir, "etc/fstab"), []byte("/dev/vda / ext4 rw,noatime 0 1\n/dev/vdb "+shared+" ext4 ro 0 0\n"), 0o644),
		os.WriteFile(filepath.Join(dir, "etc/systemd/system/network.service"), fmt.Appendf(nil, networkUnit, w.Addr(), w.Gateway()), 0o644),
		os.MkdirAll(filepath.Join(dir, filepath.Dir(wanted)), 0o755),
		os.Symlink("../network.service", filepath.Join(dir, wanted)),
	); err != nil {
		return "", err
	}
	return from, image(ctx, dir, file, "12G", "-E", "lazy_itable_init=1,lazy_journal_init=1")
}

const networkUnit = `[Unit]
DefaultDependencies=no
Wants=network.target
Before=network.target
BindsTo=sys-subsystem-net-devices-eth0.device
After=systemd-sysctl.service sys-subsystem-net-devices-eth0.device

[Service]
Type=oneshot
RemainAfterExit=yes
ExecStart=/bin/sh -c 'ip link set eth0 up; ip addr add %s/24 dev eth0; ip route add default via %s'

[Install]
WantedBy=multi-user.target
`

// image makes a file system of a directory, as large as size says and no larger on disk
// than what is in it.
func image(ctx context.Context, dir, file, size string, options ...string) error {
	return errors.Join(
		run(ctx, "truncate", "-s", size, file),
		run(ctx, "mkfs.ext4", append(options, "-q", "-F", "-d", dir, file)...),
	)
}

// bootable makes the cached root, and beside it the kernel, unless they are there whole.
func bootable(ctx context.Context, suite, root string) error {
	bare := filepath.Join(cache, suite)
	if err := debootstrap(ctx, suite, bare, depends); err != nil {
		return err
	}
	have, err := os.ReadFile(bare + ".done")
	if err != nil {
		return err
	}
	want := string(have) + " " + strings.Join(kernel, " ")
	done := root + ".done"
	if have, err := os.ReadFile(done); err == nil && string(have) == want {
		return nil
	}
	if err := errors.Join(os.RemoveAll(root), removeIfThere(done)); err != nil {
		return err
	}
	if err := run(ctx, "cp", "-a", "--reflink=auto", bare, root); err != nil {
		return err
	}
	// What the package depends on is there beforehand too: in the VM it would take minutes.
	apt := []string{root, "env", "DEBIAN_FRONTEND=noninteractive", "apt-get", "-qq", "-y"}
	for _, words := range [][]string{
		append([]string{"install", "--no-install-recommends"}, kernel...),
		append([]string{"install"}, depends...),
	} {
		if err := run(ctx, "chroot", slices.Concat(apt, words)...); err != nil {
			return err
		}
	}
	for _, file := range []struct{ pattern, to string }{{"vmlinuz-*", ".vmlinuz"}, {"initrd.img-*", ".initrd"}} {
		found, err := filepath.Glob(filepath.Join(root, "boot", file.pattern))
		if err != nil || len(found) != 1 {
			return fmt.Errorf("%s: %d kernels, %v", root, len(found), err)
		}
		if err := run(ctx, "cp", found[0], root+file.to); err != nil {
			return err
		}
	}
	return os.WriteFile(done, []byte(want), 0o644)
}
