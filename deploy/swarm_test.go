package deploy

import (
	"encoding/json"
	"fmt"
	"os"
	"slices"
	"strings"
	"testing"
)

// TestSwarm deploys the stack to a swarm of one node: the global service becomes
// healthy on it without any right but to read, ships a container's log and shows
// its resource use, Prometheus would find it by the name that prometheus.yml
// has. At full length (TALLYMAN_SOAK=1) an update keeps the positions.
func TestSwarm(t *testing.T) {
	t.Parallel()
	loadImage(t)
	image := generator(t)
	m := newMachine(t)
	m.load(testImage, "tallyman:latest")
	m.load(image, "generator")
	m.run("docker swarm init --advertise-addr 127.0.0.1")
	const deploy = `ROUTE_URIS='file:///var/lib/tallyman/out/{name}.log?filter.name=swarmed' docker stack deploy -c deploy/swarm/tallyman.yaml tallyman`
	m.run(deploy)
	agent := m.waitForTask("")

	var found []inspection
	if err := json.Unmarshal([]byte(m.run("docker inspect "+agent)), &found); err != nil || len(found) != 1 {
		t.Fatalf("reading docker inspect: %d found, %v", len(found), err)
	}
	if c := found[0].HostConfig; !c.ReadonlyRootfs || !slices.Equal(c.CapDrop, []string{"ALL"}) {
		t.Errorf("it is not hardened: %+v", c)
	}
	for _, mount := range found[0].Mounts {
		if mount.RW && mount.Destination != "/var/lib/tallyman" {
			t.Errorf("it may write to %s", mount.Destination)
		}
	}

	m.run("docker run --detach --name swarmed --log-driver json-file generator gen -name swarmed -lines 5000 -hold 10m")
	m.waitForSwarmed(agent, 5000)
	metrics := m.run("curl --fail --silent http://" + m.run(`docker inspect --format '{{range .NetworkSettings.Networks}}{{.IPAddress}}{{end}}' `+agent) +
		"/metrics || nsenter --target $(docker inspect --format '{{.State.Pid}}' " + agent + ") --net curl --fail --silent http://127.0.0.1/metrics")
	for _, family := range []string{"container_memory_working_set_bytes", "container_cpu_usage_seconds_total", "container_network_receive_bytes_total"} {
		if !hasSeries(metrics, family, `name="swarmed"`) {
			t.Errorf("the container has no %s", family)
		}
	}
	eventually(t, "the agents' name is known in their network", func() (bool, string) {
		out, err := m.command("docker exec " + agent + " /tallyman health --listen tasks.tallyman:80").CombinedOutput()
		return err == nil, string(out)
	})

	if os.Getenv("TALLYMAN_SOAK") == "" {
		return
	}
	m.run("docker service update --detach --env-add TALLYMAN_LOG_FORMAT=json tallyman_tallyman")
	agent = m.waitForTask(agent)
	m.run("docker run --detach --name again --log-driver json-file generator gen -name again -lines 1")
	m.waitForSwarmed(agent, 5000)
}

// waitForTask waits for the container of the agent's only task, another than an
// old one, to be healthy.
func (m *machine) waitForTask(old string) string {
	m.t.Helper()
	var agent string
	eventually(m.t, "the service's task is healthy", func() (bool, string) {
		listed, err := m.command("docker ps --quiet --filter health=healthy --filter label=com.docker.swarm.service.name=tallyman_tallyman").Output()
		agent = strings.TrimSpace(string(listed))
		if err == nil && agent != "" && agent != old {
			return true, ""
		}
		tasks, err := m.command("docker service ps --no-trunc tallyman_tallyman").CombinedOutput()
		return false, fmt.Sprintf("%s%v", tasks, err)
	})
	return agent
}

// waitForSwarmed waits until so many lines have arrived, none twice.
func (m *machine) waitForSwarmed(agent string, lines int) {
	m.t.Helper()
	eventually(m.t, fmt.Sprintf("%d lines have arrived", lines), func() (bool, string) {
		out, err := m.command("docker cp " + agent + ":/var/lib/tallyman/out/swarmed.log - | tar --extract --to-stdout").Output()
		all := strings.Split(strings.TrimSpace(string(out)), "\n")
		distinct := slices.Compact(slices.Sorted(slices.Values(all)))
		return err == nil && len(all) == lines && len(distinct) == lines, fmt.Sprintf("%d lines, %d of them distinct, %v", len(all), len(distinct), err)
	})
}
