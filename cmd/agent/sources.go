package agent

import (
	"fmt"
	"os"
	"path/filepath"

	"tallyman/collector"
	"tallyman/collector/apilog"
	"tallyman/collector/engine"
	"tallyman/collector/jsonfile"
	"tallyman/collector/record"
)

// openLogs opens the sources of logs: the engine's files where they can be read,
// and its log API for all other containers.
func (a *agent) openLogs(info engine.Info) (collector.Source, error) {
	api := apilog.New(apilog.Options{
		Engine: a.client, Spool: a.spool, History: a.wantsHistory, Saved: a.store.Positions,
		Inactivity: a.options.inactivity, MaxDelay: a.options.maxDelay, Logger: a.logger,
	})
	a.registry.MustRegister(a.spool, api.Stats())
	root := info.Root
	if a.options.dockerRoot != "" {
		root = a.options.dockerRoot
	}
	path := filepath.Join(root, "containers")
	local, err := jsonfile.Open(jsonfile.Options{
		Dir: path, TempDir: a.tempDir(), Logger: a.logger,
		RescueDir: filepath.Join(a.options.stateDir, "rescue"), Budget: a.budget,
		MaxDelay: a.options.maxDelay,
	})
	if err != nil {
		err = fmt.Errorf("%w; run the agent on the engine's host as root, and in a container mount %s at the same path, "+
			"or name the folder with --docker-root", err, path)
		a.logger.Error("the engine's log files cannot be read, so all logs are read through its API, which costs more "+
			"and loses lines of a container that floods while its log is rotated", "error", err)
		a.files.Set("", err)
		return api, nil
	}
	a.files.Set(path, nil)
	a.registry.MustRegister(local.Stats())
	return collector.NewSources(local, api), nil
}

// wantsHistory returns how many of the newest records of a container that is met
// for the first time some route would begin with; below zero all.
func (a *agent) wantsHistory(c *record.Container) int {
	most := uint32(0)
	for _, r := range a.table.Routes() {
		from := r.Beginning(c)
		if from.IsOldest() {
			return -1
		}
		n, _ := from.FromEnd()
		most = max(most, n)
	}
	return int(most)
}

// tempDir returns the folder for unpacked logs: beside the positions, which is
// a disk, where the system's own may be memory.
func (a *agent) tempDir() string {
	if info, err := os.Stat(a.options.stateDir); err == nil && info.IsDir() {
		return a.options.stateDir
	}
	return os.TempDir()
}
