package main

import (
	"bufio"
	"context"
	"fmt"
	"net"
	"os"
	"path/filepath"
	"strings"
	"testing"
	"time"
)

// What is there already is left, and what comes is sent as whole lines.
func TestFloorFollows(t *testing.T) {
	listener, err := net.Listen("tcp", "127.0.0.1:0")
	if err != nil {
		t.Fatal(err)
	}
	defer listener.Close()
	dir := t.TempDir()
	var logs []*os.File
	args := []string{"floor", "-to", listener.Addr().String(), "-follow", "1ms"}
	create := func(path string) *os.File {
		t.Helper()
		log, err := os.Create(path)
		if err != nil {
			t.Fatal(err)
		}
		t.Cleanup(func() { log.Close() })
		return log
	}
	for _, name := range []string{"a", "b"} {
		// As the engine has them: each in a folder of its own.
		path := filepath.Join(dir, name, "log")
		if err := os.Mkdir(filepath.Dir(path), 0o700); err != nil {
			t.Fatal(err)
		}
		logs, args = append(logs, create(path)), append(args, "-file", path)
	}
	rotate := func(i int) {
		t.Helper()
		path := logs[i].Name()
		if err := os.Rename(path, path+".1"); err != nil {
			t.Fatal(err)
		}
		logs[i] = create(path)
	}
	put := func(log *os.File, text string) {
		t.Helper()
		if _, err := log.WriteString(text); err != nil {
			t.Fatal(err)
		}
	}
	put(logs[0], `{"log":"old\n","stream":"stdout"}`+"\n")

	ctx, cancel := context.WithCancel(t.Context())
	ended := make(chan error, 1)
	go func() { ended <- run(ctx, args, stdio{os.Stdout, os.Stderr}) }()
	conn, err := listener.Accept()
	if err != nil {
		t.Fatal(err)
	}
	defer conn.Close()
	if err := conn.SetReadDeadline(time.Now().Add(30 * time.Second)); err != nil {
		t.Fatal(err)
	}
	lines := bufio.NewReader(conn)
	want := func(text string) {
		t.Helper()
		got, err := lines.ReadString('\n')
		if err != nil || got != floorHeader+text+"\n" {
			t.Fatalf("%q came, %v; want %q", got, err, text)
		}
	}
	for i := range 100 {
		text := fmt.Sprint("line ", i, strings.Repeat(" and more", i))
		put(logs[i%2], `{"log":"`+text[:4])
		put(logs[i%2], text[4:]+`\n"}`+"\n")
		want(text)
		if i%10 == 0 {
			rotate(i % 2)
		}
	}
	long := strings.Repeat("long ", 1<<17)
	put(logs[0], `{"log":"`+long+`\n"}`+"\n")
	want(long)
	cancel()
	if err := <-ended; err != nil {
		t.Fatal(err)
	}
}
