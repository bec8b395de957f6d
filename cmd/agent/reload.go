package agent

import (
	"context"
	"os"
	"os/signal"
	"syscall"
)

// catchHangup has SIGHUP sent to a channel until release is called. Without it the
// signal ends the process.
func catchHangup() (hangup <-chan os.Signal, release func()) {
	c := make(chan os.Signal, 1)
	signal.Notify(c, syscall.SIGHUP)
	return c, func() { signal.Stop(c) }
}

// reloadOnHangup reads the routes of the configuration anew at each SIGHUP until
// ctx ends. What is wrong leaves all as it was.
func (a *agent) reloadOnHangup(ctx context.Context, hangup <-chan os.Signal) {
	for {
		select {
		case <-ctx.Done():
			return
		case <-hangup:
			a.reload()
		}
	}
}

func (a *agent) reload() {
	if a.options.configFile == "" {
		a.logger.Warn("there is no configuration file to read anew: name one with --config")
		return
	}
	configured, err := a.options.configuredRoutes()
	if err == nil {
		err = a.manager.SetFixed(configured)
	}
	if err != nil {
		a.logger.Error("the new configuration is wrong, so that all stays as it was", "file", a.options.configFile, "error", err)
		return
	}
	a.logger.Info("the routes of the configuration were read anew; other settings need a restart",
		"file", a.options.configFile, "routes", len(configured))
}
