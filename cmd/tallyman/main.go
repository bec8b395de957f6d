// Command tallyman delivers the logs of a host's containers to where they are
// kept, and exposes the containers' resource use to Prometheus.
package main

import (
	"os"

	"tallyman/adapters/all"
	"tallyman/cmd/agent"
)

// version is set by the linker from git.
var version = "unreleased"

func main() {
	os.Exit(agent.Main(agent.Build{Version: version, Adapters: all.List()}))
}
