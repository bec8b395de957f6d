package agent

import (
	"fmt"
	"log/slog"
	"net"
	"path/filepath"
	"slices"
	"strconv"
	"strings"
	"time"

	"github.com/docker/go-units"
	"github.com/spf13/pflag"

	"tallyman/cmd/agent/api"
	"tallyman/collector/engine"
	"tallyman/routes"
)

// options are the agent's settings, from flags, the environment and the
// configuration file.
type options struct {
	build      Build
	listen     []string
	access     access
	stateDir   string
	routesDir  string
	dockerRoot string
	backlog    bool
	tail       routes.Tail
	// inactivity is for logs that come through the engine's API; 0 is never.
	inactivity time.Duration
	// maxDelay is for how long the lines of a busy log are gathered.
	maxDelay  time.Duration
	selection routes.Selection
	spoolMax  int64
	// containerTally says that /metrics tells each container's account.
	containerTally bool
	// logLevels says that /metrics tells each container's lines by level.
	logLevels bool
	logLevel  slog.Level
	logFormat string
	engine    engine.Options
	hostname  string
	catalog   *routes.Catalog
	// words are the routes of the command line or of ROUTE_URIS. routes are all
	// that are configured: those, and those of the file.
	words      []string
	configFile string
	// remarks tell of settings that mean nothing.
	remarks []string
	routes  []routes.Definition
	metrics metricsOptions
}

// minSpool is the least that --spool-max may be: less would give up lines that
// are only milliseconds behind.
const minSpool = 16 << 20

// mountedRoutes is where Logspout's users mount a folder for routes.
const mountedRoutes = "/mnt/routes"

// parseOptions reads all settings and the routes.
func parseOptions(b Build, args []string, lookupEnv func(string) (string, bool)) (options, error) {
	o, words, err := parseFlags(b, args, lookupEnv, nil)
	if err != nil {
		return o, err
	}
	if o.words, err = routeWords(words, lookupEnv); err != nil {
		return o, err
	}
	o.routes, err = o.configuredRoutes()
	return o, err
}

// parseFlags reads all settings, and returns the words that are no flags. more
// adds flags of a command's own.
func parseFlags(b Build, args []string, lookupEnv func(string) (string, bool), more func(*pflag.FlagSet)) (options, []string, error) {
	flags, err := parseFlagSet(args, more)
	if err != nil {
		return options{}, nil, err
	}
	env := environment{lookup: lookupEnv, hostFile: hostHostname}
	values := make(map[string]string)
	known := settings()
	o := options{
		build: b, configFile: flags.value(&known[0], env, nil), hostname: env.agentHost(), engine: env.engine(), remarks: env.remarks(),
	}
	file := &configFile{}
	if o.configFile != "" {
		if file, err = readConfiguration(o.configFile); err != nil {
			return o, nil, usageError{err}
		}
	}
	for i := range known {
		values[known[i].flag] = flags.value(&known[i], env, file.settings)
	}
	// Logspout's variables choose the address where ours does not.
	if address := cadvisorListen(flags.flags); address != "" && flags.values["listen"].text == "" {
		values["listen"] = address
	} else if listen := env.listen(); listen != "" && flags.values["listen"].text == "" && env.get("TALLYMAN_LISTEN") == "" {
		values["listen"] = listen
	}
	if env.get("DEBUG") != "" && flags.values["log-level"].text == "" && env.get("TALLYMAN_LOG_LEVEL") == "" {
		values["log-level"] = "debug"
	}
	if err := o.set(values, env); err != nil {
		return o, nil, err
	}
	if o.metrics, err = parseMetrics(flags.flags, values); err != nil {
		return o, nil, err
	}
	o.catalog = &routes.Catalog{Adapters: b.Adapters, LookupEnv: env.Lookup, Backlog: o.backlog, Tail: o.tail}
	return o, flags.words, nil
}

