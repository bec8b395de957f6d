package main

import (
	"fmt"
	"net"
	"os"
	"os/exec"
	"path/filepath"
	"strings"
	"time"
)

// floorName is the contender that others are compared with.
const floorName = "floor"

const rsyslogName = "rsyslog"

// target is what a contender is to do: send logs to an address.
type target struct {
	// root is the engine's root folder, log a file below it.
	root, log string
	// address is the sink's.
	address string
	// dir is an empty folder for the contender's state.
	dir string
	// engineHost is where the engine listens; empty for what the environment says.
	engineHost string
	// host is the root folder of the containers' host; empty for this one's.
	host string
}

// floorDelay is for how long the floor gathers live lines: the agent's default.
const floorDelay = 5 * time.Millisecond

func startFloor(t target) (*process, error) { return floorOf(t, "-file", t.log) }

// startFollower runs the floor on live logs.
func startFollower(t target, logs []string) (*process, error) {
	args := []string{"-follow", floorDelay.String()}
	for _, log := range logs {
		args = append(args, "-file", log)
	}
	return floorOf(t, args...)
}

func floorOf(t target, args ...string) (*process, error) {
	self, err := os.Executable()
	if err != nil {
		return nil, fmt.Errorf("starting the floor: %w", err)
	}
	cmd := exec.Command(self, append([]string{"floor", "-to", t.address}, args...)...)
	return start(cmd, filepath.Join(t.dir, "output"))
}

// startAgent runs an agent with these routes.
func startAgent(binary string, t target, listen string, routes ...string) (*process, error) {
	args := []string{"--state-dir", filepath.Join(t.dir, "state"), "--listen", listen}
	if t.root != "" {
		args = append(args, "--docker-root", t.root)
	}
	if t.host != "" {
		args = append(args, "--rootfs", t.host)
	}
	cmd := exec.Command(binary, append(args, routes...)...)
	cmd.Env = os.Environ()
	if t.engineHost != "" {
		cmd.Env = append(cmd.Env, "DOCKER_HOST="+t.engineHost)
	}
	return start(cmd, filepath.Join(t.dir, "output"))
}

// anyPort has an agent listen where nobody asks it.
const anyPort = "127.0.0.1:0"

// startRsyslog runs rsyslog as it would be set up for this: imfile reads the
// logs, a queue of its own takes large batches, omfwd sends them. It sends each
// record as it stands; with parse it takes the text out of the JSON, as an agent
// does, which is more work. With fromEnd it starts at the logs' ends.
func startRsyslog(binary string, t target, logs []string, parse, fromEnd bool) (*process, error) {
	host, port, err := net.SplitHostPort(t.address)
	if err != nil {
		return nil, fmt.Errorf("starting rsyslog: %w", err)
	}
	load, action, text := "", "", `property(name="msg")`
	if parse {
		load = `module(load="mmjsonparse")`
		action = `action(type="mmjsonparse" cookie="")`
		text = `property(name="$!log")`
	}
	tail := "off"
	if fromEnd {
		tail = "on"
	}
	var inputs strings.Builder
	for _, log := range logs {
		fmt.Fprintf(&inputs, "input(type=\"imfile\" file=%q tag=\"bench\" ruleset=\"forward\" freshStartTail=%q)\n", log, tail)
	}
	config := fmt.Sprintf(`global(workDirectory=%q maxMessageSize="64k")
module(load="imfile" mode="inotify")
%s
template(name="line" type="list") {
  constant(value="<14>1 ") property(name="timereported" dateFormat="rfc3339")
  constant(value=" host app 1234567890 - - - ") %s
}
%sruleset(name="forward" queue.type="FixedArray" queue.size="50000" queue.dequeueBatchSize="2048") {
  %s
  action(type="omfwd" target=%q port=%q protocol="tcp" template="line" action.resumeRetryCount="-1")
}
`, t.dir, load, text, inputs.String(), action, host, port)
	path := filepath.Join(t.dir, "rsyslog.conf")
	if err := os.WriteFile(path, []byte(config), 0o600); err != nil {
		return nil, fmt.Errorf("starting rsyslog: %w", err)
	}
	cmd := exec.Command(binary, "-n", "-f", path, "-i", filepath.Join(t.dir, "pid"))
	return start(cmd, filepath.Join(t.dir, "output"))
}
