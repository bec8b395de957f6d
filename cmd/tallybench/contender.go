package main

import (
	"fmt"
	"net"
	"os"
	"os/exec"
	"path/filepath"
)

// target is what a contender is to do: send the log of one container to an
// address.
type target struct {
	// root is the engine's root folder, log the file below it.
	root, log string
	// address is the sink's.
	address string
	// dir is an empty folder for the contender's state.
	dir string
	// engineHost is where the fake engine listens.
	engineHost string
}

// contender is one of those that are compared.
type contender struct {
	name string
	// start starts it.
	start func(target) (*process, error)
	// ends says that it ends by itself when all is sent.
	ends bool
}

func floorContender() contender {
	return contender{name: "floor", ends: true, start: func(t target) (*process, error) {
		self, err := os.Executable()
		if err != nil {
			return nil, fmt.Errorf("starting the floor: %w", err)
		}
		return start(exec.Command(self, "floor", "-file", t.log, "-to", t.address), filepath.Join(t.dir, "output"))
	}}
}

func agentContender(name, binary string) contender {
	return contender{name: name, start: func(t target) (*process, error) { return startAgent(binary, t) }}
}

// startAgent runs an agent that ships all there is of the log.
func startAgent(binary string, t target) (*process, error) {
	cmd := exec.Command(binary,
		"--docker-root", t.root,
		"--state-dir", filepath.Join(t.dir, "state"),
		"--listen", "127.0.0.1:0",
		"syslog+tcp://"+t.address+"?backlog=true")
	cmd.Env = append(os.Environ(), "DOCKER_HOST="+t.engineHost)
	return start(cmd, filepath.Join(t.dir, "output"))
}

// rsyslogContender is rsyslog as it would be set up for this: imfile reads the
// log, a queue of its own takes large batches, omfwd sends them. It takes the
// text out of the JSON, as an agent does, only with parse; without, it sends
// each record as it stands, which is less work.
func rsyslogContender(binary string, parse bool) contender {
	name := "rsyslog"
	if parse {
		name = "rsyslog (JSON parsed)"
	}
	return contender{name: name, start: func(t target) (*process, error) {
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
		config := fmt.Sprintf(`global(workDirectory=%q maxMessageSize="64k")
module(load="imfile" mode="inotify")
%s
template(name="line" type="list") {
  constant(value="<14>1 ") property(name="timereported" dateFormat="rfc3339")
  constant(value=" host app 1234567890 - - - ") %s
}
input(type="imfile" file=%q tag="bench" ruleset="forward")
ruleset(name="forward" queue.type="FixedArray" queue.size="50000" queue.dequeueBatchSize="2048") {
  %s
  action(type="omfwd" target=%q port=%q protocol="tcp" template="line" action.resumeRetryCount="-1")
}
`, t.dir, load, text, t.log, action, host, port)
		path := filepath.Join(t.dir, "rsyslog.conf")
		if err := os.WriteFile(path, []byte(config), 0o600); err != nil {
			return nil, fmt.Errorf("starting rsyslog: %w", err)
		}
		cmd := exec.Command(binary, "-n", "-f", path, "-i", filepath.Join(t.dir, "pid"))
		return start(cmd, filepath.Join(t.dir, "output"))
	}}
}
