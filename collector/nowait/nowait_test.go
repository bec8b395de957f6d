//go:build linux

package nowait

import (
	"bytes"
	"errors"
	"net"
	"os"
	"path/filepath"
	"syscall"
	"testing"
	"time"

	"golang.org/x/sys/unix"
)

// What is in memory, what is not and what is in part are read alike, also behind
// 4 GiB, and less than is asked for only at the end.
func TestReadAt(t *testing.T) {
	file, err := os.Create(filepath.Join(t.TempDir(), "f"))
	if err != nil {
		t.Fatal(err)
	}
	defer func() { _ = file.Close() }()
	const far = 5 << 30
	page := int64(os.Getpagesize())
	text := bytes.Repeat([]byte("0123456789abcde"), 20_000)
	for _, offset := range []int64{0, far} {
		if _, err := file.WriteAt(text, offset); err != nil {
			t.Fatal(err)
		}
	}
	if err := file.Sync(); err != nil {
		t.Fatal(err)
	}
	fd := int(file.Fd())
	for _, offset := range []int64{0, 7, far, far + 7} {
		want := text[offset%far:]
		for _, cold := range []int64{-1, 0, page, 3 * page, 40 * page} {
			// Of what is asked for so much is in memory.
			if cold >= 0 {
				if err := unix.Fadvise(fd, offset/far*far+cold, 0, unix.FADV_DONTNEED); err != nil {
					t.Fatal(err)
				}
			}
			got := make([]byte, len(want))
			if n, err := ReadAt(fd, got, offset); n != len(want) || err != nil || !bytes.Equal(got, want) {
				t.Errorf("at %d, cold from %d: %d of %d bytes, error %v", offset, cold, n, len(want), err)
			}
		}
	}
	got := make([]byte, 2*len(text))
	if n, err := ReadAt(fd, got, far+10); n != len(text)-10 || err != nil || !bytes.Equal(got[:n], text[10:]) {
		t.Errorf("at the end %d bytes, error %v", n, err)
	}
	if n, err := ReadAt(fd, got, far+int64(len(text))); n != 0 || err != nil {
		t.Errorf("behind the end %d bytes, error %v", n, err)
	}
	if _, err := ReadAt(-1, got, 0); !errors.Is(err, unix.EBADF) {
		t.Errorf("without a file the error is %v", err)
	}
}

// A pipe takes what it has room for and gives what it has.
func TestReadAndWrite(t *testing.T) {
	var fds [2]int
	if err := unix.Pipe2(fds[:], unix.O_NONBLOCK|unix.O_CLOEXEC); err != nil {
		t.Fatal(err)
	}
	from, to := uintptr(fds[0]), uintptr(fds[1])
	defer func() { _, _ = unix.Close(fds[0]), unix.Close(fds[1]) }()
	buf := make([]byte, 1<<20)
	if n, err := Read(from, buf); n != 0 || err != unix.EAGAIN {
		t.Fatalf("an empty pipe gives %d bytes, error %v", n, err)
	}
	taken, err := Write(to, buf)
	if taken <= 0 || taken == len(buf) || err != nil {
		t.Fatalf("a pipe takes %d bytes, error %v", taken, err)
	}
	if n, err := Write(to, buf); n != 0 || err != unix.EAGAIN {
		t.Fatalf("a full pipe takes %d bytes, error %v", n, err)
	}
	if n, err := Read(from, buf); n != taken || err != nil {
		t.Fatalf("it gives %d of %d bytes, error %v", n, taken, err)
	}
	if _, err := Write(from, buf); err != unix.EBADF {
		t.Fatalf("writing to the end for reading: %v", err)
	}
}

// The kernel's answers are those that the package unix has.
func TestSocketQuestions(t *testing.T) {
	listener, err := net.Listen("tcp", "127.0.0.1:0")
	if err != nil {
		t.Fatal(err)
	}
	defer func() { _ = listener.Close() }()
	conn, err := net.Dial("tcp", listener.Addr().String())
	if err != nil {
		t.Fatal(err)
	}
	defer func() { _ = conn.Close() }()
	raw, err := conn.(syscall.Conn).SyscallConn()
	if err != nil {
		t.Fatal(err)
	}
	if err := raw.Control(func(fd uintptr) {
		want, wantErr := unix.GetsockoptInt(int(fd), unix.SOL_SOCKET, unix.SO_SNDBUF)
		got, err := SocketOption(fd, unix.SOL_SOCKET, unix.SO_SNDBUF)
		if n := int(got[0]) | int(got[1])<<8 | int(got[2])<<16 | int(got[3])<<24; n != want || err != nil || wantErr != nil {
			t.Errorf("the buffer has %d bytes, want %d; errors %v and %v", n, want, err, wantErr)
		}
		if n, err := Ioctl(fd, unix.SIOCOUTQ); n != 0 || err != nil {
			t.Errorf("%d bytes are unacknowledged, error %v", n, err)
		}
		if _, err := Ioctl(fd, 1); err == nil {
			t.Error("a question that there is none of has an answer")
		}
		if _, err := SocketOption(fd, unix.SOL_SOCKET, 1<<20); err != unix.ENOPROTOOPT {
			t.Errorf("an option that there is none of: %v", err)
		}
	}); err != nil {
		t.Fatal(err)
	}
}

// A timer's time comes once, and what an epoll instance holds can be readable in it.
func TestTimerInEpoll(t *testing.T) {
	timer, err := unix.TimerfdCreate(unix.CLOCK_MONOTONIC, unix.TFD_CLOEXEC|unix.TFD_NONBLOCK)
	if err != nil {
		t.Fatal(err)
	}
	defer func() { _ = unix.Close(timer) }()
	epoll, err := unix.EpollCreate1(unix.EPOLL_CLOEXEC)
	if err != nil {
		t.Fatal(err)
	}
	defer func() { _ = unix.Close(epoll) }()
	ready := func(wait int) bool {
		t.Helper()
		n, err := unix.EpollWait(epoll, make([]unix.EpollEvent, 1), wait)
		if err != nil {
			t.Fatal(err)
		}
		return n == 1
	}
	if err := unix.EpollCtl(epoll, unix.EPOLL_CTL_ADD, timer, &unix.EpollEvent{Events: unix.EPOLLIN}); err != nil || ready(0) {
		t.Fatalf("ready before its time, or %v", err)
	}
	var count [8]byte
	for range 2 {
		if err := SetTimer(uintptr(timer), time.Millisecond); err != nil || !ready(10_000) {
			t.Fatalf("not ready, or %v", err)
		}
		if n, err := Read(uintptr(timer), count[:]); n != len(count) || err != nil {
			t.Fatalf("%d bytes, %v", n, err)
		}
		if _, err := Read(uintptr(timer), count[:]); !errors.Is(err, unix.EAGAIN) || ready(5) {
			t.Fatalf("its time came twice: %v", err)
		}
	}
	if err := SetTimer(uintptr(timer), time.Microsecond); err != nil {
		t.Fatal(err)
	}
	if err := EpollRemove(uintptr(epoll), uintptr(timer)); err != nil || ready(5) {
		t.Fatalf("ready though it was removed, or %v", err)
	}
	if err := EpollRemove(uintptr(epoll), uintptr(timer)); !errors.Is(err, unix.ENOENT) {
		t.Errorf("removed twice: %v", err)
	}
	if err := SetTimer(^uintptr(0), time.Second); !errors.Is(err, unix.EBADF) {
		t.Errorf("without a descriptor: %v", err)
	}
}
