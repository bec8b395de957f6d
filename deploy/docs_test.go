package deploy

import (
	"fmt"
	"os"
	"os/exec"
	"path/filepath"
	"regexp"
	"slices"
	"strings"
	"syscall"
	"testing"
	"time"
)

// pages are the pages whose links and commands are checked.
func pages(t *testing.T) []string {
	t.Helper()
	var found []string
	for _, pattern := range []string{"../README.md", "../CONTRIBUTING.md", "../DESIGN.md", "../CHANGELOG.md", "../docs/*.md", "../adapters/*/README.md"} {
		names, err := filepath.Glob(pattern)
		if err != nil || len(names) == 0 {
			t.Fatalf("%d pages are %s, %v", len(names), pattern, err)
		}
		found = append(found, names...)
	}
	return found
}

func readPage(t *testing.T, name string) string {
	t.Helper()
	text, err := os.ReadFile(name)
	if err != nil {
		t.Fatal(err)
	}
	return string(text)
}

var (
	linkPattern    = regexp.MustCompile(`\]\(([^)\s]+)\)|(?:src|srcset|href)="([^"\s]+)"`)
	headingPattern = regexp.MustCompile(`(?m)^#+ (.+)$`)
	anchorDropped  = regexp.MustCompile(`[^\p{L}\p{N} _-]`)
	codeSpan       = regexp.MustCompile("(?ms)^```.*?^```$|`[^`\n]*`")
)

// anchors returns the names that links to a page's headings may have.
func anchors(page string) map[string]bool {
	found := make(map[string]bool)
	for _, m := range headingPattern.FindAllStringSubmatch(page, -1) {
		name := anchorDropped.ReplaceAllString(strings.ToLower(m[1]), "")
		found[strings.ReplaceAll(name, " ", "-")] = true
	}
	return found
}

// TestDocsLinks: what a page links to is there, and so is the heading.
func TestDocsLinks(t *testing.T) {
	checked := 0
	for _, page := range pages(t) {
		for _, m := range linkPattern.FindAllStringSubmatch(codeSpan.ReplaceAllString(readPage(t, page), ""), -1) {
			link := m[1] + m[2]
			if strings.Contains(link, "://") {
				continue
			}
			checked++
			file, anchor, _ := strings.Cut(link, "#")
			target := page
			if file != "" {
				target = filepath.Join(filepath.Dir(page), file)
			}
			if _, err := os.Stat(target); err != nil {
				t.Errorf("%s links to %s, which is not there", page, link)
			} else if anchor != "" && !anchors(readPage(t, target))[anchor] {
				t.Errorf("%s links to %s, which has no such heading", page, link)
			}
		}
	}
	if checked < 50 {
		t.Errorf("only %d links were found", checked)
	}
}

// block is a block of code in a page. Mark is what stands behind the fence, or
// nothing for one that is only indented.
type block struct {
	page, mark, text string
	line             int
}

func (b block) String() string { return fmt.Sprintf("%s:%d", b.page, b.line) }

// blocks returns a page's blocks of code, in order.
func blocks(t *testing.T, page string) []block {
	t.Helper()
	var found []block
	fenced, indented := false, false
	for i, line := range strings.Split(readPage(t, page), "\n") {
		mark, fence := strings.CutPrefix(line, "```")
		text, indent := strings.CutPrefix(line, "    ")
		switch {
		case fence && fenced:
			fenced = false
			continue
		case fence:
			fenced, indented = true, false
			if mark == "" {
				mark = "?"
			}
			found = append(found, block{page: page, mark: mark, line: i + 1})
			continue
		case fenced:
			text = line
		case !indent:
			indented = false
			continue
		case !indented:
			indented = true
			found = append(found, block{page: page, line: i + 1})
		}
		found[len(found)-1].text += text + "\n"
	}
	return found
}

// commandStart tells the first word of a command by its name. It is for blocks
// without a mark, where none may stand.
var commandStart = regexp.MustCompile(`(?m)^(?:\$ |sudo |[A-Z_]+=\S* )*(?:tallyman|bin/tallyman|\./\S+|docker|docker-compose|curl|make|go|git|apt|apt-get|systemctl|` +
	`journalctl|systemd-analyze|promtool|prometheus|nats|nats-server|socat|logger|kill|editor|export|ss|jq)(?: [^\[<|]*)?$`)

// commands returns the commands of a block: its lines, those that are continued
// as one.
func (b block) commands() []string {
	var found []string
	for line := range strings.SplitSeq(strings.ReplaceAll(b.text, "\\\n", ""), "\n") {
		line, _, _ = strings.Cut(line, "  # ")
		if line = strings.Join(strings.Fields(line), " "); line != "" && !strings.HasPrefix(line, "#") {
			found = append(found, line)
		}
	}
	return found
}

