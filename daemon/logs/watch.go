package logs

import (
	"bytes"
	"encoding/binary"
	"os"
	"time"

	"golang.org/x/sys/unix"
)

// watch tells when log files change.
type watch struct {
	changed chan struct{} // holds at most one notice, for any number of changes
	inotify *os.File
	done    chan struct{}
}

// pollEvery is how often files are looked at where the kernel has no watch left
// to give.
const pollEvery = 50 * time.Millisecond

// newWatch watches all files in dir, and the one called name in routerDir, which
// may be absent.
func newWatch(dir, routerDir, name string) *watch {
	w := &watch{changed: make(chan struct{}, 1), done: make(chan struct{})}
	fd, err := unix.InotifyInit1(unix.IN_CLOEXEC | unix.IN_NONBLOCK)
	if err != nil {
		go w.poll()
		return w
	}
	w.inotify = os.NewFile(uintptr(fd), "inotify")
	const mask = unix.IN_MODIFY | unix.IN_CREATE | unix.IN_MOVED_TO | unix.IN_DELETE
	_, err = unix.InotifyAddWatch(fd, dir, mask)
	router := -1
	if err == nil && routerDir != "" {
		router, err = unix.InotifyAddWatch(fd, routerDir, mask)
	}
	if err != nil {
		// No watch left, or no directory yet.
		go w.poll()
		return w
	}
	go w.read(router, name)
	return w
}

func (w *watch) close() {
	close(w.done)
	if w.inotify != nil {
		w.inotify.Close() // ends read
	}
}

func (w *watch) notify() {
	select {
	case w.changed <- struct{}{}:
	default:
	}
}

func (w *watch) poll() {
	tick := time.NewTicker(pollEvery)
	defer tick.Stop()
	for {
		select {
		case <-w.done:
			return
		case <-tick.C:
			w.notify()
		}
	}
}

// read turns events into notices. In the router's directory, whose watch
// descriptor is given, other apps' files are none of ours.
func (w *watch) read(router int, name string) {
	buf := make([]byte, 16<<10)
	for {
		n, err := w.inotify.Read(buf)
		if err != nil {
			return
		}
		for events := buf[:n]; len(events) >= unix.SizeofInotifyEvent; {
			descriptor := int(int32(binary.NativeEndian.Uint32(events)))
			length := int(binary.NativeEndian.Uint32(events[12:]))
			file := bytes.TrimRight(events[unix.SizeofInotifyEvent:][:length], "\x00")
			events = events[unix.SizeofInotifyEvent+length:]
			if descriptor != router || string(file) == name {
				w.notify()
			}
		}
	}
}
