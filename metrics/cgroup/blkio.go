package cgroup

// parseOperations calls of for each device of a blkio file, for the numbers that
// its operations have. Several files may tell of the same device, of which some do
// not count: the largest number is kept.
func parseOperations(s *Sample, b []byte, of func(*DeviceIO) *[Operations]Value) {
	s.HasIO = true
	parseBlkio(b, func(device Device, op Operation, n uint64) {
		numbers := of(s.device(device))
		numbers[op] = Value{max(numbers[op].N, n), true}
	})
}

// parseServiceBytes reads bytes by device and operation.
func parseServiceBytes(s *Sample, b []byte) {
	parseOperations(s, b, func(d *DeviceIO) *[Operations]Value { return &d.Bytes })
}

// parseServiced reads requests by device and operation.
func parseServiced(s *Sample, b []byte) {
	parseOperations(s, b, func(d *DeviceIO) *[Operations]Value { return &d.Requests })
}

// parseMerged reads merged requests by device and operation.
func parseMerged(s *Sample, b []byte) {
	parseOperations(s, b, func(d *DeviceIO) *[Operations]Value { return &d.Merged })
}

// parseServiceTime reads the time of requests by device and operation.
func parseServiceTime(s *Sample, b []byte) {
	parseOperations(s, b, func(d *DeviceIO) *[Operations]Value { return &d.ServiceTime })
}

// parseQueued reads requests in progress by device and operation.
func parseQueued(s *Sample, b []byte) {
	parseOperations(s, b, func(d *DeviceIO) *[Operations]Value { return &d.Queued })
}

// parseDeviceTime reads the time that each device was the cgroup's.
func parseDeviceTime(s *Sample, b []byte) {
	parseFlat(b, func(key []byte, n uint64) {
		if device, ok := parseDevice(key); ok {
			s.device(device).Time = Value{n, true}
		}
	})
}

// parseIOStat reads version 2's one file for bytes and requests.
func parseIOStat(s *Sample, b []byte) {
	s.HasIO = true
	parseNested(b, func(key, name []byte, n uint64) {
		device, ok := parseDevice(key)
		if !ok {
			return
		}
		switch string(name) {
		case "rbytes":
			s.device(device).Bytes[Read] = Value{n, true}
		case "wbytes":
			s.device(device).Bytes[Write] = Value{n, true}
		case "rios":
			s.device(device).Requests[Read] = Value{n, true}
		case "wios":
			s.device(device).Requests[Write] = Value{n, true}
		case "cost.usage":
			s.device(device).Cost.Usage = Value{n, true}
		case "cost.wait":
			s.device(device).Cost.Wait = Value{n, true}
		case "cost.indebt":
			s.device(device).Cost.InDebt = Value{n, true}
		case "cost.indelay":
			s.device(device).Cost.InDelay = Value{n, true}
		}
	})
}
