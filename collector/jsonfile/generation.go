package jsonfile

import (
	"bytes"
	"compress/flate"
	"compress/gzip"
	"errors"
	"fmt"
	"hash/crc64"
	"io"
	"io/fs"
	"os"
	"strings"
	"sync"
	"sync/atomic"
	"syscall"

	"golang.org/x/sys/unix"

	"tallyman/collector/nowait"
	"tallyman/collector/record"
)

// generation is one file of a log, from its creation to its rotation and
// beyond. It keeps the file open, so that it stays readable after dockerd has
// renamed, compressed or removed it.
type generation struct {
	// path is where the file was when it was opened, for messages.
	path string
	// inode is the file's own; for a compressed file it is the inode of the
	// compressed one, which no uncompressed generation shares.
	inode uint64
	// serial orders the generations of a log, oldest first.
	serial int64
	// next is the generation that dockerd made after this one, nil while this
	// one is live. Once it is set nothing more is written to this one.
	next atomic.Pointer[generation]

	// packed is the compressed file where this is one; guarded by the log's mutex. It
	// stays open, so that its inode is not given to another.
	packed *os.File
	// rescued is the path of the agent's own copy of the text, empty where there
	// is none; guarded by the log's mutex.
	rescued string
	// former is the path of the copy that the file itself has taken the place of
	// again: it stays until there is a copy of more; guarded by the log's mutex.
	former string

	// text is held while the text is read, or is put in the place of another. It
	// is taken after the log's mutex. The four below are written under both and
	// read under either.
	text sync.RWMutex
	// file is the text; nil while nobody has wanted that of a compressed file.
	file *os.File
	fd   int
	// base is the offset at which the open file begins: above 0 where it is a
	// copy of the rest of a file.
	base int64
	// quiet says that reading the file does not note the time of access, which is
	// writing.
	quiet bool

	// torn says that not all of it could be unpacked; set with the text.
	torn bool
	// inherited says that the copy was made in an earlier life of the agent, whose
	// last positions may not have been saved.
	inherited bool
	// wanted says that a reader was closed that had not passed all of it, and may
	// come back in another life of the agent; guarded by the log's mutex.
	wanted bool
	// cuts counts how often it was found truncated; guarded by the log's mutex.
	cuts uint32

	// mark is the generation's name once it has been computed; guarded by the
	// log's mutex.
	mark record.Generation
}

// openGeneration opens the file at path; a name that ends in .gz is a
// compressed generation.
func openGeneration(path string) (*generation, error) {
	// The time of access is not noted, for that is writing. Only the owner and root
	// may ask for it.
	file, err := os.OpenFile(path, os.O_RDONLY|unix.O_NOATIME, 0)
	quiet := err == nil
	if errors.Is(err, fs.ErrPermission) {
		file, err = os.Open(path)
	}
	if err != nil {
		return nil, err
	}
	info, err := file.Stat()
	if err != nil {
		return nil, errors.Join(err, file.Close())
	}
	if !info.Mode().IsRegular() {
		return nil, errors.Join(fmt.Errorf("opening %q: it is not a regular file", path), file.Close())
	}
	g := &generation{path: path, inode: inodeOf(info)}
	g.mark.Inode = g.inode
	if strings.HasSuffix(path, ".gz") {
		g.packed = file
		return g, nil
	}
	g.setFile(file)
	g.quiet = quiet
	return g, nil
}

func (g *generation) setFile(file *os.File) {
	g.text.Lock()
	defer g.text.Unlock()
	g.file, g.fd = file, int(file.Fd())
}

// replaceLocked puts a copy of the text, which begins at base, in its place, and
// returns the other, which is the caller's to close: its space is free then, when
// dockerd has removed it.
func (g *generation) replaceLocked(path string, copied *os.File, base int64) (old *os.File) {
	g.text.Lock()
	defer g.text.Unlock()
	old = g.file
	g.file, g.fd, g.base, g.rescued, g.quiet = copied, int(copied.Fd()), base, path, false
	return old
}

// detachLocked takes the open files from a generation that nobody reads any
// more. They are the caller's to close.
func (g *generation) detachLocked() []*os.File {
	g.text.Lock()
	defer g.text.Unlock()
	var files []*os.File
	for _, f := range []*os.File{g.packed, g.file} {
		if f != nil {
			files = append(files, f)
		}
	}
	g.packed, g.file = nil, nil
	return files
}

// unlinked reports whether the text has no name any more, so that its space is
// taken only because it is open.
func (g *generation) unlinked() bool {
	info, err := g.file.Stat()
	if err != nil {
		return false
	}
	st, ok := info.Sys().(*syscall.Stat_t)
	return ok && st.Nlink == 0
}

// named reports whether a name in a position can be this generation's; to be
// called with the log's mutex held.
func (g *generation) named(name record.Generation) bool {
	return g.inode == name.Inode && (name.Len == 0 || g.nameLocked() == name)
}

func inodeOf(info fs.FileInfo) uint64 {
	if st, ok := info.Sys().(*syscall.Stat_t); ok {
		return st.Ino
	}
	return 0
}

// unpack makes the text of a compressed generation readable at any offset: it
// writes it to a nameless file in dir.
func (g *generation) unpack(dir string) error {
	if g.file != nil {
		return nil
	}
	text, torn, err := unpackTo(dir, g.packed)
	if err != nil {
		return fmt.Errorf("unpacking %q: %w", g.path, err)
	}
	g.torn = torn
	g.setFile(text)
	return nil
}

