package cgroup

import (
	"fmt"
	"strings"
)

// Operation is a kind of block device access, as version 1 names them.
type Operation uint8

// The operations. Version 2 has only the first two.
const (
	Read Operation = iota
	Write
	Sync
	Async
	Discard
	Total
)

// Operations is the number of operations, for tables indexed by Operation.
const Operations = 6

// String returns the kernel's word.
func (o Operation) String() string {
	return [Operations]string{"Read", "Write", "Sync", "Async", "Discard", "Total"}[o]
}

// Device is a block device's number.
type Device struct {
	Major, Minor uint32
}

// String returns "major:minor".
func (d Device) String() string { return fmt.Sprintf("%d:%d", d.Major, d.Minor) }

// DeviceIO is a cgroup's use of one block device.
type DeviceIO struct {
	Device
	// Bytes and Requests are counters by Operation.
	Bytes, Requests [Operations]Value
	// Merged counts requests merged with others, ServiceTime is the nanoseconds
	// that requests took, Queued how many are in progress, by Operation, and Time
	// the milliseconds that the device was the cgroup's. Only version 1 has them,
	// for devices with the scheduler bfq or cfq.
	Merged, ServiceTime, Queued [Operations]Value
	Time                        Value
	// Cost is the use of the device as the kernel's model of it has it, in
	// microseconds. Only version 2 has it, where the model is switched on.
	Cost Cost
}

// Cost is time by the kernel's model of a device, in microseconds: used, waited
// for, and held back for debt.
type Cost struct {
	Usage, Wait, InDebt, InDelay Value
}

// NumaPages is how many pages of a kind lie on a memory node.
type NumaPages struct {
	// Kind is file, anon or unevictable.
	Kind string
	Node uint64
	// Own are the cgroup's pages, Hierarchy those of it and all below.
	Own, Hierarchy uint64
}

// HugePages is the use of huge pages of one size, in bytes.
type HugePages struct {
	// Size is the kernel's word, such as 2MB.
	Size string
	// Failures counts allocations that the limit refused.
	Usage, MaxUsage, Failures Value
}

// AddIO adds to a device's counters by the kernel's word for the operation,
// which engines write in any case.
func (s *Sample) AddIO(device Device, operation string, bytes, requests uint64) {
	for op := range Operation(Operations) {
		if strings.EqualFold(op.String(), operation) {
			entry := s.device(device)
			entry.Bytes[op] = Value{entry.Bytes[op].N + bytes, true}
			entry.Requests[op] = Value{entry.Requests[op].N + requests, true}
			s.HasIO = true
		}
	}
}
