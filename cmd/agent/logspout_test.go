package agent

import (
	"os"
	"path/filepath"
	"slices"
	"strings"
	"testing"
)

// contract names, for everything that can be observed of Logspout, the tests that
// say what it is here.
var contract = []struct{ observable, tests string }{
	{"command line: the argument before ROUTE_URIS, --version, several URIs", "cmd/agent.TestLogspoutVariables cmd/agent.TestVersionAndHelp cmd/agent.TestUsage"},
	{"image: entry point, port 80 of all addresses, /tmp/docker.sock, /etc/host_hostname", "cmd/agent.TestLogspoutsComposeFiles cmd/agent.TestImageListensAsLogspoutDoes"},
	{"PORT, HTTP_PORT, HTTP_BIND_ADDRESS, DEBUG, ROUTESPATH, ALLOW_TTY, EXCLUDE_LABEL(S), TAIL, BACKLOG, INACTIVITY_TIMEOUT, RETRY_COUNT", "cmd/agent.TestLogspoutVariables"},
	{"variables that are empty", "cmd/agent.TestEmptyVariables"},
	{"SYSLOG_* and LOGSPOUT_TLS_* set options of routes", "adapters/syslog.TestEnvironment cmd/agent.TestVariablesOfAdapters"},
	{"RAW_FORMAT", "cmd/agent.TestVariablesOfAdapters"},
	{"DOCKER_HOST and its kin", "cmd/agent.TestDockerVariables collector/engine.TestNewDoesNotConnectAndTakesNothingFromTheEnvironment"},
	{"/etc/host_hostname beats SYSLOG_HOSTNAME, and may be a template", "cmd/agent.TestHostFile"},
	{"route URIs: schemes in any case, transports, udp by default, aliases, multiline+, $NAME, commas", "routes.TestParse routes.TestSplitURIs routes.TestLogspoutMultiline"},
	{"route URIs: what is refused", "routes.TestParseErrors"},
	{"filter.id, filter.name, filter.labels, filter.sources", "routes.TestMatchContainer routes.TestSources"},
	{"a renamed container", "routes.TestRenamed"},
	{"which containers are read: terminals, LOGSPOUT=ignore, excluded labels", "cmd/agent.TestExclusion routes.TestSelection"},
	{"which containers are read: logging drivers", "cmd/agent.TestContainersWithoutAFile cmd/agent.TestUnreadableContainer collector/apilog.TestRealDrivers"},
	{"BACKLOG and TAIL", "cmd/agent.TestBacklogAndTail routes.TestTail routes.TestStart"},
	{"GET /health", "cmd/agent.TestLogsContract cmd/agent.TestWithoutEngine"},
	{"/logs: one container's bare lines, names padded to 16 and to the longest, colours, colors=off, headers", "cmd/agent.TestLogsContract adapters/httpstream.TestColours adapters/httpstream.TestStreamSendsHeadersBeforeAnyLine"},
	{"/logs/id: and /logs/name:, sources and source, methods, status codes", "cmd/agent.TestLogsContract cmd/agent.TestLogsSelectors cmd/agent.TestWatch"},
	{"/logs: JSON, its keys, indentation and escapes, and no environment", "cmd/agent.TestLogsContract adapters/httpstream.TestJSONObjects"},
	{"/logs: WebSocket", "cmd/agent.TestLogsContract adapters/httpstream.TestWebSocket"},
	{"/routes: bodies, status codes, an id of 12 digits, replacing", "cmd/agent.TestRoutesContract"},
	{"route files in ROUTESPATH: name, mode, bytes; one that is bad", "cmd/agent.TestRoutesFolder routes.TestManagerKeepsRoutes routes.TestStoredRoutesThatAreBad"},
	{"syslog bytes: RFC 5424 and 3164, priority, time, fields and what they are cut to, framing", "adapters/syslog.TestMessage adapters/syslog.TestCountedLengths"},
	{"syslog templates and their fields", "adapters/syslog.TestTemplate adapters/template.TestTemplates adapters/template.TestWholeMessage"},
	{"a template that fails when it is run", "adapters/syslog.TestTemplateFails adapters/raw.TestFailingTemplate"},
	{"raw bytes, toJSON", "adapters/raw.TestFormats adapters/raw.TestAliases"},
	{"multiline: four modes, defaults, LOGSPOUT_MULTILINE", "routes/multiline.TestModes routes.TestLogspoutMultiline routes.TestContainerLabels"},
	{"TLS: roots, client certificate, hardening", "adapters/transport.TestTLSTrust adapters/transport.TestSystemRoots adapters/transport.TestTLSClientCertificate adapters/transport.TestTLSHardened"},
	{"UDP: one message a datagram, what is too long", "adapters/transport.TestDatagramCut adapters/transport.TestDatagramTooLong"},
	{"names are resolved anew", "adapters/transport.TestNameIsResolvedAtEveryConnect adapters/transport.TestDatagramRefresh"},
	{"adapters of one's own", "cmd/agent.TestExtending"},
}

