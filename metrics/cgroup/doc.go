// Package cgroup reads what the Linux kernel accounts for one container: the
// files of its control group, version 1 or 2, and the interfaces of its network
// namespace.
//
// A handle keeps every file open and reads it again from its start, which costs
// a tenth of opening it anew and tells when the cgroup is gone: the kernel then
// answers ENODEV. Limits are read only when somebody has written to the cgroup,
// which inotify tells when it is asked; so are files that count only where there is a
// limit, and others while a file of the whole host says that nothing has happened.
// Nothing is allocated in a reading, and nothing runs between readings.
package cgroup
