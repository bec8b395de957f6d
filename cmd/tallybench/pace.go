package main

import (
	"context"
	"errors"
	"io"
	"os"
	"syscall"
	"time"
	"unsafe"

	"golang.org/x/sys/unix"
)

// What gen costs is taken from what is measured beside it. A Go timer, and each
// system call that may block, wakes a second thread, which costs more than the
// line. So gen waits for a timer of the kernel's in the poller, and makes only
// system calls that end at once, which the scheduler need not know of.

// alarm waits for times until its context ends.
type alarm struct {
	file *os.File
	conn syscall.RawConn
	stop func() bool
}

func newAlarm(ctx context.Context) (*alarm, error) {
	fd, err := unix.TimerfdCreate(unix.CLOCK_MONOTONIC, unix.TFD_NONBLOCK|unix.TFD_CLOEXEC)
	if err != nil {
		return nil, os.NewSyscallError("timerfd_create", err)
	}
	a := &alarm{file: os.NewFile(uintptr(fd), "timer")}
	if a.conn, err = a.file.SyscallConn(); err != nil {
		return nil, errors.Join(err, a.file.Close())
	}
	a.stop = context.AfterFunc(ctx, func() {
		_ = a.file.SetReadDeadline(time.Unix(1, 0)) // It may be closed already.
	})
	return a, nil
}

// wait waits for a time, but not beyond the end of the context.
func (a *alarm) wait(due time.Time) error {
	d := time.Until(due)
	if d <= 0 {
		return nil
	}
	spec := unix.ItimerSpec{Value: unix.NsecToTimespec(int64(d))}
	var failed syscall.Errno
	err := a.conn.Control(func(fd uintptr) {
		_, _, failed = unix.RawSyscall6(unix.SYS_TIMERFD_SETTIME, fd, 0, uintptr(unsafe.Pointer(&spec)), 0, 0, 0)
	})
	if err == nil && failed != 0 {
		err = os.NewSyscallError("timerfd_settime", failed)
	}
	if err != nil {
		return err
	}
	var expired [8]byte
	err = a.conn.Read(func(fd uintptr) bool {
		_, _, failed = unix.RawSyscall(unix.SYS_READ, fd, uintptr(unsafe.Pointer(&expired)), uintptr(len(expired)))
		return failed != unix.EAGAIN
	})
	if err == nil && failed != 0 {
		err = os.NewSyscallError("read", failed)
	}
	if errors.Is(err, os.ErrDeadlineExceeded) {
		return nil
	}
	return err
}

func (a *alarm) close() error {
	a.stop()
	return a.file.Close()
}

// pipeWriter writes to a pipe.
type pipeWriter struct{ fd int }

// cheapWriter returns what writes to the same place as w at the least cost.
func cheapWriter(w io.Writer) io.Writer {
	file, ok := w.(*os.File)
	if !ok {
		return w
	}
	var st unix.Stat_t
	fd := int(file.Fd())
	if unix.Fstat(fd, &st) != nil || st.Mode&unix.S_IFMT != unix.S_IFIFO {
		return w
	}
	return pipeWriter{fd}
}

// pipeBuf is how much a pipe takes without blocking when there is room in it
// (pipe(7), PIPE_BUF).
const pipeBuf = 4096

func (w pipeWriter) Write(b []byte) (int, error) {
	written := 0
	for written < len(b) {
		n, err := w.write(b[written:])
		switch err {
		case nil:
			written += n
		case unix.EINTR:
		case unix.EAGAIN:
			// Who shares the pipe has made it non-blocking.
			_, err := unix.Poll([]unix.PollFd{{Fd: int32(w.fd), Events: unix.POLLOUT}}, -1)
			if err != nil && err != unix.EINTR {
				return written, os.NewSyscallError("poll", err)
			}
		default:
			return written, os.NewSyscallError("write", err)
		}
	}
	return written, nil
}

// write writes some of b, which is not empty.
func (w pipeWriter) write(b []byte) (int, error) {
	if len(b) > pipeBuf || !w.hasRoom() {
		return unix.Write(w.fd, b)
	}
	n, _, failed := unix.RawSyscall(unix.SYS_WRITE, uintptr(w.fd), uintptr(unsafe.Pointer(&b[0])), uintptr(len(b)))
	if failed != 0 {
		return 0, failed
	}
	return int(n), nil
}

// hasRoom reports whether the pipe takes pipeBuf bytes now.
func (w pipeWriter) hasRoom() bool {
	poll := unix.PollFd{Fd: int32(w.fd), Events: unix.POLLOUT}
	var now unix.Timespec
	n, _, failed := unix.RawSyscall6(unix.SYS_PPOLL, uintptr(unsafe.Pointer(&poll)), 1, uintptr(unsafe.Pointer(&now)), 0, 0, 0)
	return failed == 0 && n == 1 && poll.Revents == unix.POLLOUT
}
