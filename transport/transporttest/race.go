package transporttest

import (
	"runtime/debug"
	"slices"
)

// UnderRace says that the race detector makes everything slow and large.
var UnderRace = func() bool {
	info, _ := debug.ReadBuildInfo()
	return slices.Contains(info.Settings, debug.BuildSetting{Key: "-race", Value: "true"})
}()
