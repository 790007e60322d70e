package vault

import (
	"errors"
	"io"
	"os"

	"golang.org/x/sys/unix"

	"towline/daemon"
)

// A file may have holes: they take no room, and one command makes any number of
// terabytes of them. They are kept as holes in copies. In an archive they are zeros,
// so that any tar can unpack it, which takes time, and so there is a bound.
const maxHoles = 64 << 30 // bytes, of all files of a backup together

// addHoles counts those of a file.
func (w *walk) addHoles(f *os.File, now stamp) error {
	var st unix.Stat_t
	if err := unix.Fstat(int(f.Fd()), &st); err != nil || st.Blocks*512 >= now.size {
		return err
	}
	if w.holes += holesIn(f, now.size, maxHoles); w.holes > maxHoles {
		return daemon.Errorf(daemon.Failed, "the data has files with holes of more than %d GB, like one of %d GB: that is no data of the service's", maxHoles>>30, now.size>>30).
			WithHint("delete what does not belong into its volume; nothing was changed")
	}
	return nil
}

// holesIn is how many bytes of a file are in holes, counted up to a limit. A file
// system that can't tell has none.
func holesIn(f *os.File, size, limit int64) (n int64) {
	for at := int64(0); at < size && n <= limit; {
		hole, err := unix.Seek(int(f.Fd()), at, unix.SEEK_HOLE)
		if err != nil || hole >= size {
			return n
		}
		at = dataAfter(f, hole, size)
		n += at - hole
	}
	return n
}

// writeSparse copies r to the new file f. Blocks of zeros become holes.
func writeSparse(f *os.File, r io.Reader) error {
	buf := make([]byte, blockSize)
	for at := int64(0); ; {
		n, err := io.ReadFull(r, buf)
		if n > 0 && blockSum(buf[:n]) != 0 {
			if _, err := f.WriteAt(buf[:n], at); err != nil {
				return err
			}
		}
		at += int64(n)
		if errors.Is(err, io.EOF) || errors.Is(err, io.ErrUnexpectedEOF) {
			return f.Truncate(at)
		}
		if err != nil {
			return err
		}
	}
}
