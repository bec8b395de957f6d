//go:build !race

package main

// raceDetector says that the tests run with it; then the agent does, too.
const raceDetector = false
