package agent

import (
	"fmt"
	"io"
	"maps"
	"slices"
	"strings"

	"tallyman/routes"
)

// check says what would run with the same arguments, and what is wrong, without
// starting. The error holds all that is wrong.
func check(b Build, args []string, lookupEnv func(string) (string, bool), stdout io.Writer) error {
	o, err := parseOptions(b, args, lookupEnv)
	if err != nil {
		return err
	}
	stored, problems := routes.Stored(o.catalog, o.routesDir)
	identities := make(map[string]string)
	var wrong []string
	line := func(origin string, d *routes.Definition) {
		fmt.Fprintf(stdout, "route   %-14s %s (%s)\n", d.ID(), d, origin)
		if other, taken := identities[d.Identity()]; taken && origin != "stored" {
			wrong = append(wrong, fmt.Sprintf("route %q: %s has the same name, or the same adapter, address and filters", d, other))
		}
		identities[d.Identity()] = d.String()
	}
	for _, address := range o.listen {
		fmt.Fprintf(stdout, "listen  %s\n", address)
	}
	fmt.Fprintf(stdout, "state   %s\n", o.stateDir)
	for _, remark := range o.remarks {
		fmt.Fprintf(stdout, "remark  %s\n", remark)
	}
	for i := range o.routes {
		line("configured", &o.routes[i])
	}
	for i := range stored {
		line("stored", &stored[i])
	}
	if len(o.routes)+len(stored) == 0 {
		fmt.Fprintln(stdout, "route   none")
	}
	for _, id := range slices.Sorted(maps.Keys(problems)) {
		wrong = append(wrong, problems[id].Error())
	}
	if len(wrong) > 0 {
		return usagef("%s", strings.Join(wrong, "\n"))
	}
	return nil
}