func unpackTo(dir string, packed *os.File) (text *os.File, torn bool, err error) {
	text, err = os.CreateTemp(dir, "unpacked-*")
	if err != nil {
		return nil, false, err
	}
	if err := os.Remove(text.Name()); err != nil {
		return nil, false, errors.Join(err, text.Close())
	}
	if torn, err = inflate(text, packed); err != nil {
		return nil, false, errors.Join(err, text.Close())
	}
	return text, torn, nil
}

// inflate writes what packed holds to w. What a torn or damaged file still
// yields before the damage counts as its text: a crash of the host leaves files
// that are empty or end in zeros, and whoever waited for more would never get to
// the younger ones.
func inflate(w io.Writer, packed *os.File) (torn bool, err error) {
	if _, err := packed.Seek(0, io.SeekStart); err != nil {
		return false, err
	}
	unzip, err := gzip.NewReader(packed)
	if err == nil {
		_, err = io.Copy(w, unzip)
	}
	var corrupt flate.CorruptInputError
	if errors.Is(err, io.EOF) || errors.Is(err, io.ErrUnexpectedEOF) || errors.Is(err, gzip.ErrHeader) ||
		errors.Is(err, gzip.ErrChecksum) || errors.As(err, &corrupt) {
		return true, nil
	}
	return false, err
}

var crcTable = crc64.MakeTable(crc64.ECMA)

// headMax bounds the first record: 16 KiB of text, each byte escaped with six,
// and its attributes.
const headMax = 128 << 10

// head returns up to n of the text's first bytes.
func (g *generation) head(n int) []byte {
	buf := make([]byte, n)
	if g.file != nil {
		got, err := g.read(buf, 0, false)
		if err != nil {
			return nil
		}
		return buf[:got]
	}
	if _, err := g.packed.Seek(0, io.SeekStart); err != nil {
		return nil
	}
	unzip, err := gzip.NewReader(g.packed)
	if err != nil {
		return nil
	}
	got, _ := io.ReadFull(unzip, buf)
	return buf[:got]
}

// firstRecord returns the first record with its line feed, or the first headMax
// bytes where it does not end within them; nil when it is not all there yet.
func (g *generation) firstRecord() []byte {
	for _, n := range []int{1 << 10, headMax} {
		head := g.head(n)
		if i := bytes.IndexByte(head, '\n'); i >= 0 {
			return head[:i+1]
		}
		if len(head) == headMax {
			return head
		}
	}
	return nil
}

// nameLocked returns the generation's name as it goes into a position.
func (g *generation) nameLocked() record.Generation {
	if g.mark.Len > 0 {
		return g.mark
	}
	if first := g.firstRecord(); len(first) > 0 {
		g.mark.Len, g.mark.Sum = uint32(len(first)), crc64.Checksum(first, crcTable)
	} else {
		g.mark.Sum = g.birth()
	}
	return g.mark
}

// birth returns when the file was made, in nanoseconds since the Unix epoch, 0
// where the file system does not keep it (statx(2), STATX_BTIME).
func (g *generation) birth() uint64 {
	if g.file == nil {
		return 0
	}
	var st unix.Statx_t
	err := unix.Statx(int(g.file.Fd()), "", unix.AT_EMPTY_PATH, unix.STATX_BTIME, &st)
	if err != nil || st.Mask&unix.STATX_BTIME == 0 {
		return 0
	}
	return uint64(st.Btime.Sec)*1e9 + uint64(st.Btime.Nsec)
}

// is reports whether the generation is the one that a position names.
// sameInode says whether the inode must agree too: it does not after a
// compression or a copy.
func (g *generation) is(name record.Generation, sameInode bool) bool {
	if g.base > 0 {
		// What the name was made from is not in the file.
		return g.mark.Len == name.Len && g.mark.Sum == name.Sum && (!sameInode || g.inode == name.Inode)
	}
	if sameInode && g.inode != name.Inode {
		return false
	}
	if name.Len == 0 {
		born := g.birth()
		return sameInode && (name.Sum == 0 || born == 0 || name.Sum == born)
	}
	if name.Len > headMax {
		return false
	}
	head := g.head(int(name.Len))
	return len(head) == int(name.Len) && crc64.Checksum(head, crcTable) == name.Sum
}

// size returns the length of the text, 0 when it cannot be told.
func (g *generation) size() int64 {
	g.text.RLock()
	defer g.text.RUnlock()
	var stat unix.Stat_t
	if g.file == nil || unix.Fstat(g.fd, &stat) != nil {
		return 0
	}
	return g.base + stat.Size
}

// read reads up to len(b) bytes at off, less only at the end. fresh says that what
// is there was written a moment ago. The error is fs.ErrClosed where the text is not
// open.
func (g *generation) read(b []byte, off int64, fresh bool) (int, error) {
	g.text.RLock()
	defer g.text.RUnlock()
	if g.file == nil {
		return 0, fs.ErrClosed
	}
	if fresh && g.quiet {
		return nowait.ReadAt(g.fd, b, off-g.base)
	}
	for {
		n, err := unix.Pread(g.fd, b, off-g.base)
		if err != unix.EINTR {
			return max(n, 0), err
		}
	}
}

// duplicate returns another descriptor of the text. It is the caller's to close.
func (g *generation) duplicate() (*os.File, error) {
	fd, err := unix.FcntlInt(uintptr(g.fd), unix.F_DUPFD_CLOEXEC, 0)
	if err != nil {
		return nil, os.NewSyscallError("fcntl", err)
	}
	return os.NewFile(uintptr(fd), g.path), nil
}

func (g *generation) close() error {
	var err error
	for _, f := range g.detachLocked() {
		err = errors.Join(err, f.Close())
	}
	return err
}
