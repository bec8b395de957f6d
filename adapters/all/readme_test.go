package all

import (
	"os"
	"path/filepath"
	"slices"
	"strings"
	"testing"

	"tallyman/adapters"
)

// Every README says what "delivered" means, what the options are, what odd input
// gets, and gives an example.
func TestReadmesHaveTheirSections(t *testing.T) {
	for _, d := range List() {
		text := readme(t, d.Name)
		for _, heading := range []string{"What is sent", "What delivered means", "Options", "What odd input gets", "Example"} {
			if d.Name == "file" && heading == "What is sent" {
				heading = "What is written"
			}
			if !strings.Contains(text, "\n## "+heading) {
				t.Errorf("the README of %s has no section %q", d.Name, heading)
			}
		}
	}
}

// The table of options in a README has a row for each option that the code knows
// and no other, with its default, its variable and the words that it allows.
func TestReadmesListEveryOption(t *testing.T) {
	for _, d := range List() {
		text := readme(t, d.Name)
		head, rows := optionTable(text)
		if len(head) < 3 || head[0] != "option" || head[1] != "default" || head[len(head)-1] != "meaning" {
			t.Errorf("the README of %s has no table of options, but one of %q", d.Name, head)
			continue
		}
		var names []string
		bound := false
		for _, o := range d.Options {
			names = append(names, "`"+o.Name+"`")
			bound = bound || len(o.Transports) > 0
		}
		var listed []string
		for _, row := range rows {
			listed = append(listed, row[0])
			if len(row) != len(head) {
				t.Errorf("the README of %s has a row with %d cells below a head of %d: %q", d.Name, len(row), len(head), row)
				continue
			}
			if o, ok := d.Option(strings.ReplaceAll(strings.Trim(row[0], "`"), "*", "NAME")); ok {
				checkRow(t, d.Name, &o, head, row)
			}
		}
		slices.Sort(names)
		slices.Sort(listed)
		if !slices.Equal(names, listed) {
			t.Errorf("the README of %s lists the options\n%s\nand the code knows\n%s",
				d.Name, strings.Join(listed, " "), strings.Join(names, " "))
		}
		// Lines may break anywhere.
		if bound && !strings.Contains(strings.Join(strings.Fields(text), " "), "An option that has no meaning over the route's transport refuses the route") {
			t.Errorf("the README of %s does not say that an option may not belong to a transport", d.Name)
		}
	}
}

// checkRow compares an option with its row.
func checkRow(t *testing.T, adapter string, o *adapters.Option, head, row []string) {
	t.Helper()
	want := ""
	if text, newline := strings.CutSuffix(o.Default, "\n"); newline {
		want = "`" + text + "` and a newline"
	} else if text != "" {
		want = "`" + text + "`"
	}
	if row[1] != want {
		t.Errorf("%s: the default of option %s is told as %s, and it is %s", adapter, o.Name, row[1], want)
	}
	rest := strings.Join(row[2:], " ")
	if o.Env != "" && !strings.Contains(rest, "`"+o.Env+"`") || o.Env == "" && head[2] == "variable" && row[2] != "" {
		t.Errorf("%s: the variable of option %s is told as %q, and it is %q", adapter, o.Name, row[2], o.Env)
	}
	for _, word := range o.Values {
		if len(word) > 1 && word != "true" && word != "false" && !strings.Contains(rest, "`"+word+"`") && !strings.Contains(rest, "="+word+"`") {
			t.Errorf("%s: the word %s of option %s is not told", adapter, word, o.Name)
		}
	}
	if o.Secret && !strings.Contains(rest, "Never shown.") {
		t.Errorf("%s: it is not told that option %s is never shown", adapter, o.Name)
	}
}

func readme(t *testing.T, adapter string) string {
	t.Helper()
	text, err := os.ReadFile(filepath.Join("..", adapter, "README.md"))
	if err != nil {
		t.Fatal(err)
	}
	return string(text)
}

// optionTable returns the first table in the section of the options.
func optionTable(text string) (head []string, rows [][]string) {
	_, section, _ := strings.Cut(text, "\n## Options\n")
	section, _, _ = strings.Cut(section, "\n## ")
	for line := range strings.Lines(section) {
		line = strings.TrimSpace(line)
		switch {
		case strings.HasPrefix(line, "|---"):
		case strings.HasPrefix(line, "|"):
			var cells []string
			for cell := range strings.SplitSeq(strings.Trim(line, "|"), "|") {
				cells = append(cells, strings.TrimSpace(cell))
			}
			if head == nil {
				head = cells
			} else {
				rows = append(rows, cells)
			}
		case head != nil:
			return head, rows
		}
	}
	return head, rows
}
