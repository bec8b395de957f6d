package main

import (
	"context"
	"debug/elf"
	"errors"
	"fmt"
	"io"
	"os"
	"os/exec"
	"path/filepath"
	"slices"
	"strings"
)

// errNoEngine says that a case needs a container engine and there is none.
var errNoEngine = errors.New("it needs a container engine")

// benchImage is the image of this program, made from nothing else.
const benchImage = "tallybench:bench"

// fleet is containers that write lines until the case ends.
type fleet struct {
	// names have the prefix in common; logs are the engine's files.
	prefix string
	names  []string
	logs   []string
}

// startFleet starts n containers of this program's generator.
func startFleet(ctx context.Context, l *lab, n int, gen ...string) (*fleet, error) {
	if err := buildImage(ctx, l); err != nil {
		return nil, err
	}
	f := &fleet{prefix: fmt.Sprintf("tallybench-%d-", os.Getpid())}
	l.atEnd(f.remove)
	for i := range n {
		name := fmt.Sprint(f.prefix, i)
		f.names = append(f.names, name)
		args := []string{
			"run", "--detach", "--name", name, "--network", "none", "--log-driver", "json-file",
			"--log-opt", "max-size=50m", "--log-opt", "max-file=3", benchImage, "gen", "-name", name, "-lines", "0",
		}
		if _, err := docker(ctx, append(args, gen...)...); err != nil {
			return nil, err
		}
	}
	paths, err := docker(ctx, append([]string{"inspect", "--format", "{{.LogPath}}"}, f.names...)...)
	if err != nil {
		return nil, err
	}
	f.logs = strings.Fields(paths)
	log, err := os.Open(f.logs[0])
	if err != nil {
		return nil, fmt.Errorf("reading the engine's log files, for which the bench has to be root: %w", err)
	}
	return f, log.Close()
}

// ended returns an error when a container has ended: it should write until it is
// removed.
func (f *fleet) ended(ctx context.Context) error {
	states, err := docker(ctx, append([]string{"inspect", "--format", "{{.State.Running}} {{.State.ExitCode}}"}, f.names...)...)
	if err != nil {
		return err
	}
	for i, state := range strings.Split(states, "\n") {
		code, over := strings.CutPrefix(state, "false ")
		if !over {
			continue
		}
		// Its output is on both streams.
		said, err := exec.CommandContext(ctx, "docker", "logs", "--tail", "5", f.names[i]).CombinedOutput()
		if err != nil {
			said = fmt.Append(said, err)
		}
		return fmt.Errorf("the container %s has ended with exit code %s; its last words: %s", f.names[i], code, strings.TrimSpace(string(said)))
	}
	return nil
}

func (f *fleet) remove() error {
	if len(f.names) == 0 {
		return nil
	}
	// Also when the bench was interrupted.
	_, err := docker(context.Background(), append([]string{"rm", "--force", "--volumes"}, f.names...)...)
	return err
}

// docker runs Docker's client and returns what it prints.
func docker(ctx context.Context, args ...string) (string, error) {
	out, err := exec.CommandContext(ctx, "docker", args...).Output()
	var exit *exec.ExitError
	if errors.As(err, &exit) {
		return "", fmt.Errorf("docker %s: %s", args[0], strings.TrimSpace(string(exit.Stderr)))
	}
	return strings.TrimSpace(string(out)), err
}

// buildImage makes the image.
func buildImage(ctx context.Context, l *lab) error {
	if _, err := docker(ctx, "info", "--format", "{{.ServerVersion}}"); err != nil {
		return fmt.Errorf("%w: %w", errNoEngine, err)
	}
	dir, err := os.MkdirTemp(l.dir, "image-")
	if err != nil {
		return fmt.Errorf("making the image: %w", err)
	}
	self, err := os.Executable()
	if err != nil {
		return fmt.Errorf("making the image: %w", err)
	}
	if err := copyProgram(filepath.Join(dir, "tallybench"), self); err != nil {
		return fmt.Errorf("making the image: %w", err)
	}
	dockerfile := "FROM scratch\nCOPY tallybench /tallybench\nENTRYPOINT [\"/tallybench\"]\n"
	if err := os.WriteFile(filepath.Join(dir, "Dockerfile"), []byte(dockerfile), 0o600); err != nil {
		return fmt.Errorf("making the image: %w", err)
	}
	_, err = docker(ctx, "build", "--quiet", "--tag", benchImage, dir)
	return err
}

// refuseDynamic returns an error when a case runs a program in containers that
// cannot start there: the image has no dynamic linker.
func refuseDynamic(cases []benchCase, program string) error {
	i := slices.IndexFunc(cases, func(c benchCase) bool { return c.contained })
	if i < 0 {
		return nil
	}
	file, err := elf.Open(program)
	if err != nil {
		return fmt.Errorf("reading this program: %w", err)
	}
	dynamic := slices.ContainsFunc(file.Progs, func(p *elf.Prog) bool { return p.Type == elf.PT_INTERP })
	if err := file.Close(); err != nil {
		return fmt.Errorf("reading this program: %w", err)
	}
	if dynamic {
		return fmt.Errorf("the case %s runs tallybench in an image of nothing else, and this one is linked dynamically; build it with CGO_ENABLED=0", cases[i].name)
	}
	return nil
}

func copyProgram(to, from string) (err error) {
	in, err := os.Open(from)
	if err != nil {
		return err
	}
	defer func() { err = errors.Join(err, in.Close()) }()
	out, err := os.OpenFile(to, os.O_WRONLY|os.O_CREATE|os.O_EXCL, 0o755)
	if err != nil {
		return err
	}
	_, err = io.Copy(out, in)
	return errors.Join(err, out.Close())
}
