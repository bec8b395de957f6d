// Package metrics shows the resource use of the host's containers and of the
// machine to Prometheus. Everything is read when it is scraped; between scrapes
// nothing is kept but open files and rendered labels, and nothing runs but the
// measuring of writable layers, which a scrape begins.
//
// The families of containers are rows of one table, by subject in table_*.go; a
// new family is a new row. Their names, types, labels and meanings are those of
// cAdvisor, so that its dashboards and alerts work unchanged. Where cAdvisor's
// number is known to be wrong, the right one is under its name;
// docs/from-cadvisor.md lists these.
//
// A scrape goes through: track (which containers there are), sample (read the
// kernel's files, with a deadline), render (labels, when they have changed), and
// write (the text, family by family).
package metrics
