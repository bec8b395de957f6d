package routes

import (
	"errors"
	"fmt"
	"regexp"
	"strconv"

	"tallyman/collector/record"
	"tallyman/collector/record/level"
	"tallyman/routes/lines"
	"tallyman/routes/multiline"
)

// plan is what a route does with lines, in this order: take off escape sequences,
// join, leave out, sample, limit, redact. It is immutable.
type plan struct {
	// unwanted are the streams that are left out, alias the name that is sent in
	// place of the container's, empty for none.
	unwanted [record.Streams]bool
	alias    string
	// notBefore is the time before which no line is wanted, in nanoseconds since the
	// Unix epoch.
	notBefore int64
	ansi      bool
	// multiline has a rule when lines are joined.
	multiline multiline.Options
	// include, exclude and level are those of Filter; level.Unknown wants all.
	include, exclude *lines.Pattern
	level            level.Level
	sample           lines.Share
	rate             lines.Limit
	redact           *lines.Redactor
}

func newPlan(f *Filter, o *LineOptions) plan {
	return plan{
		unwanted: f.unwanted(), ansi: o.ANSI, multiline: o.Multiline,
		include: f.Include, exclude: f.Exclude, level: f.Level,
		sample: o.Sample, rate: o.Rate, redact: o.redactor,
	}
}

// idle reports whether nothing at all is to be done.
func (p *plan) idle() bool {
	return p.unwanted == [record.Streams]bool{} && p.alias == "" && p.notBefore == 0 && !p.alters() &&
		p.include == nil && p.exclude == nil && p.level == level.Unknown &&
		p.sample == lines.Share{} && p.rate == lines.Limit{}
}

// alters reports whether lines may be sent that are not as they were read.
func (p *plan) alters() bool {
	return p.ansi || p.multiline.Rule != nil || p.redact != nil
}

// containerName is what the engine allows for a container's name. Adapters rely
// on it where a name becomes part of a path or a subject.
var containerName = regexp.MustCompile(`^[a-zA-Z0-9][a-zA-Z0-9_.-]{0,127}$`)

// of returns the plan for a container, changed by what its labels and variables
// say. The error names each of them that cannot be understood and is left out.
func (p plan) of(c *record.Container) (plan, error) {
	var errs []error
	bad := func(label, value string, err error) {
		errs = append(errs, fmt.Errorf("bad value %q of label %q: %w", value, label, err))
	}
	if value, ok := c.Labels[labelName]; ok {
		if containerName.MatchString(value) {
			p.alias = value
		} else {
			bad(labelName, value, errors.New("a name is up to 128 letters, digits, _, . and -, and begins with a letter or digit"))
		}
	}
	if value, ok := c.Labels[labelRate]; ok {
		limit, err := lines.ParseLimit(value)
		if err != nil {
			bad(labelRate, value, err)
		} else {
			p.rate = limit
		}
	}
	if err := p.multilineOf(c); err != nil {
		bad(labelMultiline, c.Label(labelMultiline), err)
	}
	return p, errors.Join(errs...)
}

// multilineOf changes which lines are joined: the label holds true, false, or a
// rule of the container's own.
func (p *plan) multilineOf(c *record.Container) error {
	routeRule := p.multiline.Rule
	if p.multiline.OptIn {
		p.multiline.Rule = nil
	}
	word, ok := c.Labels[labelMultiline]
	if !ok {
		word, _ = c.LookupEnv(envMultiline)
	}
	on, err := strconv.ParseBool(word)
	switch {
	case err == nil && on:
		p.multiline.Rule = routeRule
	case err == nil:
		p.multiline.Rule = nil
	case ok:
		rule, err := multiline.NewRule(word, multiline.First)
		if err != nil {
			return err
		}
		p.multiline.Rule = rule
	}
	return nil
}

// wants reports whether the route takes a container.
func (r *Route) wants(c *record.Container) bool {
	if !r.cfg.Selection.Wants(c) || !r.cfg.Filter.MatchContainer(c) {
		return false
	}
	return r.viewer() || choosesRoute(c, r.cfg.Name)
}

// viewer reports whether the route is for somebody who watches: what containers
// say of themselves is for routes.
func (r *Route) viewer() bool { return r.cfg.Positions == nil }

// prepare gives a cursor its stages, if anything is to be done with its lines.
func (r *Route) prepare(c *cursor, container *record.Container) {
	own, err := r.plan, error(nil)
	if !r.viewer() {
		own, err = own.of(container)
	}
	if err != nil {
		r.cfg.Logger.Warn("a container's label cannot be understood and is left out",
			"route", r.String(), "container", container.Name, "error", err)
	}
	if own.idle() {
		return
	}
	// Most containers have no plan of their own.
	plan := &r.plan
	if changed := own; changed != r.plan {
		plan = &changed
	}
	c.stages = newStages(plan, &r.desk)
}
