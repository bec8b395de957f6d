package jsonfile

import (
	"errors"
	"os"
	"sync/atomic"
	"syscall"
	"time"

	"golang.org/x/sys/unix"

	"tallyman/collector/nowait"
)

// notices is an inotify instance of which one goroutine takes the events: it waits
// for them, or rests for a time in which they wake nobody.
//
// Both waits are Go's for an epoll instance that holds inotify and a timerfd. In Go's
// own poller a descriptor wakes a thread with each event, also when nobody reads,
// and a timer of 5 ms wakes one after 4 ms, again after 5, and a second thread
// beside (netpoll_epoll.go and sysmon in Go's runtime). Where one waking costs as
// much as some thousand lines, that is most of what a busy log costs.
type notices struct {
	epoll *os.File
	conn  syscall.RawConn
	// armed says that inotify is in it and wakes.
	armed bool
	// inotify and timer are unknown to Go's poller.
	inotify, timer     *os.File
	notifier           syscall.RawConn
	inotifyFD, timerFD uintptr
	closed             atomic.Bool

	// take reads events into buffer, and due reports whether the time has come; n
	// and err are what came of reading.
	take, due func(epoll uintptr) bool
	buffer    []byte
	n         int
	err       error
}

func newNotices() (_ *notices, err error) {
	w := &notices{buffer: make([]byte, 64<<10)}
	defer func() {
		if err != nil {
			w.release()
		}
	}()
	if w.inotify, err = unpolled(unix.InotifyInit1(unix.IN_CLOEXEC)); err != nil {
		return nil, os.NewSyscallError("inotify_init1", err)
	}
	if w.timer, err = unpolled(unix.TimerfdCreate(unix.CLOCK_MONOTONIC, unix.TFD_CLOEXEC)); err != nil {
		return nil, os.NewSyscallError("timerfd_create", err)
	}
	w.inotifyFD, w.timerFD = w.inotify.Fd(), w.timer.Fd()
	if w.notifier, err = w.inotify.SyscallConn(); err != nil {
		return nil, err
	}
	epoll, err := unix.EpollCreate1(unix.EPOLL_CLOEXEC)
	if err != nil {
		return nil, os.NewSyscallError("epoll_create1", err)
	}
	err = errors.Join(epollAdd(uintptr(epoll), w.timerFD), unix.SetNonblock(epoll, true))
	w.epoll = os.NewFile(uintptr(epoll), "notices")
	if err != nil {
		return nil, os.NewSyscallError("epoll_ctl", err)
	}
	if w.conn, err = w.epoll.SyscallConn(); err != nil {
		return nil, err
	}
	w.take = func(uintptr) bool {
		w.n, w.err = nowait.Read(w.inotifyFD, w.buffer)
		return w.err != unix.EAGAIN
	}
	var count [8]byte
	w.due = func(uintptr) bool {
		_, err := nowait.Read(w.timerFD, count[:])
		return err != unix.EAGAIN
	}
	return w, nil
}

// unpolled makes a file of a new descriptor, in non-blocking mode and unknown to Go's
// poller.
func unpolled(fd int, err error) (*os.File, error) {
	if err != nil {
		return nil, err
	}
	// Only what is in that mode already is given to the poller.
	file := os.NewFile(uintptr(fd), "notices")
	if err := unix.SetNonblock(fd, true); err != nil {
		return nil, errors.Join(err, file.Close())
	}
	return file, nil
}

// wait waits for events and returns them. They are good until the next are taken. The
// error is os.ErrClosed after close.
func (w *notices) wait() ([]byte, error) {
	if err := w.arm(true); err != nil {
		return nil, err
	}
	if err := w.conn.Read(w.take); err != nil {
		return nil, w.ended(err)
	}
	return w.buffer[:w.n], os.NewSyscallError("read", w.err)
}

// rest waits for a time above zero, whatever events come. The error is os.ErrClosed
// after close.
func (w *notices) rest(d time.Duration) error {
	if err := w.arm(false); err != nil {
		return err
	}
	if err := nowait.SetTimer(w.timerFD, d); err != nil {
		return os.NewSyscallError("timerfd_settime", err)
	}
	if err := w.conn.Read(w.due); err != nil {
		return w.ended(err)
	}
	return nil
}

// arm says whether events wake. What is in an epoll instance without a flag wakes
// all the same, since inotify does not say what for (ep_poll_callback in the
// kernel's fs/eventpoll.c).
func (w *notices) arm(armed bool) error {
	if w.armed == armed {
		return nil
	}
	change := nowait.EpollRemove
	if armed {
		change = epollAdd
	}
	var failed error
	err := w.conn.Control(func(epoll uintptr) { failed = change(epoll, w.inotifyFD) })
	if err != nil {
		return w.ended(err)
	}
	w.armed = armed
	return os.NewSyscallError("epoll_ctl", failed)
}

// epollAdd has an epoll instance wait for a descriptor to be readable. One that is in
// another is changed under a lock of the whole system's, so this may sleep.
func epollAdd(epoll, fd uintptr) error {
	return unix.EpollCtl(int(epoll), unix.EPOLL_CTL_ADD, int(fd), &unix.EpollEvent{Events: unix.EPOLLIN, Fd: int32(fd)})
}

// ended returns what an error of a wait says.
func (w *notices) ended(err error) error {
	if w.closed.Load() {
		return os.ErrClosed // The package os has no name for what it says here.
	}
	return err
}

// more returns the events that have come since, without waiting.
func (w *notices) more() []byte {
	w.take(0)
	return w.buffer[:w.n]
}

// longestEvent is the length of an event with a name of 255 bytes (inotify(7)).
const longestEvent = unix.SizeofInotifyEvent + 255 + 1

// all reports whether the events that were returned last were all there were: the
// kernel gives as many as there is room for.
func (w *notices) all() bool { return len(w.buffer)-w.n >= longestEvent }

// control calls f with inotify's descriptor. It may be called by any goroutine.
func (w *notices) control(f func(fd int)) error {
	return w.notifier.Control(func(fd uintptr) { f(int(fd)) })
}

// close ends a wait, and all that follow. It may be called by any goroutine.
func (w *notices) close() {
	w.closed.Store(true)
	// Nothing is written to it, so closing cannot lose anything.
	_ = w.epoll.Close()
}

// release closes everything. Nothing but control and close may be called afterwards.
func (w *notices) release() {
	for _, file := range []*os.File{w.epoll, w.inotify, w.timer} {
		_ = file.Close() // As above; the first may be closed already.
	}
}
