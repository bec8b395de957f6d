package jsonfile

import (
	"errors"
	"fmt"
	"io/fs"

	"tallyman/collector"
	"tallyman/collector/record"
)

// Driver is the name of the logging driver whose files a Root reads.
const Driver = "json-file"

var _ collector.Source = (*Root)(nil)

// Log returns the log of a container, opening it if it is not open; see
// collector.Source.
func (r *Root) Log(c *record.Container) (collector.Log, error) {
	if c.LogDriver != "" && c.LogDriver != Driver {
		return nil, fmt.Errorf("the logging driver %q leaves no file that can be read; start the container with --log-driver=%s",
			c.LogDriver, Driver)
	}
	l := r.claim(c)
	if l == nil {
		return nil, fmt.Errorf("the folder %q cannot be read: mount the engine's folder into the agent's container at the same path, or run the agent as root", r.dir)
	}
	return l, nil
}

// claim returns the log of a container whose folder is there, or was when it
// was opened; else nil.
func (r *Root) claim(c *record.Container) *Log {
	r.mu.Lock()
	e := r.logs[c.ID]
	r.mu.Unlock()
	if e == nil {
		err := r.readable(c.ID)
		if err != nil && (r.vault == nil || !r.vault.has(c.ID)) {
			return nil
		}
		e = r.open(c.ID, false)
		if errors.Is(err, fs.ErrNotExist) {
			e.log.End()
		}
	}
	e.log.SetContainer(c)
	return e.log
}

// End says that the engine has removed a container; see collector.Source.
func (r *Root) End(id string) {
	r.mu.Lock()
	e := r.logs[id]
	r.mu.Unlock()
	if e == nil {
		return
	}
	// The folder is removed before the event is sent, so what is there is a
	// container that was made anew or that the engine could not tell of.
	if err := r.readable(id); errors.Is(err, fs.ErrNotExist) {
		e.log.End()
		e.log.removed()
	}
}

// removed says that every route has been told that the container was removed. A
// copy that is kept for longer than it is needed would be delivered again after a
// restart, for positions in what is delivered are forgotten.
func (l *Log) removed() {
	l.mu.Lock()
	defer l.mu.Unlock()
	if l.told = true; l.read {
		l.finishLocked()
	}
}