// notRun reads the list of commands that no test runs, with the reasons, from
// where contributors see it.
func notRun(t *testing.T) map[string]string {
	t.Helper()
	_, list, found := strings.Cut(readPage(t, "../CONTRIBUTING.md"), "| command | why no test runs it |\n|---|---|\n")
	if !found {
		t.Fatal("CONTRIBUTING.md has no list of commands that are not run")
	}
	reasons := make(map[string]string)
	for line := range strings.Lines(list) {
		if !strings.HasPrefix(line, "| ") {
			break
		}
		cells := strings.Split(strings.ReplaceAll(line, `\|`, "\x00"), "|")
		reasons[strings.ReplaceAll(strings.Trim(cells[1], " `"), "\x00", "|")] = strings.TrimSpace(cells[2])
	}
	return reasons
}

// TestDocsMarks: each block of commands says what a test does with it, or each of
// its commands is in the list of those that no test runs; and nothing else is in
// that list.
func TestDocsMarks(t *testing.T) {
	reasons := notRun(t)
	seen := make(map[string]bool)
	for _, page := range pages(t) {
		for _, b := range blocks(t, page) {
			switch b.mark {
			case "sh check", "sh stays", "sh instead check", "sh instead stays":
			case "sh":
				for _, c := range b.commands() {
					seen[c] = true
					if reasons[c] == "" {
						t.Errorf("%s: no test runs this, and CONTRIBUTING.md does not say why: %s", b, c)
					}
				}
			case "?":
				t.Errorf("%s: the fence does not say what the block is", b)
			case "":
				if c := commandStart.FindString(b.text); c != "" {
					t.Errorf("%s: a command without a fence that says what a test does with it: %s", b, c)
				}
			}
		}
	}
	for c := range reasons {
		if !seen[c] {
			t.Errorf("CONTRIBUTING.md lists a command that no page has: %s", c)
		}
	}
}

// routeLine is a line that begins with a route's URI. Grammars have brackets.
var routeLine = regexp.MustCompile(`(?m)^'?((?:syslog|raw|gelf|nats|http|loki|otlp|file|tcp|tls|udp|https)(?:\+[a-z]+)?://[^\s']+)`)

// TestDocsRoutes: the agent understands every route that stands in a block of a
// page.
func TestDocsRoutes(t *testing.T) {
	t.Parallel()
	binary := build(t, "tallyman/cmd/tallyman")
	env := append(os.Environ(), "TOKEN=t", "KEY=k", "NATS_TOKEN=t")
	state, checked := t.TempDir(), 0
	for _, page := range pages(t) {
		for _, b := range blocks(t, page) {
			for _, m := range routeLine.FindAllStringSubmatch(b.text, -1) {
				if strings.ContainsAny(m[1], "[…") {
					continue
				}
				checked++
				cmd := exec.CommandContext(t.Context(), binary, "check", "--state-dir", state, m[1])
				cmd.Env = env
				out, err := cmd.CombinedOutput()
				// A file that a route names is the reader's.
				if err != nil && !strings.Contains(string(out), "no such file or directory") {
					t.Errorf("%s: %s: %v\n%s", b, m[1], err, out)
				}
			}
		}
	}
	if checked < 20 {
		t.Errorf("only %d routes were found", checked)
	}
}

// TestDocsCommands does what the pages say, word by word, on a clean machine
// with a copy of this repository: two containers run there, and the destinations
// of the examples are the machine itself.
//
// A block marked "check" is a script that has to end well. Each command of one
// marked "stays" has to write something and to go on until the page ends. Before
// one marked "instead" all that goes on is ended, containers too.
func TestDocsCommands(t *testing.T) {
	t.Parallel()
	needCommands(t, "git", "tar", "curl", "make", "promtool", "systemd-analyze", "socat")
	image := generator(t)
	m := newMachine(t, "logs.example.com", "victorialogs")
	m.load(image, "generator")
	for _, name := range []string{"web_1", "shop-web-1"} {
		m.run("docker run --detach --name " + name + " --log-driver json-file generator gen -name " + name + " -lines 0 -rate 5 -stderr-every 2")
	}
	folder := filepath.Join(m.dir, "tallyman")
	// With the history, for the version, and with what has not been committed.
	run(t, "git", "clone", "--quiet", "--shared", "..", folder)
	run(t, "bash", "-euo", "pipefail", "-c",
		`cd .. && git ls-files -z --cached --others --exclude-standard | while IFS= read -rd '' f; do [ ! -e "$f" ] || printf '%s\0' "$f"; done | tar -c --null -T - | tar -x -C `+folder)
	// A progress meter is nothing that a command was to write, and what it asks may
	// still be starting.
	if err := os.WriteFile(filepath.Join(m.dir, ".curlrc"), []byte("silent\nshow-error\nretry 90\nretry-delay 1\nretry-connrefused\n"), 0o600); err != nil {
		t.Fatal(err)
	}
	done := 0
	for _, name := range pages(t) {
		p := &reader{t: t, m: m, folder: folder}
		t.Cleanup(p.leave)
		for _, b := range blocks(t, name) {
			words := strings.Fields(b.mark)
			if slices.Contains(words, "instead") {
				p.leave()
			}
			switch {
			case slices.Contains(words, "check"):
				p.check(b)
			case slices.Contains(words, "stays"):
				p.stay(b)
			default:
				continue
			}
			done++
		}
		p.leave()
	}
	if done < 20 {
		t.Errorf("only %d blocks were found", done)
	}
}

