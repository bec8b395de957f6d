package metrics

import "tallyman/metrics/cgroup"

// cpuRows are CPU time, throttling, load and pressure.
func cpuRows() []family {
	return []family{
		row(kindCPU, counter, "container_cpu_usage_seconds_total", "CPU time used, in seconds, by processor where the kernel tells (cgroup v1), else in total.", cpuUsage, "cpu"),
		row(kindCPU, counter, "container_cpu_user_seconds_total", "CPU time used in user mode, in seconds.",
			cpuValue(nanosecond, func(c *cgroup.CPU) cgroup.Value { return c.User })),
		row(kindCPU, counter, "container_cpu_system_seconds_total", "CPU time used in kernel mode, in seconds.",
			cpuValue(nanosecond, func(c *cgroup.CPU) cgroup.Value { return c.System })),
		row(kindCPU, counter, "container_cpu_cfs_periods_total", "Periods in which the container ran under its CPU quota.",
			cfsValue(1, func(c *cgroup.CPU) cgroup.Value { return c.Periods })),
		row(kindCPU, counter, "container_cpu_cfs_throttled_periods_total", "Periods in which the CPU quota ran out.",
			cfsValue(1, func(c *cgroup.CPU) cgroup.Value { return c.Throttled })),
		row(kindCPU, counter, "container_cpu_cfs_throttled_seconds_total", "Time that tasks waited because the CPU quota had run out, in seconds.",
			cfsValue(nanosecond, func(c *cgroup.CPU) cgroup.Value { return c.ThrottledTime })),
		row(kindCPU, counter, "container_cpu_cfs_burst_periods_total", "Periods in which CPU quota saved from earlier ones was used.",
			cfsValue(1, func(c *cgroup.CPU) cgroup.Value { return c.Bursts })),
		row(kindCPU, counter, "container_cpu_cfs_burst_seconds_total", "CPU time used out of quota saved from earlier periods, in seconds.",
			cfsValue(nanosecond, func(c *cgroup.CPU) cgroup.Value { return c.BurstTime })),

		row(kindLoad, gauge, "container_cpu_load_average_10s", "Always 0, as in cAdvisor without its load reader; container_pressure_cpu_waiting_seconds_total tells more.", zero),
		row(kindLoad, gauge, "container_cpu_load_d_average_10s", "Always 0, as in cAdvisor without its load reader; container_pressure_io_waiting_seconds_total tells more.", zero),
		row(kindLoad, gauge, "container_tasks_state", "Always 0, as in cAdvisor without its load reader.", tasksState, "state"),

		row(kindSched, counter, "container_cpu_schedstat_run_seconds_total", "Time that tasks spent on a processor, in seconds.",
			processValue(nanosecond, func(p *cgroup.Processes) cgroup.Value { return p.RunTime })),
		row(kindSched, counter, "container_cpu_schedstat_runqueue_seconds_total", "Time that tasks waited for a processor, in seconds.",
			processValue(nanosecond, func(p *cgroup.Processes) cgroup.Value { return p.WaitTime })),
		row(kindSched, counter, "container_cpu_schedstat_run_periods_total", "How often tasks were put on a processor.",
			processValue(1, func(p *cgroup.Processes) cgroup.Value { return p.Slices })),

		row(kindPressure, counter, "container_pressure_cpu_waiting_seconds_total", "Time in which a task or more waited for CPU time, in seconds.",
			pressureValue(func(p *cgroup.Pressure) cgroup.Value { return p.CPU.Some })),
		row(kindPressure, counter, "container_pressure_cpu_stalled_seconds_total", "Time in which every task waited for CPU time, in seconds.",
			pressureValue(func(p *cgroup.Pressure) cgroup.Value { return p.CPU.Full })),
		row(kindPressure, counter, "container_pressure_memory_waiting_seconds_total", "Time in which a task or more waited for memory, in seconds.",
			pressureValue(func(p *cgroup.Pressure) cgroup.Value { return p.Memory.Some })),
		row(kindPressure, counter, "container_pressure_memory_stalled_seconds_total", "Time in which every task waited for memory, in seconds.",
			pressureValue(func(p *cgroup.Pressure) cgroup.Value { return p.Memory.Full })),
		row(kindPressure, counter, "container_pressure_io_waiting_seconds_total", "Time in which a task or more waited for block devices, in seconds.",
			pressureValue(func(p *cgroup.Pressure) cgroup.Value { return p.IO.Some })),
		row(kindPressure, counter, "container_pressure_io_stalled_seconds_total", "Time in which every task waited for block devices, in seconds.",
			pressureValue(func(p *cgroup.Pressure) cgroup.Value { return p.IO.Full })),
	}
}
