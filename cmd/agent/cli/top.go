package cli

import (
	"bytes"
	"cmp"
	"context"
	"encoding/json"
	"fmt"
	"io"
	"slices"
	"strings"
	"text/tabwriter"
	"text/template"
	"time"

	"github.com/docker/go-units"
	"github.com/spf13/cobra"

	"tallyman/cmd/agent/api"
)

// How tallyman top asks.
const (
	topEvery = time.Second
	// topPatience is how long it waits for the first measure of each container.
	topPatience = 4 * time.Second
	sparkPoints = 20
)

// topRow is one line of tallyman top, with the names that docker stats gives to
// a template.
type topRow struct {
	ID, Container, Name        string
	CPUPerc, MemUsage, MemPerc string
	NetIO, BlockIO, PIDs       string
	usage                      api.Usage
	spark                      string
}

func (c *command) top() *cobra.Command {
	once, order, format := false, "cpu", "table"
	cmd := &cobra.Command{
		Use: "top [flags] [QUERY…]", Short: "Show what containers use, as docker stats does",
		ValidArgsFunction: c.complete,
		RunE: func(cmd *cobra.Command, queries []string) error {
			less, ok := topOrders()[order]
			if !ok {
				return usagef("bad value %q of --sort; known are cpu, mem, net, io, name", order)
			}
			write, err := topWriter(format)
			if err != nil {
				return err
			}
			return c.withSession(cmd, func(ctx context.Context, s *session) error {
				t := top{command: c, session: s, queries: queries, less: less, write: write, sparks: make(map[string][]float64)}
				if once || !isTerminal(c.Stdout) {
					return t.once(ctx)
				}
				return t.live(ctx)
			})
		},
	}
	f := cmd.Flags()
	f.BoolVar(&once, "no-stream", false, "print once and end")
	f.StringVar(&order, "sort", order, "by cpu, mem, net, io or name")
	f.StringVar(&format, "format", format, "table, json, or a template with the names of docker stats, such as '{{.Name}} {{.CPUPerc}}'")
	return cmd
}

// topOrders are the orders of rows.
func topOrders() map[string]func(a, b *topRow) int {
	by := func(of func(*api.Usage) float64) func(a, b *topRow) int {
		return func(a, b *topRow) int {
			return cmp.Or(cmp.Compare(of(&b.usage), of(&a.usage)), strings.Compare(a.Name, b.Name))
		}
	}
	return map[string]func(a, b *topRow) int{
		"cpu":  by(func(u *api.Usage) float64 { return u.CPUPercent }),
		"mem":  by(func(u *api.Usage) float64 { return float64(u.MemoryBytes) }),
		"net":  by(func(u *api.Usage) float64 { return u.NetworkRxBPS + u.NetworkTxBPS }),
		"io":   by(func(u *api.Usage) float64 { return u.DiskReadBPS + u.DiskWriteBPS }),
		"name": func(a, b *topRow) int { return strings.Compare(a.Name, b.Name) },
	}
}

// top is tallyman top while it runs.
type top struct {
	*command
	session *session
	queries []string
	less    func(a, b *topRow) int
	write   func(io.Writer, []topRow) error
	// sparks are the last shares of the processor of each container.
	sparks map[string][]float64
}

// rows asks what containers use. all says that every one that runs was measured.
func (t *top) rows(ctx context.Context) (rows []topRow, all bool, err error) {
	list, err := t.containers(ctx, t.session)
	if err != nil {
		return nil, false, err
	}
	if list, err = choose(list, t.queries); err != nil {
		return nil, false, err
	}
	all = true
	for i := range list {
		r := &list[i]
		if r.Now == nil {
			all = all && r.State != "running"
			rows = append(rows, topRow{ID: short(r.ID), Container: short(r.ID), Name: r.Name, CPUPerc: "--", MemUsage: "-- / --", MemPerc: "--", NetIO: "--", BlockIO: "--", PIDs: "--"})
			continue
		}
		row := newTopRow(r)
		spark := append(t.sparks[r.ID], r.Now.CPUPercent)
		t.sparks[r.ID] = spark[max(0, len(spark)-sparkPoints):]
		row.spark = sparkline(t.sparks[r.ID])
		rows = append(rows, row)
	}
	slices.SortFunc(rows, func(a, b topRow) int { return t.less(&a, &b) })
	return rows, all, nil
}

