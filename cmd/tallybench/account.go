package main

import (
	"bytes"
	"errors"
	"fmt"
	"os"
	"path/filepath"
	"strconv"
	"strings"
	"time"
)

// account is what the kernel has booked for a process so far.
type account struct {
	// cpu is the time that its threads were on a processor.
	cpu time.Duration
	// wakes is how often they went to sleep and were woken again.
	wakes int64
}

// accountOf reads a running process's account, thread by thread: schedstat has
// nanoseconds, where a process's own stat has hundredths of a second.
func accountOf(pid int) (account, error) {
	var a account
	tasks, err := filepath.Glob(fmt.Sprintf("/proc/%d/task/[0-9]*", pid))
	if err == nil && len(tasks) == 0 {
		err = os.ErrNotExist
	}
	if err != nil {
		return a, fmt.Errorf("reading the account of process %d: %w", pid, err)
	}
	for _, task := range tasks {
		stat, err := os.ReadFile(filepath.Join(task, "schedstat"))
		status, statusErr := os.ReadFile(filepath.Join(task, "status"))
		if err := errors.Join(err, statusErr); err != nil {
			// A thread may have ended. The agent's do not.
			continue
		}
		cpu, _, _ := strings.Cut(string(stat), " ")
		ns, _ := strconv.ParseInt(cpu, 10, 64)
		a.cpu += time.Duration(ns)
		a.wakes += statusNumber(status, "voluntary_ctxt_switches")
	}
	return a, nil
}

// statusNumber returns a number of a file like /proc/PID/status, 0 when it is not
// there.
func statusNumber(status []byte, key string) int64 {
	_, rest, _ := bytes.Cut(status, []byte("\n"+key+":"))
	line, _, _ := strings.Cut(string(rest), "\n")
	value, _, _ := strings.Cut(strings.TrimSpace(line), " ")
	n, _ := strconv.ParseInt(value, 10, 64)
	return n
}

// memoryOf returns a process's peak and present resident memory in bytes, 0 when
// it has ended.
func memoryOf(pid int) (peak, now int64) {
	status, err := os.ReadFile("/proc/" + strconv.Itoa(pid) + "/status")
	if err != nil {
		return 0, 0
	}
	return statusNumber(status, "VmHWM") << 10, statusNumber(status, "VmRSS") << 10
}

// processNamed returns the process of a command, 0 when there is none or it
// cannot be seen.
func processNamed(command string) int {
	files, _ := filepath.Glob("/proc/[0-9]*/comm") // The pattern is a good one.
	for _, file := range files {
		name, err := os.ReadFile(file)
		if err == nil && strings.TrimSpace(string(name)) == command {
			pid, _ := strconv.Atoi(filepath.Base(filepath.Dir(file)))
			return pid
		}
	}
	return 0
}
