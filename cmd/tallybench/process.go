package main

import (
	"bufio"
	"context"
	"encoding/json"
	"errors"
	"fmt"
	"io"
	"os"
	"os/exec"
	"sync"
	"syscall"
	"time"
)

// process is a program under measurement.
type process struct {
	cmd *exec.Cmd
	// log holds what the program says, for when it fails.
	log *os.File
	// ended is closed when the program has ended, err is then how.
	ended chan struct{}
	err   error
	// watching is the goroutine that watches the memory.
	watching sync.WaitGroup
	// peak is the highest resident memory seen, in bytes; read it after ended.
	peak int64
}

// start runs a program with its output in a file.
func start(cmd *exec.Cmd, logPath string) (*process, error) {
	log, err := os.Create(logPath)
	if err != nil {
		return nil, fmt.Errorf("starting %q: %w", cmd.Path, err)
	}
	cmd.Stdout, cmd.Stderr = log, log
	// A bench that is killed takes its programs with it.
	cmd.SysProcAttr = &syscall.SysProcAttr{Pdeathsig: syscall.SIGKILL}
	if err := cmd.Start(); err != nil {
		return nil, errors.Join(fmt.Errorf("starting %q: %w", cmd.Path, err), log.Close())
	}
	p := &process{cmd: cmd, log: log, ended: make(chan struct{})}
	p.watching.Go(p.watch)
	go func() {
		p.err = cmd.Wait()
		close(p.ended)
	}()
	return p, nil
}

// watch notes the peak of the resident memory until the program has ended. The
// kernel keeps the peak itself, but the one it hands to a parent begins with the
// parent's own memory.
func (p *process) watch() {
	tick := time.NewTicker(20 * time.Millisecond)
	defer tick.Stop()
	for {
		peak, _ := memoryOf(p.cmd.Process.Pid)
		p.peak = max(p.peak, peak)
		select {
		case <-tick.C:
		case <-p.ended:
			return
		}
	}
}

// stop asks the program to end and waits for it. One that does not end is
// killed, which is an error.
func (p *process) stop() error {
	_ = p.cmd.Process.Signal(syscall.SIGTERM) // It may have ended by itself.
	select {
	case <-p.ended:
	case <-time.After(20 * time.Second):
		_ = p.cmd.Process.Kill() // It may have ended just now.
		<-p.ended
		p.err = errors.New("it did not end when it was told to")
	}
	p.watching.Wait()
	return errors.Join(p.err, p.log.Close())
}

// cpu returns the CPU time of an ended program, its own and the kernel's for it.
func (p *process) cpu() time.Duration {
	if usage, ok := p.cmd.ProcessState.SysUsage().(*syscall.Rusage); ok {
		return cpuOf(usage)
	}
	return 0
}

// during returns how much CPU time the program takes while something is done.
func (p *process) during(do func() error) (time.Duration, error) {
	before, err := accountOf(p.cmd.Process.Pid)
	if err != nil {
		return 0, err
	}
	if err := do(); err != nil {
		return 0, err
	}
	after, err := accountOf(p.cmd.Process.Pid)
	return after.cpu - before.cpu, err
}

// tail returns the end of what the program has said.
func (p *process) tail() string {
	said, err := os.ReadFile(p.log.Name())
	if err != nil {
		return err.Error()
	}
	return string(said[max(0, len(said)-2000):])
}

// sinkProcess is a sink in a process of its own, so that its work is not
// counted.
type sinkProcess struct {
	cmd     *exec.Cmd
	out     *bufio.Reader
	address string
	// complete gets an error or nil when everything has come, and is closed by
	// the goroutine that waits for that.
	complete chan error
}

// startSink runs this program's sink. waits says that the arguments tell it what
// is to come; else complete is closed from the start.
func startSink(ctx context.Context, waits bool, args ...string) (*sinkProcess, error) {
	self, err := os.Executable()
	if err != nil {
		return nil, fmt.Errorf("starting the sink: %w", err)
	}
	cmd := exec.CommandContext(ctx, self, append([]string{"sink", "-stay"}, args...)...)
	cmd.Stderr = os.Stderr
	cmd.SysProcAttr = &syscall.SysProcAttr{Pdeathsig: syscall.SIGKILL}
	out, err := cmd.StdoutPipe()
	if err != nil {
		return nil, fmt.Errorf("starting the sink: %w", err)
	}
	if err := cmd.Start(); err != nil {
		return nil, fmt.Errorf("starting the sink: %w", err)
	}
	s := &sinkProcess{cmd: cmd, out: bufio.NewReader(out), complete: make(chan error, 1)}
	var first sinkEvent
	if err := s.next(&first); err != nil {
		return nil, errors.Join(fmt.Errorf("starting the sink: %w", err), cmd.Wait())
	}
	s.address = first.Address
	if !waits {
		close(s.complete)
		return s, nil
	}
	go func() {
		defer close(s.complete)
		var second sinkEvent
		err := s.next(&second)
		if err == nil && !second.Complete {
			err = errors.New("the sink ended early")
		}
		s.complete <- err
	}()
	return s, nil
}

// next decodes one line of what the sink prints.
func (s *sinkProcess) next(into any) error {
	line, err := s.out.ReadBytes('\n')
	if err != nil {
		return err
	}
	return json.Unmarshal(line, into)
}

// report ends the sink and returns what it received. complete must have been
// received from.
func (s *sinkProcess) report() (sinkReport, error) {
	var r sinkReport
	_ = s.cmd.Process.Signal(syscall.SIGTERM) // It may have ended by itself.
	err := s.next(&r)
	_, drained := io.Copy(io.Discard, s.out)
	if err := errors.Join(err, drained, s.cmd.Wait()); err != nil {
		return r, fmt.Errorf("reading the sink's report: %w", err)
	}
	return r, nil
}

// kill ends the sink when it is of no more use.
func (s *sinkProcess) kill() {
	_ = s.cmd.Process.Kill() // It may have ended by itself.
	for range s.complete {
	}
	_ = s.cmd.Wait() // It was killed.
}
