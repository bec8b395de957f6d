package agent

import (
	"os"
	"regexp"
	"slices"
	"strings"
	"testing"
)

// defects names, for each row of what docs/from-cadvisor.md says of cAdvisor's
// defects and its users' complaints, the tests that say so. What is not done has
// none where there is nothing to show.
var defects = []struct{ about, tests string }{
	{"timestamps", "metrics.TestLastSeenIsNow metrics.TestTextIsThatOfTheLibrary metrics.TestPrometheus"},
	{"CPU without scrapes", "metrics.TestNothingIsTrackedWithoutScrapes"},
	{"CPU and time of a scrape", "metrics/cgroup.TestReadDoesNotAllocate metrics.TestScrapesAtOnceDoTheWorkOnce metrics.TestGzip"},
	{"memory", "metrics.TestContainersComeAndGo metrics.TestRealContainersComeAndGo metrics/cgroup.TestNoDescriptorLeaks"},
	{"inotify", "metrics/cgroup.TestLimitsAreReadWhenWritten metrics/cgroup.TestLimitsWithoutWatches"},
	{"open files", "metrics.TestKinds metrics.TestProcessesOfVersion2"},
	{"Docker 29, image store of containerd", "collector/engine.TestVersionNegotiation metrics.TestUpperDir metrics.TestLabels"},
	{"started before the engine", "cmd/agent.TestWithoutEngine cmd/agent.TestEngineRestart"},
	{"labels that come and go", "metrics.TestLabelsAreTheUnion"},
	{"keys that collide", "metrics.TestLabels"},
	{"number of labels", "metrics.TestLabels cmd/agent.TestCadvisorFlags"},
	{"stopped containers", "metrics.TestStates metrics.TestContainersThatAreNotRunningHaveNoSeries"},
	{"renames, health, restarts", "metrics.TestRestartReopens metrics.TestKillsAreCountedOverRestarts"},
	{"short lives", "metrics.TestLastSampleIsShownOnce metrics.TestEndsBetweenScrapes metrics.TestEndWhileAnotherReads"},
	{"out of memory", "metrics.TestKillsAreCountedOverRestarts metrics.TestKillsThatTheEngineKnows metrics.TestEndsBetweenScrapes"},
	{"errors", "metrics.TestErrorsAreCountedAndLoggedOnce metrics.TestSlowContainerDoesNotHoldUpTheScrape metrics.TestUnseenContainerThatIsGone"},
	{"the root cgroup", "metrics.TestRootThatIsSlow metrics.TestWithoutTheRoot"},
	{"shared networks", "metrics.TestSharedNetworksAreCountedOnce metrics.TestKnownLoads"},
	{"an agent in a network of its own", "deploy.TestRootfs metrics.TestRootThatCannotBeSeen"},
	{"names of interfaces", "metrics/cgroup.TestParseNetDev metrics.TestHost deploy.TestRootfs"},
	{"requests to disks", "metrics.TestDisksAreTheMachines metrics.TestKnownLoads"},
	{"time of disks", "metrics.TestDisksAreTheMachines metrics/cgroup.TestReadSchedulerFiles"},
	{"unit of disk times", "metrics.TestDisksAreTheMachines"},
	{"inodes", "metrics.TestDisksAreTheMachines metrics.TestLayerOfARealTree"},
	{"disk usage", "metrics.TestLayerOfARealTree"},
	{"quotas of file systems", ""},
	{"file systems of the machine", "metrics.TestParseMounts metrics.TestDisksAreTheMachines metrics.TestMountsOfTheKernel"},
	{"v2: limits that were met", "metrics/cgroup.TestReadV2 metrics.TestGolden"},
	{"v2: throttling, peak, bytes of disks, processes", "metrics/cgroup.TestReadV2 metrics.TestGolden metrics.TestProcessesOfVersion2"},
	{"v2: time by processor", "metrics.TestGolden metrics.TestPerCPUOff"},
	{"v1: dirty pages, bursts", "metrics.TestGolden metrics/cgroup.TestReadV1Cgroupfs"},
	{"v1: pressure", "metrics.TestGolden metrics.TestHost"},
	{"load", "metrics.TestKinds metrics.TestGolden"},
	{"meaning of memory", "metrics.TestKnownLoads metrics.TestAgainstEngine"},
	{"page faults", "metrics.TestGolden"},
	{"the machine", "metrics.TestMachineHotplug"},
	{"versions", "metrics.TestVersions"},
	{"other cgroups", "metrics.TestAgainstEngine"},
	{"perf events, resctrl, applications", "metrics.TestKinds cmd/agent.TestMetricsFlags"},
	{"`--disable_metrics`", "cmd/agent.TestCadvisorFlags metrics.TestKinds"},
	{"words that are gone", "metrics.TestKinds"},
	{"formats", "metrics.TestOpenMetricsIsThatOfTheLibrary metrics.TestTextIsThatOfTheLibrary"},
	{"`/api/v1.3/docker/`", "metrics.TestAPI"},
	{"access", "cmd/agent.TestProtect cmd/agent.TestAccessOverNetwork"},
	{"where the image is", ""},
}

// TestDefectsAreTested: the page and the list above have the same rows, each row
// says what was decided, and every test that is named exists.
func TestDefectsAreTested(t *testing.T) {
	page, err := os.ReadFile("../../docs/from-cadvisor.md")
	if err != nil {
		t.Fatal(err)
	}
	_, section, _ := strings.Cut(string(page), "\n## What is different, and why\n")
	section, _, _ = strings.Cut(section, "\n## ")
	var listed, decided []string
	for _, d := range defects {
		listed = append(listed, d.about)
		wantTests(t, d.about, d.tests)
	}
	for _, m := range regexp.MustCompile(`(?m)^\| (.*?) \| .* \| (right|\*\*same\*\*|\*\*no\*\*) \| .* \|$`).FindAllStringSubmatch(section, -1) {
		decided = append(decided, m[1])
	}
	if rows := strings.Count(section, "\n| ") - 1; rows != len(decided) {
		t.Errorf("%d of the page's %d rows say what was decided", len(decided), rows)
	}
	if !slices.Equal(listed, decided) {
		t.Errorf("the page has\n%s\nand the tests are of\n%s", strings.Join(decided, "\n"), strings.Join(listed, "\n"))
	}
}
