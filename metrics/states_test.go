package metrics

import (
	"testing"
	"time"

	"tallyman/collector/record"
)

// What a container does is shown also when it does not run.
func TestStates(t *testing.T) {
	t.Parallel()
	list := []*record.Container{web(2210)}
	c := newContainers(t, Options{Containers: func() []*record.Container { return list }, Root: fixture("v2-systemd")})
	f := func(name, want string, labels ...string) {
		t.Helper()
		text := string(exposition(c))
		for _, state := range []string{"running", "exited", "restarting"} {
			_, ok := valueOf(text, "tallyman_container_state", name, append([]string{"state", state}, labels...)...)
			if ok != (state == want) {
				t.Errorf("%s is %s: %v, want %q", name, state, ok, want)
			}
		}
	}
	f("web", "running", "container_label_com_docker_compose_project", "shop")
	stopped := *list[0]
	stopped.Running, stopped.PID, stopped.Status = false, 0, "exited"
	list = []*record.Container{&stopped, plain(2344)}
	// Its labels stay, though no container that runs has them.
	f("web", "exited", "container_label_com_docker_compose_project", "shop")
	f("db", "running")
	again := stopped
	again.Name, again.Running, again.PID, again.Status, again.Started = "web-2", true, 2210, "running", stopped.Started.Add(time.Minute)
	list = []*record.Container{&again}
	f("web-2", "running", "container_label_com_docker_compose_project", "shop")
	f("web", "")
	f("db", "")
	list = nil
	f("web-2", "")
	if len(c.states.sorted) != 0 {
		t.Errorf("%d containers are remembered", len(c.states.sorted))
	}
}
