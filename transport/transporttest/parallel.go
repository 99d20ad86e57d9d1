package transporttest

import (
	"flag"
	"strconv"
)

// Parallel lets n parallel tests run at the same time, unless the flag -parallel sets another
// number, or a test is fuzzed. It is for a TestMain whose tests mostly wait: for processes, for pages, and for time
// to pass. Without it as many run as there are processors.
func Parallel(n int) {
	flag.Parse()
	isSet := false
	flag.Visit(func(f *flag.Flag) { isSet = isSet || f.Name == "test.parallel" || f.Name == "test.fuzz" })
	if isSet {
		return
	}
	if err := flag.Set("test.parallel", strconv.Itoa(n)); err != nil {
		panic(err) // package testing no longer has the flag
	}
}
