package agent

import (
	"context"
	"fmt"
	"io"
	"net"
	"runtime"
	"strconv"
	"strings"
	"time"
)

// greetAfter is how long the banner waits for the engine to tell what there is.
const greetAfter = 3 * time.Second

// reachable returns an address at which a listener can be reached from this host.
func reachable(addr net.Addr) string {
	tcp, ok := addr.(*net.TCPAddr)
	if ok && tcp.IP.IsUnspecified() {
		return net.JoinHostPort("127.0.0.1", strconv.Itoa(tcp.Port))
	}
	return addr.String()
}

// greet says what runs, once it is known or the engine has not answered in time.
func (a *agent) greet(ctx context.Context, addr net.Addr, w io.Writer) {
	select {
	case <-a.collector.Listed():
	case <-time.After(greetAfter):
	case <-ctx.Done():
		return
	}
	s := a.collector.Status()
	engine := "not reached: " + s.Problem
	if s.Connected {
		engine = fmt.Sprintf("%s on %s, API %s", s.Engine.Version, s.Engine.Name, s.Engine.APIVersion)
	}
	reader := "none: no log can be read"
	if path, err := a.files.Get(); err != nil {
		reader = "the engine's log API, since its files cannot be read"
	} else if path != "" {
		reader = "files in " + path + ", and the engine's log API for containers without"
	}
	containers := fmt.Sprintf("%d running of %d; the logs of %d are read, %d cannot be", s.Running, s.Total, s.Read, len(s.Unreadable))
	var names []string
	for _, r := range a.table.Routes() {
		names = append(names, r.String())
	}
	list := "none"
	if len(names) > 0 {
		list = strings.Join(names, "\n              ")
	}
	url := "http://" + reachable(addr)
	if a.options.logFormat == "json" {
		a.logger.Info("started", "version", a.options.build.Version, "engine", engine, "containers", containers,
			"reader", reader, "routes", names, "http", url)
		return
	}
	fmt.Fprintf(w, "tallyman %s (%s)\n  engine      %s\n  containers  %s\n  reader      %s\n  routes      %s\n  http        %s/logs  %s/metrics  %s/health\n",
		a.options.build.Version, runtime.Version(), engine, containers, reader, list, url, url, url)
}