// reader does what a page says.
type reader struct {
	t      *testing.T
	m      *machine
	folder string
	stays  []staying
}

// staying is a command that goes on.
type staying struct {
	what  string
	cmd   *exec.Cmd
	out   *lockedBuffer
	ended chan error
}

func (p *reader) command(script string) *exec.Cmd {
	cmd := p.m.commandIn(p.folder, script)
	cmd.Env = append(slices.Clone(os.Environ()), "PATH="+p.folder+"/bin:"+filepath.Dir(build(p.t, natsServer))+":"+os.Getenv("PATH"), "CURL_HOME="+p.m.dir)
	return cmd
}

func (p *reader) check(b block) {
	p.t.Helper()
	// What the block before has started may take a moment.
	eventually(p.t, b.String()+" tells what works:\n"+b.text, func() (bool, string) {
		p.wantAlive()
		out, err := p.command(b.text).CombinedOutput()
		return err == nil, fmt.Sprintf("%v\n%s", err, out)
	})
}

func (p *reader) stay(b block) {
	p.t.Helper()
	for _, c := range b.commands() {
		// What it needs may still be starting.
		eventually(p.t, b.String()+": "+c+" writes something and goes on", func() (bool, string) {
			p.wantAlive()
			s := p.start(b.String()+": "+c, strings.TrimSuffix(c, "&"))
			// What it writes may be why it ends.
			const stays = 300 * time.Millisecond
			var wrote time.Time
			for deadline := time.After(patience); wrote.IsZero() || time.Since(wrote) < stays; {
				select {
				case <-deadline:
					return false, "it writes nothing"
				case err := <-s.ended:
					return false, fmt.Sprintf("it has ended: %v\n%s", err, s.out)
				case <-time.After(20 * time.Millisecond):
				}
				if wrote.IsZero() && s.out.String() != "" {
					wrote = time.Now()
				}
			}
			p.stays = append(p.stays, s)
			return true, ""
		})
	}
}

func (p *reader) start(what, script string) staying {
	p.t.Helper()
	s := staying{what: what, cmd: p.command(script), out: new(lockedBuffer), ended: make(chan error, 1)}
	s.cmd.Stdout, s.cmd.Stderr = s.out, s.out
	s.cmd.SysProcAttr = &syscall.SysProcAttr{Setpgid: true}
	if err := s.cmd.Start(); err != nil {
		p.t.Fatal(err)
	}
	go func() { s.ended <- s.cmd.Wait() }()
	p.t.Cleanup(func() { _ = syscall.Kill(-s.cmd.Process.Pid, syscall.SIGKILL) }) // It has ended if all is well.
	return s
}

// wantAlive checks that what stays has not ended.
func (p *reader) wantAlive() {
	p.t.Helper()
	for _, s := range p.stays {
		select {
		case err := <-s.ended:
			s.ended <- err
			p.t.Fatalf("%s has ended: %v\n%s", s.what, err, s.out)
		default:
		}
	}
}

// leave ends what stays, the last first, and removes the containers that were
// made.
func (p *reader) leave() {
	for _, s := range slices.Backward(p.stays) {
		_ = syscall.Kill(-s.cmd.Process.Pid, syscall.SIGTERM) // It may have ended.
		kill := time.AfterFunc(patience, func() { _ = syscall.Kill(-s.cmd.Process.Pid, syscall.SIGKILL) })
		<-s.ended
		kill.Stop()
	}
	p.stays = nil
	_ = p.m.command("docker ps --all --format '{{.Names}}' | { grep -vx -e web_1 -e shop-web-1 || true; } | xargs --no-run-if-empty docker rm --force --volumes").Run()
}
