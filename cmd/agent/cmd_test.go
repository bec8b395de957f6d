package agent

import (
	"bufio"
	"bytes"
	"context"
	"encoding/json"
	"fmt"
	"math"
	"os/exec"
	"path/filepath"
	"strconv"
	"strings"
	"testing"
	"time"

	"github.com/docker/docker/api/types/container"
	"github.com/docker/go-units"

	"tallyman/cmd/agent/api"
)

// tallyman runs a command as a user would, without an environment but the given.
func tallyman(ctx context.Context, env map[string]string, args ...string) (code int, stdout, stderr string) {
	var out, problems lockedBuffer
	code = run(ctx, testBuild(), args, func(name string) (string, bool) { v, ok := env[name]; return v, ok }, &out, &problems)
	return code, out.String(), problems.String()
}

// TestHelp: who asks for help gets it, wherever among the flags.
func TestHelp(t *testing.T) {
	for _, args := range []string{"help", "--help", "-h", "check --help", "--log-level debug -h"} {
		code, out, problems := tallyman(t.Context(), nil, strings.Fields(args)...)
		if code != exitOK || !strings.Contains(out, "--state-dir") || problems != "" {
			t.Errorf("%s ends with %d: %s", args, code, problems)
		}
	}
}

// TestCommandLogs compares what is printed with docker logs, with and without an
// agent, of logs in files and of others.
func TestCommandLogs(t *testing.T) {
	besideOthers(t)
	for _, driver := range []string{"json-file", "local"} {
		t.Run(driver, func(t *testing.T) { testCommandLogs(t, driver) })
	}
}

func testCommandLogs(t *testing.T, driver string) {
	d := newDocker(t)
	host := jsonFile(logOptions{"max-size": "300k", "max-file": "9"})
	host.LogConfig.Type = driver
	id := d.create("cmd-logs-"+driver, host, "-lines", "2500", "-stderr-every", "4")
	d.start(id)
	d.waitExit(id)
	all := d.logs(id, container.LogsOptions{ShowStdout: true, ShowStderr: true})
	p := startReady(t, t.TempDir())
	since, until := settled(t, all, 700).at.Format(time.RFC3339Nano), settled(t, all, 1900).at.Format(time.RFC3339Nano)
	for name, where := range map[string][]string{
		"the agent": {"--addr", p.listen},
		"no agent":  {"--state-dir", t.TempDir(), "--listen", freeAddress(t)},
	} {
		for _, c := range []struct {
			args   []string
			docker container.LogsOptions
		}{
			{nil, container.LogsOptions{ShowStdout: true, ShowStderr: true}},
			{[]string{"-n", "21"}, container.LogsOptions{ShowStdout: true, ShowStderr: true, Tail: "21"}},
			{[]string{"--since", since, "--until", until}, container.LogsOptions{ShowStdout: true, ShowStderr: true, Since: since, Until: until}},
			{[]string{"--stream", "stderr", "-n", "5"}, container.LogsOptions{ShowStderr: true, Tail: "all"}},
		} {
			args := append(append([]string{"logs", "-o", "json"}, where...), c.args...)
			code, out, problems := tallyman(t.Context(), nil, append(args, id[:20])...)
			if code != exitOK || problems != "" {
				t.Fatalf("%s: %q ends with %d: %s", name, args, code, problems)
			}
			var lines []api.Line
			for text := range strings.Lines(out) {
				var l api.Line
				if err := json.Unmarshal([]byte(text), &l); err != nil {
					t.Fatal(err)
				}
				lines = append(lines, l)
			}
			want := d.logs(id, c.docker)
			if c.docker.Tail == "all" {
				want = want[len(want)-5:]
			}
			sameLines(t, name+" "+strings.Join(args, " "), lines, want)
		}
	}
	code, out, _ := tallyman(t.Context(), nil, "logs", "--addr", p.listen, "-t", "-n", "1", "-i", "SEQ=1 ", "-H", "mozilla", "--color", "always", id)
	if code != exitOK || out != "" {
		t.Errorf("an expression in upper case matches %q", out)
	}
	code, out, _ = tallyman(t.Context(), nil, "logs", "--addr", p.listen, "-i", "seq=12 ", "-e", "seq=13", "-H", "mozilla", "--color", "always", id)
	if code != exitOK || strings.Count(out, "\n") != 1 || !strings.Contains(out, "\x1b[7mMozilla\x1b[0m") {
		t.Errorf("the line 12 is printed as %q", out)
	}
}

// TestCommandFollows follows a container until the command is ended, with and
// without an agent, of logs in files and of others.
func TestCommandFollows(t *testing.T) {
	besideOthers(t)
	for _, driver := range []string{"json-file", "local"} {
		for _, agent := range []bool{true, false} {
			t.Run(fmt.Sprint(driver, " agent ", agent), func(t *testing.T) { testCommandFollows(t, driver, agent) })
		}
	}
}