// failures names, for each way in which Logspout fails, the tests that say that it
// is otherwise here.
var failures = []struct{ failure, tests string }{
	{"start events of a burst are dropped", "collector.TestBurst cmd/agent.TestBurstOfContainers"},
	{"a container that starts between list and subscription is missed", "collector.TestEventsBeforeList"},
	{"a container that restarts while its stream ends is never read again", "collector.TestBackAgain collector/apilog.TestFollow cmd/agent.TestBacklogAndTail"},
	{"a route that is slow for a second is forgotten", "cmd/agent.TestNothingStandsStill routes.TestIsolation"},
	{"nothing compares the containers that run with those that are read", "collector.TestReconcile"},
	{"a slow destination or viewer stops all", "cmd/agent.TestNothingStandsStill cmd/agent.TestDeadRoute routes.TestIsolation"},
	{"a new viewer or route beside a blocked one stops the agent", "cmd/agent.TestNothingStandsStill"},
	{"a reset ends a raw route, the process, or the routes beside it", "cmd/agent.TestResetOfARawSink"},
	{"deleting a dead route blocks /routes", "cmd/agent.TestNothingStandsStill routes.TestManagerAnswersMeanwhile"},
	{"a WebSocket handshake that fails, or a client that goes, ends the process", "cmd/agent.TestLogsContract adapters/httpstream.TestWebSocketClientGoes"},
	{"a container that has vanished ends the process", "collector.TestVanished collector.TestVanishedAfterTheList cmd/agent.TestShortLives"},
	{"the end of the engine's events ends the process", "cmd/agent.TestEngineRestart collector.TestReconnect"},
	{"a destination that stays away ends the process", "cmd/agent.TestOutageAcrossAKill cmd/agent.TestDestinationDownAtStart routes.TestBackoff adapters/transport.TestStalledPeerIsGivenUp"},
	{"a rename, or a message that is being joined, is read while it is written", "routes.TestRenamed routes.TestMultilineCorpus"},
	{"the last line is dropped when it has no newline; long lines are lost", "cmd/agent.TestLongLines collector/jsonfile.TestReaderReadsARemovedLogToItsEnd"},
	{"a stream that breaks goes on from now, and repeats a second", "collector/apilog.TestRandomCuts cmd/agent.TestRemoteEngine"},
	{"INACTIVITY_TIMEOUT repeats lines", "collector/apilog.TestInactivity"},
	{"what the kernel has taken of a broken connection is lost", "adapters/transport.TestBreakReportsAcknowledgedFrames cmd/agent.TestResets"},
	{"the first lines of a container are lost; BACKLOG repeats all at each start", "cmd/agent.TestShortLives cmd/agent.TestBacklogAndTail"},
	{"messages that are joined are split when they are young, and wait when they are old", "routes.TestMultilineTimes cmd/agent.TestMultilineOfContainers"},
	{"lines have the time at which they were read, in whole seconds, and lose their order", "cmd/agent.TestBacklogAndTail"},
	{"lines that come while there is no route are gone", "cmd/agent.TestBacklogAndTail routes.TestSince"},
	{"each viewer leaves a goroutine and a descriptor", "cmd/agent.TestViewersLeaveNothing"},
	{"each container that has ended stays in memory", "routes.TestManyShortContainers"},
	{"the connection of a deleted route stays open", "cmd/agent.TestBacklogAndTail routes.TestApply"},
	{"a log request that fails at once is repeated without a pause", "collector/apilog.TestRefusedWithPauses"},
	{"everybody may read all logs, change routes, and write files", "cmd/agent.TestProtect cmd/agent.TestAccessOverNetwork cmd/agent.TestRoutesVersions"},
}

// wantTests: every test that is named exists. Their names stand behind the folders
// of their packages.
func wantTests(t *testing.T, what, tests string) {
	t.Helper()
	for name := range strings.FieldsSeq(tests) {
		folder, test, _ := strings.Cut(name, ".")
		files, err := filepath.Glob(filepath.Join("../..", folder, "*_test.go"))
		if err != nil || len(files) == 0 {
			t.Fatalf("the tests of %s: %v", folder, err)
		}
		if !slices.ContainsFunc(files, func(file string) bool {
			text, err := os.ReadFile(file)
			if err != nil {
				t.Fatal(err)
			}
			return strings.Contains(string(text), "\nfunc "+test+"(t *testing.T)")
		}) {
			t.Errorf("%s: there is no test %s", what, name)
		}
	}
}

// TestContractIsTested: every test that is named above exists.
func TestContractIsTested(t *testing.T) {
	for _, c := range contract {
		wantTests(t, c.observable, c.tests)
	}
	for _, f := range failures {
		wantTests(t, f.failure, f.tests)
	}
}