// newTopRow writes numbers as docker stats does.
func newTopRow(r *api.Container) topRow {
	u := r.Now
	percent := 0.0
	if u.MemoryLimitBytes > 0 {
		percent = 100 * float64(u.MemoryBytes) / float64(u.MemoryLimitBytes)
	}
	decimal := func(n uint64) string { return units.HumanSizeWithPrecision(float64(n), 3) }
	return topRow{
		ID: short(r.ID), Container: short(r.ID), Name: r.Name, usage: *u,
		CPUPerc:  fmt.Sprintf("%.2f%%", u.CPUPercent),
		MemUsage: units.BytesSize(float64(u.MemoryBytes)) + " / " + units.BytesSize(float64(u.MemoryLimitBytes)),
		MemPerc:  fmt.Sprintf("%.2f%%", percent),
		NetIO:    decimal(u.NetworkRxBytes) + " / " + decimal(u.NetworkTxBytes),
		BlockIO:  decimal(u.DiskReadBytes) + " / " + decimal(u.DiskWriteBytes),
		PIDs:     fmt.Sprint(u.Pids),
	}
}

// sparkline draws values, of which 100 and the highest fill a letter.
func sparkline(values []float64) string {
	const bars = "▁▂▃▄▅▆▇█"
	highest := 100.0
	for _, v := range values {
		highest = max(highest, v)
	}
	letters := []rune(bars)
	var b strings.Builder
	for _, v := range values {
		b.WriteRune(letters[min(len(letters)-1, int(v/highest*float64(len(letters))))])
	}
	return b.String()
}

// once prints when every container was measured, or has had its time.
func (t *top) once(ctx context.Context) error {
	deadline := time.Now().Add(topPatience)
	for {
		rows, all, err := t.rows(ctx)
		if err != nil {
			return err
		}
		if all || time.Now().After(deadline) {
			for i := range rows {
				rows[i].spark = ""
			}
			return t.write(t.Stdout, rows)
		}
		select {
		case <-ctx.Done():
			return nil
		case <-time.After(topEvery / 4):
		}
	}
}

// live draws again and again in the same place.
func (t *top) live(ctx context.Context) error {
	tick := time.NewTicker(topEvery)
	defer tick.Stop()
	const home, clearLine, clearBelow = "\x1b[H", "\x1b[K", "\x1b[J"
	if _, err := io.WriteString(t.Stdout, home+clearBelow); err != nil {
		return err
	}
	for {
		rows, _, err := t.rows(ctx)
		if err != nil {
			return err
		}
		var screen bytes.Buffer
		if err := t.write(&screen, rows); err != nil {
			return err
		}
		text := home + strings.ReplaceAll(screen.String(), "\n", clearLine+"\n") + clearBelow
		if _, err := io.WriteString(t.Stdout, text); err != nil {
			return err
		}
		select {
		case <-ctx.Done():
			return nil
		case <-tick.C:
		}
	}
}

// topWriter returns what writes rows in a format.
func topWriter(format string) (func(io.Writer, []topRow) error, error) {
	switch format {
	case "table":
		return writeTop, nil
	case "json":
		return func(w io.Writer, rows []topRow) error {
			encoder := json.NewEncoder(w)
			for i := range rows {
				if err := encoder.Encode(&rows[i]); err != nil {
					return err
				}
			}
			return nil
		}, nil
	}
	parsed, err := template.New("format").Parse(format + "\n")
	if err != nil {
		return nil, usagef("the template %q of --format cannot be read: %w", format, err)
	}
	return func(w io.Writer, rows []topRow) error {
		for i := range rows {
			if err := parsed.Execute(w, &rows[i]); err != nil {
				return usagef("the template %q of --format: %w", format, err)
			}
		}
		return nil
	}, nil
}

func writeTop(w io.Writer, rows []topRow) error {
	table := tabwriter.NewWriter(w, 0, 0, 3, ' ', 0)
	fmt.Fprintln(table, "CONTAINER ID\tNAME\tCPU %\tMEM USAGE / LIMIT\tMEM %\tNET I/O\tBLOCK I/O\tPIDS")
	for i := range rows {
		r := &rows[i]
		line := strings.Join([]string{r.ID, r.Name, r.CPUPerc, r.MemUsage, r.MemPerc, r.NetIO, r.BlockIO, r.PIDs}, "\t")
		if r.spark != "" {
			line += "\t" + r.spark
		}
		fmt.Fprintln(table, line)
	}
	return table.Flush()
}