func testCommandFollows(t *testing.T, driver string, agent bool) {
	d := newDocker(t)
	host := jsonFile(nil)
	host.LogConfig.Type = driver
	id := d.create("cmd-follow-"+driver, host, "-lines", "600", "-rate", "300")
	d.start(id)
	where := []string{"--state-dir", t.TempDir(), "--listen", "127.0.0.1:1"}
	if agent {
		p := startReady(t, t.TempDir())
		p.eventually("the container is known", func() bool {
			code, _, err := p.get("/api/v1/containers/" + id)
			return err == nil && code == 200
		})
		where = []string{"--addr", p.listen}
	}
	ctx, cancel := context.WithCancel(t.Context())
	var out, problems lockedBuffer
	ended := make(chan int)
	go func() {
		ended <- run(ctx, testBuild(), append([]string{"logs", "-f", "-o", "raw", id}, where...), func(string) (string, bool) { return "", false }, &out, &problems)
	}()
	for deadline := time.Now().Add(patience); strings.Count(out.String(), "\n") < 600; time.Sleep(10 * time.Millisecond) {
		if time.Now().After(deadline) {
			t.Fatalf("%d lines are printed, want 600: %s", strings.Count(out.String(), "\n"), problems.String())
		}
	}
	cancel()
	if code := <-ended; code != exitOK {
		t.Errorf("the command that was ended gives %d: %s", code, problems.String())
	}
	seen := make(map[string]bool)
	for line := range strings.Lines(out.String()) {
		seen[line] = true
	}
	if n := strings.Count(out.String(), "\n"); len(seen) != 600 || n != 600 {
		t.Errorf("%d lines are printed, %d different, want 600", n, len(seen))
	}
}

// engineRow is what docker stats --no-stream prints of a container, by the
// formulas of Docker's client (cli/command/container/stats_helpers.go).
type engineRow struct {
	cpu                      float64
	memory, limit, pids      uint64
	rx, tx, ioRead, ioWrites uint64
}

func (d *docker) stats(id string) engineRow {
	d.t.Helper()
	answer, err := d.client.ContainerStats(d.t.Context(), id, false)
	if err != nil {
		d.t.Fatal(err)
	}
	defer answer.Body.Close()
	var s container.StatsResponse
	if err := json.NewDecoder(answer.Body).Decode(&s); err != nil {
		d.t.Fatal(err)
	}
	row := engineRow{limit: s.MemoryStats.Limit, memory: s.MemoryStats.Usage, pids: s.PidsStats.Current}
	for _, cache := range []string{"total_inactive_file", "inactive_file"} { // Version 1, and 2.
		if n, known := s.MemoryStats.Stats[cache]; known {
			row.memory -= min(n, row.memory)
			break
		}
	}
	if system := float64(s.CPUStats.SystemUsage) - float64(s.PreCPUStats.SystemUsage); system > 0 {
		used := float64(s.CPUStats.CPUUsage.TotalUsage) - float64(s.PreCPUStats.CPUUsage.TotalUsage)
		row.cpu = used / system * float64(s.CPUStats.OnlineCPUs) * 100
	}
	for _, n := range s.Networks {
		row.rx, row.tx = row.rx+n.RxBytes, row.tx+n.TxBytes
	}
	for _, b := range s.BlkioStats.IoServiceBytesRecursive {
		switch strings.ToLower(b.Op) {
		case "read":
			row.ioRead += b.Value
		case "write":
			row.ioWrites += b.Value
		}
	}
	return row
}

