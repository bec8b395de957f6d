// Package metrics holds the Prometheus collectors of the host's containers and
// of the machine. Everything is read when it is scraped; between scrapes nothing
// runs and nothing is kept but open files and rendered labels.
//
// The families of containers are rows of one table, in table.go; a new family is
// a new row. Their names, types, labels and meanings are those of cAdvisor, so
// that its dashboards and alerts work unchanged. Where cAdvisor's number is known
// to be wrong, the right one is under its name:
//
//   - Samples carry no timestamps: they are as old as the scrape.
//   - fs_reads_total and fs_writes_total count the container's own requests;
//     cAdvisor adds those of the whole disk.
//   - On cgroup version 2, memory_failcnt counts hits of the limit
//     (memory.events, max), memory_kernel_usage is memory.stat's kernel, and
//     spec_memory_reservation_limit_bytes takes in memory.low, where Docker
//     writes the reservation; cAdvisor shows 0 for all three.
//   - On cgroup version 1, memory_file_dirty_bytes and
//     memory_file_writeback_bytes are memory.stat's total_dirty and
//     total_writeback, and the burst counters those of cpu.stat; cAdvisor shows 0.
//   - The pressure families are there when the kernel accounts pressure for the
//     cgroup, which it may also do beside version 1, and absent otherwise;
//     cAdvisor shows 0 on version 1.
//   - oom_events_total comes from the cgroup, not from the kernel's log, and
//     so needs no access to /dev/kmsg. It starts anew with the cgroup.
//   - When several label keys become one name, the first in the order of the
//     keys is shown in every scrape; in cAdvisor that changes at random.
//
// container_threads and container_threads_max are shown always; cAdvisor has
// them off by default.
package metrics
