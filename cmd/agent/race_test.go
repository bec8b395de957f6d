//go:build race

package agent

// raceDetector says that the tests run with it; then the agent does, too.
const raceDetector = true