// TestCommandTop compares what is printed with docker stats --no-stream, with and
// without an agent: the same limit and number of tasks; memory, network and disk
// within a tenth and 1 MB, and the processor within a fifth and 5 points, as they
// are not measured at the same moment.
func TestCommandTop(t *testing.T) {
	besideOthers(t)
	d := newDocker(t)
	id := d.run("cmd-top", nil, "-lines", "0", "-rate", "20000")
	p := startReady(t, t.TempDir())
	p.eventually("the container is known", func() bool {
		code, _, err := p.get("/api/v1/containers/" + id)
		return err == nil && code == 200
	})
	for name, where := range map[string][]string{
		"the agent": {"--addr", p.listen},
		"no agent":  {"--state-dir", t.TempDir(), "--listen", "127.0.0.1:1"},
	} {
		said := ""
		agree := func() bool {
			code, out, problems := tallyman(t.Context(), nil, append([]string{"top", "--no-stream", "--format", "json", id}, where...)...)
			var row struct{ ID, CPUPerc, MemUsage, NetIO, BlockIO, PIDs string }
			if code != exitOK || json.Unmarshal([]byte(out), &row) != nil || row.ID != id[:12] {
				t.Fatalf("%s: top ends with %d and prints %q: %s", name, code, out, problems)
			}
			want := d.stats(id)
			said = fmt.Sprintf("top prints %s, the engine tells %+v", out, want)
			near := func(text string, want uint64) bool {
				got, err := units.FromHumanSize(text)
				return err == nil && math.Abs(float64(got)-float64(want)) < float64(want)/10+1e6
			}
			pair := func(text string, a, b uint64) bool {
				first, second, ok := strings.Cut(text, " / ")
				return ok && near(first, a) && near(second, b)
			}
			memory, limit, _ := strings.Cut(row.MemUsage, " / ")
			bytes, err := units.RAMInBytes(memory)
			cpu, cpuErr := strconv.ParseFloat(strings.TrimSuffix(row.CPUPerc, "%"), 64)
			return err == nil && cpuErr == nil && math.Abs(float64(bytes)-float64(want.memory)) < float64(want.memory)/10+1e6 &&
				limit == units.BytesSize(float64(want.limit)) && row.PIDs == fmt.Sprint(want.pids) && cpu > 0 &&
				math.Abs(cpu-want.cpu) < want.cpu/5+5 && pair(row.NetIO, want.rx, want.tx) && pair(row.BlockIO, want.ioRead, want.ioWrites)
		}
		for deadline := time.Now().Add(patience); !agree(); {
			if time.Now().After(deadline) {
				t.Fatalf("%s: %s", name, said)
			}
		}
		t.Logf("%s: %s", name, said)
	}
	_, table, _ := tallyman(t.Context(), nil, "top", "--addr", p.listen, id[:12])
	if head, _, _ := strings.Cut(table, "\n"); strings.Join(strings.Fields(head), " ") != "CONTAINER ID NAME CPU % MEM USAGE / LIMIT MEM % NET I/O BLOCK I/O PIDS" {
		t.Errorf("the head of the table is %q", head)
	}
	if _, list, _ := tallyman(t.Context(), nil, "ps", "--addr", p.listen); !strings.Contains(list, id[:12]) || !strings.Contains(list, "Up ") {
		t.Errorf("ps prints %q", list)
	}
}

// TestCommandPipe: a reader that has enough ends a command without an error.
func TestCommandPipe(t *testing.T) {
	besideOthers(t)
	d := newDocker(t)
	id := d.run("cmd-pipe", nil, "-lines", "20000")
	d.waitExit(id)
	binary, err := buildOnce()
	if err != nil {
		t.Fatal(err)
	}
	cmd := exec.Command(binary, "logs", "--state-dir", t.TempDir(), "--listen", "127.0.0.1:1", id)
	var problems bytes.Buffer
	cmd.Stderr = &problems
	out, err := cmd.StdoutPipe()
	if err != nil {
		t.Fatal(err)
	}
	if err := cmd.Start(); err != nil {
		t.Fatal(err)
	}
	line, err := bufio.NewReader(out).ReadString('\n')
	if err != nil || !strings.HasPrefix(line, "src=cmd-pipe ") {
		t.Errorf("the first line is %q: %v", line, err)
	}
	_ = out.Close()
	if err := cmd.Wait(); err != nil || problems.Len() > 0 {
		t.Errorf("the command ends with %v and says %q", err, problems.String())
	}
}

func TestCommandErrors(t *testing.T) {
	nowhere := []string{"--state-dir", t.TempDir(), "--listen", "127.0.0.1:1"}
	env := map[string]string{"DOCKER_HOST": "unix://" + filepath.Join(t.TempDir(), "no.sock")}
	for _, c := range []struct {
		args []string
		code int
	}{
		{[]string{"logs", "--nonsense"}, exitUsage},
		{[]string{"logs", "-o", "xml"}, exitUsage},
		{[]string{"logs", "-n", "some"}, exitUsage},
		{[]string{"logs", "-i", "("}, exitUsage},
		{[]string{"logs", "--since", "soon"}, exitUsage},
		{[]string{"logs", "--color", "pink"}, exitUsage},
		{[]string{"top", "--sort", "beauty"}, exitUsage},
		{[]string{"top", "--format", "{{"}, exitUsage},
		{[]string{"ps", "--format", "xml"}, exitUsage},
		{append([]string{"ps"}, nowhere...), exitUnreachable},
		{[]string{"ps", "--addr", "127.0.0.1:1"}, exitUnreachable},
	} {
		code, out, problems := tallyman(t.Context(), env, c.args...)
		if code != c.code || out != "" || !strings.HasPrefix(problems, "tallyman: ") {
			t.Errorf("%q ends with %d, prints %q and says %q, want %d", c.args, code, out, problems, c.code)
		}
	}
	for _, shell := range []string{"bash", "zsh", "fish", "powershell"} {
		if code, out, problems := tallyman(t.Context(), env, "completion", shell); code != exitOK || !strings.Contains(out, "tallyman") {
			t.Errorf("the completion of %s ends with %d: %s", shell, code, problems)
		}
	}
}
