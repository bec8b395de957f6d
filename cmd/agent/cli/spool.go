package cli

import (
	"fmt"
	"io"
	"path/filepath"
	"text/tabwriter"
	"time"

	"github.com/docker/go-units"
	"github.com/spf13/cobra"

	"tallyman/collector/jsonfile"
	"tallyman/collector/spool"
)

func (c *command) spool() *cobra.Command {
	print := func(verify bool) func(*cobra.Command, []string) error {
		return func(*cobra.Command, []string) error { return printSpool(c.StateDir, verify, c.Stdout) }
	}
	cmd := &cobra.Command{
		Use: "spool", Short: "List what is kept on disk for lines that exist nowhere else any more", Args: cobra.NoArgs, RunE: print(false),
	}
	cmd.AddCommand(
		&cobra.Command{Use: "list", Short: "The same", Args: cobra.NoArgs, RunE: print(false)},
		&cobra.Command{Use: "verify", Short: "Read all of it, and fail when something is damaged", Args: cobra.NoArgs, RunE: print(true)},
	)
	return cmd
}

// printSpool lists what is kept on disk in the state folder, of running and of
// ended agents: copied logs and rescued files. With verify it reads all of it
// and fails when something is damaged.
func printSpool(stateDir string, verify bool, stdout io.Writer) error {
	list := spool.List
	if verify {
		list = spool.Verify
	}
	logs, err := list(filepath.Join(stateDir, "spool"))
	if err != nil {
		return err
	}
	rescued, err := jsonfile.ListRescued(filepath.Join(stateDir, "rescue"))
	if err != nil {
		return err
	}
	damaged := 0
	table := tabwriter.NewWriter(stdout, 0, 0, 2, ' ', 0)
	fmt.Fprintln(table, "CONTAINER\tKIND\tFILES\tSIZE\tLINES\tFROM\tTO\tDAMAGED")
	var problems []string
	for _, s := range logs {
		fmt.Fprintf(table, "%s\tcopied\t%d\t%s\t%d\t%s\t%s\t%d\n", short(s.Container), s.Segments,
			units.BytesSize(float64(s.Bytes)), s.Records, clock(s.First), clock(s.Last), s.Corrupt)
		damaged += s.Corrupt
		problems = append(problems, s.Damages...)
	}
	for _, s := range rescued {
		fmt.Fprintf(table, "%s\trescued\t%d\t%s\t%d\t%s\t%s\t%d\n", short(s.Container), s.Files,
			units.BytesSize(float64(s.Bytes)), s.Records, clock(s.First), clock(s.Last), s.Broken)
		damaged += s.Broken
	}
	if err := table.Flush(); err != nil {
		return err
	}
	for _, p := range problems {
		fmt.Fprintln(stdout, p)
	}
	if verify && damaged > 0 {
		return fmt.Errorf("%d places are damaged", damaged)
	}
	return nil
}

func short(id string) string { return id[:min(len(id), 12)] }

func clock(t time.Time) string {
	if t.IsZero() {
		return "-"
	}
	return t.UTC().Format(time.RFC3339)
}
