//go:build linux

// Package nowait makes system calls that do not sleep, and tells Go's scheduler
// nothing of them.
//
// Any other call may sleep, so Go has a thread (sysmon in runtime/proc.go) that
// takes the processor from a goroutine whose call lasts. The first call after a
// rest wakes it, and then it looks every 20 µs. To copy 256 KiB takes longer: an
// agent that does little but read and write would spend a tenth of its CPU time
// on that thread, and start others to go on with while a call is all but over.
// Here the goroutine keeps its processor, as it does while it computes. That is
// good only for calls that copy what there is and never wait for a disk or a peer.
package nowait

import (
	"os"
	"syscall"
	"time"
	"unsafe"

	"golang.org/x/sys/unix"
)

// Read reads from a descriptor in non-blocking mode, see read(2). The error is a
// syscall.Errno: EAGAIN when there is nothing to read.
func Read(fd uintptr, p []byte) (int, error) {
	for {
		n, _, errno := syscall.RawSyscall(unix.SYS_READ, fd, uintptr(unsafe.Pointer(unsafe.SliceData(p))), uintptr(len(p)))
		if errno != unix.EINTR {
			return result(n, errno)
		}
	}
}

// Write writes to a descriptor in non-blocking mode, see write(2), and returns how
// many bytes were taken. The error is a syscall.Errno: EAGAIN when there is no room.
func Write(fd uintptr, p []byte) (int, error) {
	for {
		n, _, errno := syscall.RawSyscall(unix.SYS_WRITE, fd, uintptr(unsafe.Pointer(unsafe.SliceData(p))), uintptr(len(p)))
		if errno != unix.EINTR {
			return result(n, errno)
		}
	}
}

// ReadAt reads from a regular file at an offset, see pread(2): less than len(p) only
// at the end of the file. It is for what was written a moment ago: that is in
// memory, and is read as this package does it (RWF_NOWAIT in preadv2(2)). What is
// not is read in the ordinary way; but Linux 5.10 and later begin already with
// the first to fetch it, which may sleep, if not for the disk's answer. The file is to be
// open with O_NOATIME: to note the time of access is to write. The error is a
// syscall.Errno.
func ReadAt(fd int, p []byte, offset int64) (int, error) {
	vector := unix.Iovec{Base: unsafe.SliceData(p)}
	vector.SetLen(len(p))
	r, _, errno := syscall.RawSyscall6(unix.SYS_PREADV2, uintptr(fd), uintptr(unsafe.Pointer(&vector)), 1,
		uintptr(offset), uintptr(offset>>32), unix.RWF_NOWAIT) // On 64 bits the first half has all.
	n := 0
	if errno == 0 {
		n = int(r)
	}
	if n == len(p) || n > 0 && (offset+int64(n))%int64(os.Getpagesize()) != 0 {
		// Memory has whole pages: where a reading ends within one, the file does.
		return n, nil
	}
	for {
		k, err := unix.Pread(fd, p[n:], offset+int64(n))
		if err != unix.EINTR {
			return n + max(k, 0), err
		}
	}
}

// Ioctl asks a descriptor for a number, see ioctl(2). The error is a syscall.Errno.
func Ioctl(fd uintptr, request uint) (uint32, error) {
	var value uint32
	_, _, errno := syscall.RawSyscall(unix.SYS_IOCTL, fd, uintptr(request), uintptr(unsafe.Pointer(&value)))
	_, err := result(0, errno)
	return value, err
}

// SocketOption returns the first four bytes of a socket's option, see
// getsockopt(2). The error is a syscall.Errno.
func SocketOption(fd uintptr, level, name int) (value [4]byte, err error) {
	length := uint32(len(value))
	_, _, errno := syscall.RawSyscall6(unix.SYS_GETSOCKOPT, fd, uintptr(level), uintptr(name),
		uintptr(unsafe.Pointer(&value)), uintptr(unsafe.Pointer(&length)), 0)
	_, err = result(0, errno)
	return value, err
}

// SetTimer has a timerfd's time come once, after d, see timerfd_settime(2). The error
// is a syscall.Errno.
func SetTimer(fd uintptr, d time.Duration) error {
	timer := unix.ItimerSpec{Value: unix.NsecToTimespec(int64(d))}
	_, _, errno := syscall.RawSyscall6(unix.SYS_TIMERFD_SETTIME, fd, 0, uintptr(unsafe.Pointer(&timer)), 0, 0, 0)
	_, err := result(0, errno)
	return err
}

// EpollRemove has an epoll instance wait for a descriptor no longer, see
// epoll_ctl(2). The error is a syscall.Errno.
func EpollRemove(epoll, fd uintptr) error {
	var event unix.EpollEvent // Not looked at, but before Linux 2.6.9 it had to be there.
	_, _, errno := syscall.RawSyscall6(unix.SYS_EPOLL_CTL, epoll, unix.EPOLL_CTL_DEL, fd, uintptr(unsafe.Pointer(&event)), 0, 0)
	_, err := result(0, errno)
	return err
}

func result(n uintptr, errno syscall.Errno) (int, error) {
	if errno != 0 {
		return 0, errno
	}
	return int(n), nil
}
