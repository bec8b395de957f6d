package main

import (
	"fmt"
	"io"
	"log/slog"
	"net"
	"strconv"
	"strings"

	"github.com/docker/go-units"
	"github.com/spf13/pflag"

	"tallyman/adapters/all"
	"tallyman/collector/engine"
	"tallyman/routes"
)

// options are the agent's settings, from flags and the environment.
type options struct {
	listen     string
	stateDir   string
	dockerRoot string
	backlog    bool
	spoolMax   int64
	logLevel   slog.Level
	logFormat  string
	engine     engine.Options
	routes     []routes.Definition
}

// setting is a flag and the environment variable that stands for it.
type setting struct {
	flag, env, value, help string
}

// settings are all flags, in the order of the help text.
func settings() []setting {
	return []setting{
		{"listen", "TALLYMAN_LISTEN", "127.0.0.1:8000", "address of the HTTP server"},
		{"state-dir", "TALLYMAN_STATE_DIR", "/var/lib/tallyman", "folder for positions"},
		{"docker-root", "TALLYMAN_DOCKER_ROOT", "", "folder of the engine's data (default: what the engine says)"},
		{"spool-max", "TALLYMAN_SPOOL_MAX", "1GiB", "most disk space for lines that exist nowhere else any more"},
		{"backlog", "BACKLOG", "false", "read logs that are older than the route from their oldest line"},
		{"log-level", "TALLYMAN_LOG_LEVEL", "info", "debug, info, warn or error"},
		{"log-format", "TALLYMAN_LOG_FORMAT", "text", "text or json"},
	}
}

// parseOptions reads flags, then the environment where a flag is not given.
func parseOptions(args []string, lookupEnv func(string) (string, bool)) (options, error) {
	flags := pflag.NewFlagSet("tallyman", pflag.ContinueOnError)
	flags.SetOutput(io.Discard)
	flags.Usage = func() {}
	values := make(map[string]*string)
	var names []string
	for _, s := range settings() {
		values[s.flag] = flags.String(s.flag, s.value, s.help)
		names = append(names, "--"+s.flag)
	}
	flags.Lookup("backlog").NoOptDefVal = "true"
	if err := flags.Parse(args); err != nil {
		return options{}, usagef("%w; known flags are %s", err, strings.Join(names, ", "))
	}
	for _, s := range settings() {
		if v, ok := lookupEnv(s.env); ok && v != "" && !flags.Changed(s.flag) {
			*values[s.flag] = v
		}
	}
	o := options{
		listen:     *values["listen"],
		stateDir:   *values["state-dir"],
		dockerRoot: *values["docker-root"],
		logFormat:  *values["log-format"],
	}
	if _, _, err := net.SplitHostPort(o.listen); err != nil {
		return o, usagef("bad address %q of --listen; it is written host:port", o.listen)
	}
	var err error
	if o.backlog, err = strconv.ParseBool(*values["backlog"]); err != nil {
		return o, usagef("bad value %q of --backlog (or BACKLOG); known are true, false", *values["backlog"])
	}
	if o.spoolMax, err = units.RAMInBytes(*values["spool-max"]); err != nil || o.spoolMax < 0 {
		return o, usagef("bad value %q of --spool-max; it is written as a number of bytes or with a unit, such as 500MiB", *values["spool-max"])
	}
	if err := o.logLevel.UnmarshalText([]byte(*values["log-level"])); err != nil {
		return o, usagef("bad value %q of --log-level; known are debug, info, warn, error", *values["log-level"])
	}
	if o.logFormat != "text" && o.logFormat != "json" {
		return o, usagef("bad value %q of --log-format; known are text, json", o.logFormat)
	}
	o.engine = engineOptions(lookupEnv)
	o.routes, err = parseRoutes(flags.Args(), o.backlog, lookupEnv)
	return o, err
}

// parseRoutes reads the routes from the arguments, or else from ROUTE_URIS.
func parseRoutes(args []string, backlog bool, lookupEnv func(string) (string, bool)) ([]routes.Definition, error) {
	for _, arg := range args {
		if !strings.Contains(arg, "://") {
			return nil, usagef("unknown command %q; known are version, health, help, and route URIs such as syslog+tcp://host:514", arg)
		}
	}
	uris := args
	if len(uris) == 0 {
		list, _ := lookupEnv("ROUTE_URIS")
		uris = []string{list}
	}
	catalog := routes.Catalog{Adapters: all.List(), LookupEnv: lookupEnv, Backlog: backlog}
	var found []routes.Definition
	for _, list := range uris {
		for _, uri := range routes.SplitURIs(list) {
			d, err := catalog.Parse(uri)
			if err != nil {
				return nil, usageError{err}
			}
			if err := d.Validate(); err != nil {
				return nil, usagef("route %q: %w", d.String(), err)
			}
			found = append(found, d)
		}
	}
	return found, nil
}

// engineOptions reads the variables of Docker's own client.
func engineOptions(lookupEnv func(string) (string, bool)) engine.Options {
	get := func(name string) string {
		v, _ := lookupEnv(name)
		return v
	}
	o := engine.Options{
		Host:       get("DOCKER_HOST"),
		APIVersion: get("DOCKER_API_VERSION"),
		CertPath:   get("DOCKER_CERT_PATH"),
		TLSVerify:  get("DOCKER_TLS_VERIFY") != "",
	}
	if home := get("HOME"); o.TLSVerify && o.CertPath == "" && home != "" {
		o.CertPath = home + "/.docker"
	}
	return o
}

const helpText = `tallyman delivers the logs of this host's containers and exposes their resource use.

Usage:
  tallyman [flags] [ROUTE-URI[,ROUTE-URI…] …]   run the agent
  tallyman health [--listen ADDRESS]            ask the running agent how it is; exit 0 or 1
  tallyman version
  tallyman help

A route URI is adapter[+transport]://host:port[?option=value&…]. Without one the
agent serves HTTP only: /logs, /metrics, /health. ROUTE_URIS is read when no route
is given as an argument.

Flags, each with the environment variable that stands for it:
`

func printHelp(w io.Writer) error {
	var text strings.Builder
	text.WriteString(helpText)
	for _, s := range settings() {
		fmt.Fprintf(&text, "  --%-13s %-20s  %s", s.flag, s.env, s.help)
		if s.value != "" {
			fmt.Fprintf(&text, " (default %s)", s.value)
		}
		text.WriteByte('\n')
	}
	text.WriteString(`
The engine is found by DOCKER_HOST, DOCKER_TLS_VERIFY, DOCKER_CERT_PATH and
DOCKER_API_VERSION, as Docker's own client does.

Options of every route:
  name            name under which its positions are kept (default: its adapter, address and filters)
  backlog         true or false: as --backlog
  filter.id       prefix of a container's ID
  filter.name     pattern of a container's name, such as web_*
  filter.labels   label:pattern,… all of which must match
  filter.sources  stdout or stderr
`)
	for _, d := range all.List() {
		fmt.Fprintf(&text, "\n%s: %s\n  transports: %s\n", d.Name, d.Summary, strings.Join(d.Transports, ", "))
		for _, o := range d.Options {
			fmt.Fprintf(&text, "  %-26s %s", o.Name, o.Help)
			if o.Env != "" {
				fmt.Fprintf(&text, " (also %s)", o.Env)
			}
			if o.Default != "" {
				fmt.Fprintf(&text, " (default %q)", o.Default)
			}
			text.WriteByte('\n')
		}
	}
	_, err := io.WriteString(w, text.String())
	return err
}
