package transport

import (
	"context"
	"net"
	"sync"
	"time"
)

// interrupter ends a blocked write when a context ends, by a write deadline in
// the past. The callers of a Stream pass the same context again and again, so
// the registration is kept until another one comes: then nothing is allocated.
type interrupter struct {
	// watched is the Done channel of the registered context and stop ends the
	// registration; owned by the goroutine that writes.
	watched <-chan struct{}
	stop    func() bool

	mu sync.Mutex
	// turn numbers the registrations, so that a late call of an old one does
	// nothing; ended says that the registered context is over; conn is where
	// the deadline was last set. All guarded by mu.
	turn  uint64
	ended bool
	conn  net.Conn
}

// watch makes ctx the one that interrupts writes.
func (i *interrupter) watch(ctx context.Context) {
	if ctx.Done() == i.watched {
		return
	}
	i.release()
	i.watched = ctx.Done()
	if i.watched == nil {
		return
	}
	i.mu.Lock()
	turn := i.turn
	i.mu.Unlock()
	i.stop = context.AfterFunc(ctx, func() { i.interrupt(turn) })
}

func (i *interrupter) interrupt(turn uint64) {
	i.mu.Lock()
	defer i.mu.Unlock()
	if turn != i.turn {
		return
	}
	i.ended = true
	if i.conn != nil {
		// An error says that the connection is closed, and so the write over.
		_ = i.conn.SetWriteDeadline(time.Unix(1, 0))
	}
}

// arm gives the next write on conn a deadline.
func (i *interrupter) arm(conn net.Conn, timeout time.Duration) error {
	i.mu.Lock()
	defer i.mu.Unlock()
	i.conn = conn
	if i.ended {
		return conn.SetWriteDeadline(time.Unix(1, 0))
	}
	return conn.SetWriteDeadline(time.Now().Add(timeout))
}

// release forgets the context and the connection.
func (i *interrupter) release() {
	if i.stop != nil {
		i.stop()
	}
	i.watched, i.stop = nil, nil
	i.mu.Lock()
	i.turn++
	i.ended, i.conn = false, nil
	i.mu.Unlock()
}
