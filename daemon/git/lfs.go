package git

import (
	"bufio"
	"bytes"
	"io"
	"path"
	"strings"
)

// lfsWatch looks for files that Git LFS has replaced by pointers: an app that got
// those would fail much later, and nobody would know why. A pointer counts only
// where an attributes file says that LFS is in use: tests of such tools hold some.
type lfsWatch struct {
	used    bool
	pointer string // the first that was found
}

const (
	lfsPointer    = "version https://git-lfs.github.com/spec/v1\n"
	maxPointer    = 1024    // bytes
	maxAttributes = 1 << 20 // of an attributes file that is looked into
)

// watch returns content, having looked at its beginning.
func (l *lfsWatch) watch(name string, size int64, content io.Reader) io.Reader {
	switch {
	case path.Base(name) == ".gitattributes" && size <= maxAttributes && !l.used:
		head := bufio.NewReaderSize(content, int(size)+16)
		text, _ := head.Peek(int(size))
		l.used = bytes.Contains(text, []byte("filter=lfs"))
		return head
	case l.pointer == "" && size <= maxPointer && size >= int64(len(lfsPointer)):
		head := bufio.NewReaderSize(content, maxPointer)
		if text, _ := head.Peek(len(lfsPointer)); string(text) == lfsPointer {
			l.pointer = name
		}
		return head
	}
	return content
}

func (l *lfsWatch) check() error {
	if !l.used || l.pointer == "" {
		return nil
	}
	return refused("%q is in Git LFS, and only a pointer to it is here", clip(l.pointer)).
		WithHint("%s", strings.Join([]string{
			"deploy a checkout that has the files: git lfs pull; git ls-files -z | tar -c --null -T - | ssh towline@HOST deploy:archive -a APP",
			"or take them out of LFS: git lfs migrate export --include='*'",
		}, "\n"))
}
