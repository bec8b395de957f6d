package api

import (
	"net/http"
	"slices"

	"tallyman/routes"
)

// Tally is what GET /api/v1/tally says.
type Tally struct {
	Routes []routes.Tally `json:"routes"`
}

// serveTally answers GET /api/v1/tally. With ?container= only containers of that
// name, or whose ID begins so, are told; it may be given several times.
func (a *Server) serveTally(w http.ResponseWriter, r *http.Request) error {
	report := Tally{Routes: []routes.Tally{}}
	wanted := r.URL.Query()["container"]
	names := make(nameSet)
	for _, route := range a.routes() {
		t := route.Tally()
		report.Routes = append(report.Routes, t)
		for i := range t.Containers {
			names[t.Containers[i].Name] = true
		}
	}
	for i := range report.Routes {
		if t := &report.Routes[i]; len(wanted) > 0 {
			t.Containers = slices.DeleteFunc(t.Containers, func(c routes.ContainerTally) bool {
				return !slices.ContainsFunc(wanted, func(word string) bool { return names.means(word, c.Name, c.ID) })
			})
		}
	}
	return writeJSON(w, report)
}
