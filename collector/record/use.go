package record

// LogUse is how much a container has written to its log, as far as anybody has
// read it.
type LogUse [Streams]StreamUse

// StreamUse is what was read of one stream. A line counts once, however often it
// is read.
type StreamUse struct {
	Count
	// Newest is the time of the newest line, in nanoseconds since the Unix epoch,
	// 0 before the first.
	Newest int64
	// Levels are the lines by the level that they name, empty when these are not
	// looked for.
	Levels []LevelCount
}

// LevelCount is the number of lines of one level.
type LevelCount struct {
	Level string
	Lines int64
}
