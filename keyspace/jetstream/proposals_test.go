package jetstream_test

import (
	"testing"

	"rtdb/keyspace/jetstream"
)

// Answers of the usual form and of others are read alike.
func TestParseAnswer(t *testing.T) {
	for text, want := range map[string]uint64{
		`{"stream":"rtdb","seq":17}`:                                    17,
		`{"stream":"rtdb","seq":18446744073709551615}`:                  18446744073709551615,
		`{"stream":"rtdb","domain":"hub","seq":18}`:                     18,
		`{"stream":"rtdb","seq":19,"duplicate":true}`:                   19,
		`{"stream":"rtdb", "seq": 20}`:                                  20,
		`{"seq":21,"stream":"rtdb"}`:                                    21,
		`{"error":{"code":400,"err_code":10164},"stream":"r","seq":22}`: 0,
		`{"stream":"rtdb","seq":-1}`:                                    0,
		`{"stream":"rtdb","seq":}`:                                      0,
		`{"stream":"rtdb","seq":23`:                                     0,
		`{"stream":"rtdb"`:                                              0,
		``:                                                              0,
	} {
		if got := jetstream.ParseAnswer([]byte(text)); got != want {
			t.Errorf("%s: sequence %d, want %d", text, got, want)
		}
	}
}

func BenchmarkParseAnswer(b *testing.B) {
	for name, text := range map[string]string{"usual": `{"stream":"rtdb","seq":123456789}`, "json": `{"stream":"rtdb", "seq":123456789}`} {
		b.Run(name, func(b *testing.B) {
			b.ReportAllocs()
			for b.Loop() {
				if jetstream.ParseAnswer([]byte(text)) != 123456789 {
					b.Fatal("wrong")
				}
			}
		})
	}
}
