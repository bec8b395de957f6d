//go:build soak

package metrics

import (
	"fmt"
	"sync"
	"testing"
	"time"

	"tallyman/collector/record"
)

// TestRealContainersComeAndGo has a thousand containers of the engine come and go,
// which takes minutes.
func TestRealContainersComeAndGo(t *testing.T) {
	buildLive(t)
	before := time.Now()
	var removes sync.Map // of functions, by container
	comeAndGo(t, 1000, 6, Options{}, func(i int) *record.Container {
		container, remove := runLive(t, fmt.Sprint("churn-", i), nil, "rest")
		removes.Store(container, remove)
		return container
	}, func(container *record.Container) {
		remove, _ := removes.LoadAndDelete(container)
		remove.(func())()
	})
	t.Logf("it took %s", time.Since(before))
}
