// Package all is the one list of adapters.
package all

import (
	"tallyman/adapters"
	"tallyman/adapters/file"
	"tallyman/adapters/gelf"
	httppost "tallyman/adapters/http"
	"tallyman/adapters/loki"
	"tallyman/adapters/nats"
	"tallyman/adapters/otlp"
	"tallyman/adapters/raw"
	"tallyman/adapters/syslog"
)

// List returns every adapter that a route can name. A new adapter is one more
// line here.
func List() []adapters.Description {
	return []adapters.Description{
		syslog.Description(),
		raw.Description(),
		file.Description(),
		httppost.Description(),
		loki.Description(),
		otlp.Description(),
		nats.Description(),
		gelf.Description(),
	}
}
