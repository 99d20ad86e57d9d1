package rawjson_test

import (
	"fmt"
	"strings"
	"testing"

	"rtdb/transport/rawjson"
)

// BenchmarkParseObject reads a request that sets a key, and copies the value as it is
// kept.
func BenchmarkParseObject(b *testing.B) {
	var members strings.Builder
	for i := 0; members.Len() < 32<<10; i++ {
		fmt.Fprintf(&members, `"member%d":{"on":true,"at":[1.50,-2,3e5],"of":{"name":"é"}},`, i)
	}
	for _, c := range []struct{ name, value string }{
		{"small", `{"celsius":21.5}`},
		{"object of 32 KiB", `{` + members.String() + `"last":1}`},
		{"string of 32 KiB", `"` + strings.Repeat("x", 32<<10) + `"`},
	} {
		text := []byte(`{"action":"set","key":"device/17/temp","value":` + c.value + `,"id":17}`)
		b.Run(c.name, func(b *testing.B) {
			b.SetBytes(int64(len(text)))
			b.ReportAllocs()
			for b.Loop() {
				var kept []byte
				err := rawjson.ParseObject(text, func(name []byte, v rawjson.Value) error {
					if string(name) == "value" {
						kept = v.Compact()
					}
					return nil
				})
				if err != nil || len(kept) != len(c.value) {
					b.Fatalf("kept %d bytes of %d: %v", len(kept), len(c.value), err)
				}
			}
		})
	}
}
