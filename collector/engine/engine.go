// Package engine asks the container engine what the collector wants to know, in
// the collector's own words. Everything that depends on the Docker client
// library stays in this package.
package engine

import (
	"context"
	"errors"
	"time"

	"tallyman/collector/record"
)

// ErrNotFound says that the engine does not know the container, or no longer.
var ErrNotFound = errors.New("the engine has no such container")

// Engine is what the collector needs of a container engine. Its methods may be
// called from any goroutine.
type Engine interface {
	// Info describes the engine and its host.
	Info(ctx context.Context) (Info, error)
	// List returns all containers, also those that are not running.
	List(ctx context.Context) ([]Entry, error)
	// Inspect returns all that is known of one container. The error is
	// ErrNotFound when it has gone.
	Inspect(ctx context.Context, id string) (*record.Container, error)
	// Events streams what happens to containers. It returns when the stream is
	// open, so that a List made after it misses nothing, or when it could not be
	// opened. With a time, the stream starts with the events since that time,
	// inclusive, as far as the engine still has them.
	//
	// The error channel yields one error, after the last event, when ctx has
	// ended or the stream broke, and is then closed, as is the event channel.
	// The caller receives until then.
	Events(ctx context.Context, since time.Time) (<-chan Event, <-chan error)
}

// Info describes an engine and the host it runs on.
type Info struct {
	// ID names the engine, Name is its host's name.
	ID, Name string
	// Version is the engine's, APIVersion the one spoken with it.
	Version, APIVersion string
	// Root is the folder with the engine's data, on the engine's host.
	Root string
	// LoggingDriver is the driver of containers that do not choose one.
	LoggingDriver string
	// CgroupDriver is "cgroupfs", "systemd" or "none", CgroupVersion "1" or "2".
	CgroupDriver, CgroupVersion string
	// Kernel is the kernel's release, OS the name of the distribution.
	Kernel, OS string
	// NCPU is the number of processors, MemTotal the memory in bytes.
	NCPU     int
	MemTotal int64
}

// Entry is what a list tells of a container.
type Entry struct {
	// ID is the engine's 64 hexadecimal digits.
	ID string
	// Name is the container's name without the leading slash.
	Name string
	// State is the engine's word: created, running, paused, restarting,
	// removing, exited or dead.
	State string
	// Labels are the container's labels.
	Labels map[string]string
	// Image is the image as the engine names it now.
	Image string
	// Created is when the container was made, in whole seconds.
	Created time.Time
}

// The actions that Events tells of.
const (
	ActionCreate  = "create"
	ActionStart   = "start"
	ActionDie     = "die"
	ActionDestroy = "destroy"
	ActionRename  = "rename"
	ActionPause   = "pause"
	ActionUnpause = "unpause"
	ActionOOM     = "oom"
	ActionUpdate  = "update"
	ActionHealth  = "health_status"
)

// Event is something that happened to a container.
type Event struct {
	// Time is the engine's, with nanoseconds.
	Time time.Time
	// Action is one of the constants above. What some engines write behind it
	// and a colon is left out.
	Action string
	// Health is the new health, with ActionHealth.
	Health string
	// ID is the container's.
	ID string
	// Attributes are the name, the image, all labels and what belongs to the
	// action, in one name space: a label named "name" is hidden by the name.
	Attributes map[string]string
}
