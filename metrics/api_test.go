package metrics

import (
	"encoding/json"
	"net/http"
	"net/http/httptest"
	"testing"
	"time"
)

// The API of cAdvisor as scripts use it.
func TestAPI(t *testing.T) {
	c := newContainers(t, Options{Containers: always(web(5733), plain(5801)), Root: fixture("v1-cgroupfs")})
	get := func(path string, code int, answer any) {
		t.Helper()
		recorder := httptest.NewRecorder()
		c.API().ServeHTTP(recorder, httptest.NewRequest(http.MethodGet, path, nil))
		if recorder.Code != code {
			t.Fatalf("%s answers %d, want %d", path, recorder.Code, code)
		}
		if answer != nil {
			if err := json.Unmarshal(recorder.Body.Bytes(), answer); err != nil {
				t.Fatal(err)
			}
		}
	}
	var all map[string]struct {
		Aliases []string
		Spec    struct{ Image string }
		Stats   []struct {
			Timestamp time.Time
			CPU       struct{ Usage struct{ Total uint64 } }
			Memory    struct {
				WorkingSet uint64 `json:"working_set"`
			}
			Network struct {
				Interfaces []struct {
					Bytes uint64 `json:"rx_bytes"`
				}
			}
		}
	}
	get("/api/v1.3/docker/", http.StatusOK, &all)
	info := all["/docker/"+limited]
	if len(all) != 2 || info.Aliases[0] != "web" || info.Spec.Image != "nginx:1.27" || len(info.Stats) != 1 {
		t.Fatalf("/api/v1.3/docker/ is %+v", all)
	}
	last := info.Stats[0]
	if last.CPU.Usage.Total != 387683630 || last.Memory.WorkingSet != 22325440-1900544 || last.Network.Interfaces[0].Bytes != 1048576 {
		t.Errorf("the sample is %+v", last)
	}
	for range historyLength + 2 {
		exposition(c)
	}
	clear(all)
	get("/api/v1.3/docker/web", http.StatusOK, &all)
	if len(all) != 1 || len(all["/docker/"+limited].Stats) != historyLength {
		t.Errorf("the history of one container is %+v", all)
	}
	for i, stats := range all["/docker/"+limited].Stats {
		if i > 0 && stats.Timestamp.Before(all["/docker/"+limited].Stats[i-1].Timestamp) {
			t.Errorf("sample %d is older than the one before", i)
		}
		if newest := i == historyLength-1; newest != (len(stats.Network.Interfaces) > 0) {
			t.Errorf("sample %d has lists: %v", i, !newest)
		}
	}
	get("/api/v1.3/docker/nobody", http.StatusNotFound, nil)
	var machine struct {
		Cores  int    `json:"num_cores"`
		Memory uint64 `json:"memory_capacity"`
		Boot   string `json:"boot_id"`
	}
	get("/api/v1.3/machine", http.StatusOK, &machine)
	if machine.Cores != 4 || machine.Memory == 0 || machine.Boot == "" {
		t.Errorf("the machine is %+v", machine)
	}
}

// A name that could be the beginning of another's ID is a name.
func TestAPIOfANameLikeAnID(t *testing.T) {
	named := web(5733)
	named.Name = unlimited[:2]
	for name, want := range map[string]string{named.Name: limited, unlimited[:3]: unlimited} {
		c := newContainers(t, Options{Containers: always(named, plain(5801)), Root: fixture("v1-cgroupfs")})
		found := c.containerInfo(name)
		if _, ok := found["/docker/"+want]; len(found) != 1 || !ok {
			t.Errorf("%q names %d containers, want %s", name, len(found), want)
		}
	}
}
