package agent

import (
	"os"
	"os/exec"
	"path/filepath"
	"strings"
	"testing"
)

// TestExtending builds and runs the program of docs/extending.md, with the page's
// own commands.
func TestExtending(t *testing.T) {
	besideOthers(t)
	page, err := os.ReadFile(moduleRoot + "/docs/extending.md")
	if err != nil {
		t.Fatal(err)
	}
	_, text, ok := strings.Cut(string(page), "```go\n")
	text, after, ok2 := strings.Cut(text, "```\n")
	if !ok || !ok2 {
		t.Fatal("the page has no program")
	}
	root, err := filepath.Abs(moduleRoot)
	if err != nil {
		t.Fatal(err)
	}
	dir := t.TempDir()
	if err := os.WriteFile(filepath.Join(dir, "main.go"), []byte(text), 0o600); err != nil {
		t.Fatal(err)
	}
	if unformatted, err := exec.Command("gofmt", "-l", dir).CombinedOutput(); err != nil || len(unformatted) > 0 {
		t.Errorf("gofmt says %q, %v", unformatted, err)
	}
	_, script, _ := strings.Cut(after, "```sh\n")
	script, _, _ = strings.Cut(script, "```\n")
	commands := 0
	for command := range strings.Lines(script) {
		if strings.HasPrefix(command, "./mytally") {
			continue
		}
		commands++
		run := exec.Command("sh", "-c", strings.ReplaceAll(command, "../tallyman", root))
		run.Dir = dir
		if out, err := run.CombinedOutput(); err != nil {
			t.Fatalf("%s: %v\n%s", command, err, out)
		}
	}
	if commands != 3 {
		t.Fatalf("the page has %d commands", commands)
	}
	program := filepath.Join(dir, "mytally")
	out, err := exec.Command(program, "check", "--state-dir", t.TempDir(), "stdout://here", "raw+tcp://a:1").CombinedOutput()
	if err != nil || !strings.Contains(string(out), "stdout://here") || !strings.Contains(string(out), "raw+tcp://a:1") {
		t.Fatalf("check says %s, %v", out, err)
	}
	if out, err := exec.Command(program, "version").CombinedOutput(); err != nil || !strings.HasPrefix(string(out), "tallyman mine ") {
		t.Fatalf("version says %s, %v", out, err)
	}

	d := newDocker(t)
	id, name := d.echo("extending", 3)
	p := startProgram(t, program, t.TempDir(), nil, "stdout://here?filter.name="+name)
	p.ready()
	d.start(id)
	p.eventually("the lines come", func() bool {
		return strings.Contains(p.output.String(), name+": ") && strings.Contains(p.output.String(), "seq=3 ")
	})
	if code := p.terminate(); code != 0 {
		t.Fatalf("it exits with %d", code)
	}
}
