package agent

import (
	"fmt"
	"io"
	"strings"
)

const helpText = `tallyman delivers the logs of this host's containers and exposes their resource use.

Usage:
  tallyman [flags] [ROUTE-URI[,ROUTE-URI…] …]   run the agent
  tallyman logs [-f] [-n LINES] [QUERY…]        the containers' logs, merged by time and searched
  tallyman top [QUERY…]                         what the containers use, as docker stats
  tallyman ps [-a] [QUERY…]                     the containers
  tallyman routes [add URI|rm ID]               the running agent's routes
  tallyman completion bash|zsh|fish|powershell  completion for a shell
  tallyman health                               ask the running agent how it is; exit 0, 1, or 3 where none answers
  tallyman tally [--json] [CONTAINER…]          what became of every line: did that container's log arrive?
  tallyman check [flags] [ROUTE-URI…]           say what would run, and what is wrong, without starting
  tallyman spool [list|verify]                  what is kept on disk for lines that exist nowhere else any more
  tallyman version
  tallyman help

A route URI is adapter[+transport]://host:port[?option=value&…]. Without one the
agent serves HTTP only: /logs, /metrics, /health. ROUTE_URIS is read when no route
is given as an argument. Routes are also read from the file of --config, and made,
changed and removed at /routes while the agent runs.

Flags, each with the environment variable that stands for it:
`

// printHelp writes all that can be set.
func printHelp(b Build, w io.Writer) error {
	var text strings.Builder
	text.WriteString(helpText)
	for _, s := range settings() {
		fmt.Fprintf(&text, "  --%-15s %-24s  %s", s.flag, s.env, s.help)
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
  tail            begin so many lines before the end of each log that is older than the route
  since           begin so long before the route was first met, such as 1h, or at a time (RFC 3339)
  filter.id       prefix of a container's ID
  filter.name     patterns of the container's name: web_*,!*_test
  filter.image, filter.project, filter.service, filter.swarm
                  the same for the image, Compose's project and service, a swarm's service
  filter.labels   label:pattern,label,!label,… all of which must hold; a|b where one may
  filter.sources  stdout or stderr
  filter.include, filter.exclude
                  expression (RE2) of lines that are wanted, or not
  filter.level    least level of a line, such as warning
  ansi            strip: without colours and other escape sequences
  multiline       java, python, go, ruby, dotnet, or an expression of a message's first line;
                  also multiline.mode, multiline.separator, multiline.flush, multiline.optin
  sample          part of the lines, such as 0.1
  rate            lines of each container, such as 100/s
  redact          bearer, card, email; redact.NAME for an expression of one's own
`)
	for _, d := range b.Adapters {
		fmt.Fprintf(&text, "\n%s: %s\n  transports: %s\n", d.Name, d.Summary, strings.Join(d.Transports, ", "))
		for _, o := range d.Options {
			fmt.Fprintf(&text, "  %-26s %s", o.Name, o.Help)
			if o.Env != "" {
				fmt.Fprintf(&text, " (also %s)", o.Env)
			}
			if len(o.Transports) > 0 {
				fmt.Fprintf(&text, " (over %s)", strings.Join(o.Transports, ", "))
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
