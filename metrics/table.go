package metrics

import "slices"

// family is a row of the table of container metrics.
type family struct {
	description
	// kinds are what must be switched on for it, all of them.
	kinds Kinds
	// read writes the series of one container. It writes none where the
	// container does not have the thing.
	read func(r *reading, w *writer)
}

// containerTable is every family of a container that the kinds show, sorted by
// name as in cAdvisor's exposition. What is read from the kernel is read before,
// all of it, into the reading: a row that needs another kernel file needs a
// source for it in package cgroup.
func containerTable(kinds Kinds) []family {
	rows := slices.Concat(identityRows(), cpuRows(), memoryRows(), diskRows(), networkRows(), processRows(), logRows())
	rows = slices.DeleteFunc(rows, func(row family) bool { return !kinds.has(row.kinds) })
	slices.SortFunc(rows, func(a, b family) int {
		if a.name < b.name {
			return -1
		}
		return 1
	})
	return rows
}

// row makes a row.
func row(kinds Kinds, typ metricType, name, help string, read func(*reading, *writer), labels ...string) family {
	return family{description{name: name, help: help, typ: typ, labels: labels}, kinds, read}
}

// identityRows are what a container is, and its limits.
func identityRows() []family {
	return []family{
		row(kindAlways, gauge, "container_last_seen", "When the sample was taken: the time of the scrape, or of the container's end, in seconds since the epoch.", lastSeen),
		row(kindAlways, gauge, "container_start_time_seconds", "When the container was last started, in seconds since the epoch.", started),
		row(kindAlways, gauge, "container_creation_time_seconds", "When the container was created, in seconds since the epoch.", created),
		row(kindAlways, gauge, "container_health_state", "State of the container's health check: 1 healthy, 0 starting or unhealthy, -1 no health check.", health),
		row(kindAlways, counter, "tallyman_container_restarts_total", "How often the engine has restarted the container.", restarts),

		row(kindAlways, gauge, "container_spec_cpu_period", "Length of the period in which the CPU quota may be used, in microseconds.", cpuPeriod),
		row(kindAlways, gauge, "container_spec_cpu_quota", "CPU time allowed in each period, in microseconds. There is none without a quota.", cpuQuota),
		row(kindAlways, gauge, "container_spec_cpu_shares", "Relative weight of the container when CPU time is scarce; the default is 1024.", cpuShares),
		row(kindAlways, gauge, "container_spec_memory_limit_bytes", "Memory limit in bytes, 0 without one. For the root it is the machine's memory.", memoryLimit),
		row(kindAlways, gauge, "container_spec_memory_swap_limit_bytes", "Limit in bytes of memory and swap together (cgroup v1) or of swap alone (v2), 0 without one.", swapLimit),
		row(kindAlways, gauge, "container_spec_memory_reservation_limit_bytes", "Memory in bytes that is not taken from the container while others can give it, 0 without a reservation.", memoryReservation),
	}
}
