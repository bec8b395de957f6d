package agent

import (
	"io"
	"strings"

	"github.com/spf13/pflag"
)

// setting is a flag and the environment variable that stands for it. The
// configuration file has it under the flag's name, with underscores.
type setting struct {
	flag, env, value, help string
	// also is Logspout's other name for the variable.
	also string
	// isSwitch says that the flag needs no value.
	isSwitch bool
	// isList says that the flag may be given several times.
	isList bool
}

// settings are all flags, in the order of the help text.
func settings() []setting {
	return append([]setting{
		{flag: "config", env: "TALLYMAN_CONFIG", help: "file with routes and settings (YAML)"},
		{flag: "listen", env: "TALLYMAN_LISTEN", value: "127.0.0.1:8000", isList: true, help: "address of the HTTP server; several, separated by commas or in flags of their own"},
		{flag: "auth", env: "TALLYMAN_AUTH", help: "none: whoever reaches the HTTP server may read all logs and change routes; else only /health and /metrics are open, but for loopback addresses"},
		{flag: "hosts", env: "TALLYMAN_HOSTS", isList: true, help: "names by which the HTTP server is asked on loopback addresses and with --auth=none, besides addresses, localhost and, with --auth=none, names without a dot; several, separated by commas; * is any"},
		{flag: "auth-token-file", env: "TALLYMAN_AUTH_TOKEN_FILE", help: "file with the token that HTTP clients send, browsers as a password"},
		{flag: "web-config", env: "TALLYMAN_WEB_CONFIG", help: "file with certificates and passwords for all but loopback addresses, as Prometheus has it"},
		{flag: "state-dir", env: "TALLYMAN_STATE_DIR", value: "/var/lib/tallyman", help: "folder for positions"},
		{flag: "routes-dir", env: "ROUTESPATH", help: "folder for routes that are made at /routes (default: /mnt/routes where it is there, else routes in the state folder)"},
		{flag: "docker-root", env: "TALLYMAN_DOCKER_ROOT", help: "folder of the engine's data (default: what the engine says)"},
		{flag: "spool-max", env: "TALLYMAN_SPOOL_MAX", value: "1GiB", help: "most disk space for lines that exist nowhere else any more"},
		{flag: "backlog", env: "BACKLOG", value: "false", isSwitch: true, help: "read logs that are older than the route from their oldest line"},
		{flag: "tail", env: "TAIL", value: "all", help: "how many lines at most are read of each log that --backlog or a route's since has read: a number or all"},
		{flag: "inactivity-timeout", env: "INACTIVITY_TIMEOUT", value: "0s", help: "after how long without a line a log that comes through the engine's API is asked for anew; 0s is never"},
		{flag: "max-delay", env: "TALLYMAN_MAX_DELAY", value: "5ms", help: "for how long the lines of a busy log are gathered, 1ms to 1s; a line that comes after a pause is read at once"},
		{flag: "allow-tty", env: "ALLOW_TTY", value: "false", isSwitch: true, help: "read containers with a terminal too"},
		{flag: "exclude-labels", env: "EXCLUDE_LABELS", also: "EXCLUDE_LABEL", help: "containers to leave out: label or label:value, separated by semicolons"},
		{flag: "log-levels", env: "TALLYMAN_LOG_LEVELS", value: "false", isSwitch: true, help: "count in /metrics the lines of each container by the level that they name too"},
		{flag: "container-tally", env: "TALLYMAN_CONTAINER_TALLY", value: "false", isSwitch: true, help: "tell in /metrics what became of the lines of each container too"},
		{flag: "log-level", env: "TALLYMAN_LOG_LEVEL", value: "info", help: "debug, info, warn or error"},
		{flag: "log-format", env: "TALLYMAN_LOG_FORMAT", value: "text", help: "text or json"},
	}, metricsSettings()...)
}

// key is the setting's name in the configuration file.
func (s *setting) key() string { return strings.ReplaceAll(s.flag, "-", "_") }

// flagValue is a flag's text. That of a list grows with each flag.
type flagValue struct {
	text   string
	isList bool
}

func (v *flagValue) String() string { return v.text }

func (v *flagValue) Type() string { return "string" }

func (v *flagValue) Set(text string) error {
	if v.isList && v.text != "" {
		text = v.text + "," + text
	}
	v.text = text
	return nil
}

// flagSet is what was given on the command line.
type flagSet struct {
	flags  *pflag.FlagSet
	values map[string]*flagValue
	words  []string
}

// parseFlagSet reads the command line. more adds flags of a command's own.
func parseFlagSet(args []string, more func(*pflag.FlagSet)) (*flagSet, error) {
	flags := pflag.NewFlagSet("tallyman", pflag.ContinueOnError)
	flags.SetOutput(io.Discard)
	flags.Usage = func() {}
	f := &flagSet{flags: flags, values: make(map[string]*flagValue)}
	var names []string
	for _, s := range settings() {
		f.values[s.flag] = &flagValue{isList: s.isList}
		flags.Var(f.values[s.flag], s.flag, s.help)
		if s.isSwitch {
			flags.Lookup(s.flag).NoOptDefVal = "true"
		}
		names = append(names, "--"+s.flag)
	}
	addCadvisorFlags(flags)
	if more != nil {
		more(flags)
	}
	if err := flags.Parse(doubleDashes(flags, args)); err != nil {
		return nil, usagef("%w; known flags are %s", err, strings.Join(names, ", "))
	}
	f.words = flags.Args()
	return f, nil
}

// value returns a setting: from its flag, else from the environment, else from
// the configuration file, else the default. An empty variable counts for nothing.
func (f *flagSet) value(s *setting, env environment, file map[string]string) string {
	if v := f.values[s.flag].text; v != "" {
		return v
	}
	for _, name := range []string{s.env, s.also} {
		if v := env.get(name); name != "" && v != "" {
			return v
		}
	}
	if v := file[s.key()]; v != "" {
		return v
	}
	return s.value
}
