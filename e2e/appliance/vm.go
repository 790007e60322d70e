package appliance

import (
	"bytes"
	"context"
	"errors"
	"fmt"
	"os"
	"os/exec"
	"path/filepath"
	"syscall"
	"time"
)

// VM is a Debian in QEMU, on a kernel of its own and a processor that is emulated: where
// tests run there is no other that works.
type VM struct {
	network
	login
	disk, share string // images
	kernel      string // without .vmlinuz and .initrd
	serial      string // what the kernel says, of all boots
	cmd         *exec.Cmd
	done        chan struct{} // closed when QEMU has ended
	ended       error         // why; to be read after that
}

// slowness is for how long a VM may take what takes a machine a second.
const slowness = 3

func bootVM(ctx context.Context, p Plan) (*VM, error) {
	m := &VM{network: newNetwork(p), disk: filepath.Join(p.Dir, "disk"), share: filepath.Join(p.Dir, "share"), serial: filepath.Join(p.Dir, "serial.log")}
	m.login = login{m.Addr(), p.Key, slowness * bootLimit}
	var err error
	if m.kernel, err = Disk(ctx, p, m.network, m.disk); err != nil {
		return nil, err
	}
	if err := image(ctx, p.Share, m.share, "4G", "-O", "^has_journal"); err != nil {
		return nil, err
	}
	if err := errors.Join(os.WriteFile(m.serial, nil, 0o644), m.masquerade(ctx)); err != nil {
		return nil, err
	}
	if err := m.tap(ctx); err != nil {
		return nil, errors.Join(err, m.clear(ctx))
	}
	if err := m.start(); err != nil {
		return nil, errors.Join(err, m.clear(ctx))
	}
	if err := m.answers(ctx, m.gone); err != nil {
		return nil, errors.Join(err, m.Stop())
	}
	return m, nil
}

func (m *VM) Whole() bool             { return true }
func (m *VM) Slowness() time.Duration { return slowness }

func (m *VM) tap(ctx context.Context) error {
	_ = run(ctx, "ip", "link", "del", m.device())
	return m.ip(ctx,
		"tuntap add dev "+m.device()+" mode tap",
		"addr add "+m.Gateway().String()+"/24 dev "+m.device(),
		"link set "+m.device()+" up",
	)
}

// start begins QEMU, which sees to reboots itself. Without -cx16 Debian's kernel panics at
// the boot of an emulated second processor.
func (m *VM) start() error {
	m.cmd = exec.Command("qemu-system-x86_64",
		"-machine", "q35", "-accel", "tcg,thread=multi,tb-size=512", "-cpu", "max,-cx16", "-smp", "2", "-m", "4096",
		"-kernel", m.kernel+".vmlinuz", "-initrd", m.kernel+".initrd",
		"-append", "root=/dev/vda rw console=ttyS0 net.ifnames=0 mitigations=off quiet",
		// The guest's syncs need not reach this machine's disk: it is QEMU that dies, and what
		// QEMU was given is safe then. What the guest had not yet given to its disk is lost.
		"-drive", "file="+m.disk+",if=virtio,format=raw,cache=unsafe,discard=unmap",
		"-drive", "file="+m.share+",if=virtio,format=raw,readonly=on",
		"-netdev", "tap,id=net,ifname="+m.device()+",script=no,downscript=no", "-device", "virtio-net-pci,netdev=net,romfile=",
		"-chardev", "file,id=serial,append=on,path="+m.serial, "-serial", "chardev:serial",
		"-device", "virtio-rng-pci", "-nodefaults", "-display", "none", "-monitor", "none", "-vga", "none",
	)
	m.cmd.Env = os.Environ()
	said := new(bytes.Buffer)
	m.cmd.Stdout, m.cmd.Stderr = said, said
	m.cmd.SysProcAttr = &syscall.SysProcAttr{Setpgid: true}
	if err := m.cmd.Start(); err != nil {
		return err
	}
	m.done = make(chan struct{})
	go func() {
		defer close(m.done)
		if err := m.cmd.Wait(); err != nil {
			m.ended = fmt.Errorf("%w: %s", err, tail(said.String()))
		}
	}()
	return nil
}

func (m *VM) gone() error {
	select {
	case <-m.done:
		return fmt.Errorf("the virtual machine has gone: %w", errors.Join(m.ended, m.panicked(), errors.New("see "+m.serial)))
	default:
		return m.panicked()
	}
}

// panicked tells of a kernel that has given up.
func (m *VM) panicked() error {
	log, err := os.ReadFile(m.serial)
	if err != nil {
		return err
	}
	if bytes.Contains(bytes.ToLower(log), []byte("panic")) {
		return fmt.Errorf("the kernel panicked:\n%s", tail(string(log)))
	}
	return nil
}

func (m *VM) Reboot(ctx context.Context) error { return m.reboots(ctx, m.gone) }

func (m *VM) Cut(ctx context.Context) error {
	if err := m.cmd.Process.Kill(); err != nil {
		return err
	}
	<-m.done
	if err := m.start(); err != nil {
		return err
	}
	return m.answers(ctx, m.gone)
}

func (m *VM) Stop() error {
	ctx, cancel := context.WithTimeout(context.Background(), slowness*time.Minute)
	defer cancel()
	_, _ = m.Run(ctx, "systemctl poweroff") // the connection may end before the answer
	var err error
	select {
	case <-m.done:
	case <-ctx.Done():
		err = errors.Join(errors.New("the virtual machine did not power off"), m.cmd.Process.Kill())
		<-m.done
	}
	return errors.Join(err, m.panicked(), m.clear(context.Background()))
}