// set takes the values of all settings.
func (o *options) set(values map[string]string, env environment) (err error) {
	o.stateDir, o.dockerRoot, o.logFormat = values["state-dir"], values["docker-root"], values["log-format"]
	if o.routesDir = values["routes-dir"]; o.routesDir == "" {
		if o.routesDir = mountedRoutes; !exists(mountedRoutes) {
			o.routesDir = filepath.Join(o.stateDir, "routes")
		}
	}
	for address := range strings.SplitSeq(values["listen"], ",") {
		address = strings.TrimSpace(address)
		if _, _, err := net.SplitHostPort(address); err != nil {
			return usagef("bad address %q of --listen; it is written host:port", address)
		}
		o.listen = append(o.listen, address)
	}
	if o.access, err = newAccess(values["auth"], values["auth-token-file"], env.get("TALLYMAN_AUTH_TOKEN"), values["web-config"]); err != nil {
		return usageError{err}
	}
	o.access.hosts = api.Words(values["hosts"])
	var allowTTY bool
	for _, flag := range []struct {
		name  string
		value *bool
	}{{"backlog", &o.backlog}, {"allow-tty", &allowTTY}, {"container-tally", &o.containerTally}, {"log-levels", &o.logLevels}} {
		if *flag.value, err = strconv.ParseBool(values[flag.name]); err != nil {
			return usagef("bad value %q of --%s (or %s); known are true, false", values[flag.name], flag.name, envOf(flag.name))
		}
	}
	if o.tail, err = routes.ParseTail(values["tail"]); err != nil {
		return usagef("bad value %q of --tail (or TAIL); %w", values["tail"], err)
	}
	if o.inactivity, err = time.ParseDuration(values["inactivity-timeout"]); err != nil || o.inactivity < 0 {
		return usagef("bad value %q of --inactivity-timeout (or INACTIVITY_TIMEOUT); it is a time such as 1m30s", values["inactivity-timeout"])
	}
	if o.maxDelay, err = time.ParseDuration(values["max-delay"]); err != nil || o.maxDelay < time.Millisecond || o.maxDelay > time.Second {
		return usagef("bad value %q of --max-delay (or TALLYMAN_MAX_DELAY); it is a time from 1ms to 1s", values["max-delay"])
	}
	o.selection.SkipTTY = !allowTTY
	if o.selection.ExcludeLabels, err = routes.ParseExcludeLabels(values["exclude-labels"]); err != nil {
		return usagef("--exclude-labels: %w", err)
	}
	if o.spoolMax, err = units.RAMInBytes(values["spool-max"]); err != nil || o.spoolMax < minSpool {
		return usagef("bad value %q of --spool-max; it is written as a number of bytes or with a unit, such as 500MiB, and is 16MiB at least",
			values["spool-max"])
	}
	if err := o.logLevel.UnmarshalText([]byte(values["log-level"])); err != nil {
		return usagef("bad value %q of --log-level; known are debug, info, warn, error", values["log-level"])
	}
	if o.logFormat != "text" && o.logFormat != "json" {
		return usagef("bad value %q of --log-format; known are text, json", o.logFormat)
	}
	return nil
}

// envOf returns the variable of a flag.
func envOf(flag string) string {
	for _, s := range settings() {
		if s.flag == flag {
			return s.env
		}
	}
	return ""
}

// reachable returns the address at which the commands ask the agent: one of the
// loopback interface where there is one, for that is open to them.
func (o *options) reachable() string {
	for _, address := range o.listen {
		if host, _, err := net.SplitHostPort(address); err == nil && isLoopback(host) {
			return address
		}
	}
	return o.listen[0]
}

// routeWords returns the route URIs of the arguments, or else of ROUTE_URIS.
func routeWords(args []string, lookupEnv func(string) (string, bool)) ([]string, error) {
	// A Compose file may have nothing in the place of an argument.
	args = slices.DeleteFunc(slices.Clone(args), func(arg string) bool { return strings.TrimSpace(arg) == "" })
	for _, arg := range args {
		if !strings.Contains(arg, "://") {
			return nil, usagef("unknown command %q; known are logs, top, ps, routes, completion, check, health, tally, spool, version, help, and route URIs such as syslog+tcp://host:514", arg)
		}
	}
	if len(args) == 0 {
		list, _ := lookupEnv("ROUTE_URIS")
		args = []string{list}
	}
	var uris []string
	for _, list := range args {
		uris = append(uris, routes.SplitURIs(list)...)
	}
	return uris, nil
}

// configuredRoutes makes the routes of the command line and reads those of the
// configuration file anew. The error tells of all that is wrong.
func (o *options) configuredRoutes() ([]routes.Definition, error) {
	var problems []string
	found, err := o.commandLineRoutes()
	if err != nil {
		problems = append(problems, err.Error())
	}
	if o.configFile != "" {
		file, err := readConfiguration(o.configFile)
		var defined []routes.Definition
		if err == nil {
			defined, err = file.define(o.catalog)
		}
		if err != nil {
			problems = append(problems, err.Error())
		}
		found = append(found, defined...)
	}
	if len(problems) > 0 {
		return nil, usageError{fmt.Errorf("%s", strings.Join(problems, "\n"))}
	}
	return found, nil
}

func (o *options) commandLineRoutes() ([]routes.Definition, error) {
	var found []routes.Definition
	var problems []string
	for _, uri := range o.words {
		d, err := o.catalog.Parse(uri)
		if err == nil {
			if err = d.Validate(); err != nil {
				err = fmt.Errorf("route %q: %w", d.String(), err)
			}
		}
		if err != nil {
			problems = append(problems, err.Error())
			continue
		}
		found = append(found, d)
	}
	if len(problems) > 0 {
		return nil, fmt.Errorf("%s", strings.Join(problems, "\n"))
	}
	return found, nil
}
