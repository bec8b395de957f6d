package cli

import (
	"bufio"
	"encoding/json"
	"fmt"
	"hash/fnv"
	"regexp"
	"slices"
	"strings"

	"tallyman/cmd/agent/api"
)

// linePrinter prints lines.
type linePrinter struct {
	out           *bufio.Writer
	output        string
	times, colour bool
	// names says that each line begins with its container's name, which takes
	// width columns.
	names  bool
	width  int
	marked []*regexp.Regexp
}

// The escape sequences of a terminal (ECMA-48, section 8.3.117).
const (
	plainText  = "\x1b[0m"
	markedText = "\x1b[7m"
	faintText  = "\x1b[2m"
)

func (p *linePrinter) print(l *api.Line) error {
	switch p.output {
	case "json":
		return json.NewEncoder(p.out).Encode(l)
	case "text":
		if p.names {
			name := fmt.Sprintf("%-*s | ", p.width, l.Name)
			if p.colour {
				name = colourOf(l.Name) + name + plainText
			}
			_, _ = p.out.WriteString(name) // The writer keeps its error.
		}
		if p.times {
			stamp := l.Time.UTC().Format("2006-01-02T15:04:05.000000000Z") + " "
			if p.colour {
				stamp = faintText + stamp + plainText
			}
			_, _ = p.out.WriteString(stamp)
		}
	}
	_, _ = p.out.WriteString(p.mark(l.Line))
	return p.out.WriteByte('\n')
}

// mark marks what was looked for.
func (p *linePrinter) mark(line string) string {
	if !p.colour || p.output != "text" {
		return line
	}
	// All are looked for before any is marked: a mark is not what was looked for.
	var found [][]int
	for _, re := range p.marked {
		found = append(found, re.FindAllStringIndex(line, -1)...)
	}
	slices.SortStableFunc(found, func(a, b []int) int { return a[0] - b[0] })
	var marked strings.Builder
	at := 0
	for _, span := range found {
		if from := max(at, span[0]); from < span[1] {
			marked.WriteString(line[at:from] + markedText + line[from:span[1]] + plainText)
			at = span[1]
		}
	}
	return marked.String() + line[at:]
}

// colourOf returns the colour of a name, always the same.
func colourOf(name string) string {
	colours := [...]int{36, 33, 32, 35, 34, 96, 93, 92, 95, 94}
	h := fnv.New32a()
	_, _ = h.Write([]byte(name)) // A hash takes everything.
	return fmt.Sprintf("\x1b[%dm", colours[h.Sum32()%uint32(len(colours))])
}
