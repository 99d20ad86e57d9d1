package jetstream_test

import (
	"bytes"
	"fmt"
	"reflect"
	"strings"
	"testing"
	"time"

	"rtdb/keyspace"
	"rtdb/keyspace/jetstream"
)

func TestSubjectsOfNames(t *testing.T) {
	for name, want := range map[string]string{
		"building/3/temp": "building.3.temp",
		"a.b":             "a=2Eb",
		"a b/c>d*e":       "a=20b.c=3Ed=2Ae",
		"ä":               "=C3=A4",
		"=41":             "=3D41",
		"$JS/API":         "=24JS.API",
	} {
		if got := jetstream.EncodeName(name); got != want {
			t.Errorf("%q has the subject %s, want %s", name, got, want)
		}
		if got, err := jetstream.DecodeName(want); got != name || err != nil {
			t.Errorf("%s is the subject of %q, %v, want %q", want, got, err, name)
		}
	}
	for _, subject := range []string{"=41", "=2F", "=2e", "=2", "a=", "a b", "a>", "*", "=GG", "ä"} {
		if name, err := jetstream.DecodeName(subject); err == nil {
			t.Errorf("%s is the subject of %q, want an error", subject, name)
		}
	}
	for pattern, want := range map[string]string{
		"#": "[>]", "a/#": "[a a.>]", "+/b": "[*.b]", "+/#": "[* *.>]", "+": "[*]", "a.b/+": "[a=2Eb.*]",
	} {
		if got := fmt.Sprint(jetstream.EncodePattern(pattern)); got != want {
			t.Errorf("%s has the subjects %s, want %s", pattern, got, want)
		}
	}
}

// FuzzName checks that each name has one subject, which is one that NATS accepts, and that
// each subject is that of at most one name.
func FuzzName(f *testing.F) {
	for _, seed := range []string{"a", "a/b", "ä ö.>*=", "=41", strings.Repeat("/", 3), "a=2Eb.c"} {
		f.Add(seed)
	}
	f.Fuzz(func(t *testing.T, text string) {
		if keyspace.CheckName(text) == nil {
			subject := jetstream.EncodeName(text)
			if strings.ContainsAny(subject, " \t\r\n*>\x00") || strings.Contains("."+subject+".", "..") {
				t.Errorf("%q has the subject %q", text, subject)
			}
			if name, err := jetstream.DecodeName(subject); name != text || err != nil {
				t.Errorf("%q has the subject %q, which is that of %q, %v", text, subject, name, err)
			}
		}
		if name, err := jetstream.DecodeName(text); err == nil && jetstream.EncodeName(name) != text {
			t.Errorf("%q is decoded to %q, whose subject is %q", text, name, jetstream.EncodeName(name))
		}
	})
}

// seedMessages are messages of each kind of commit.
func seedMessages() [][]byte {
	value := []byte(`{"a":1}`)
	expires := time.UnixMilli(1_800_000_000_000)
	var all [][]byte
	for _, writes := range [][]keyspace.Record{
		{{Value: value, Written: 1}},
		{{Value: value, Written: 1, Expires: expires}, {Written: 2}, {Value: []byte{}, Written: -1}},
		{{Value: value, Touch: true, Version: 99, Expires: expires}},
	} {
		all = append(all, jetstream.EncodeCommit("rtdb.k.k", writes))
	}
	return all
}

func TestMessages(t *testing.T) {
	const sequence = 1000
	for i, data := range seedMessages() {
		records, err := jetstream.DecodeCommit(data, "rtdb.k.k", "k", sequence)
		if err != nil {
			t.Fatal(i, err)
		}
		for place, w := range records {
			version, position := uint64(sequence<<4+place), uint64(sequence<<4+len(records)-1)
			if w.Touch {
				version = 99
			}
			if w.Key != "k" || w.Version != version || w.Position != position {
				t.Errorf("message %d, write %d: %+v", i, place, w)
			}
		}
		for n := range data {
			damaged := bytes.Clone(data)
			damaged[n] ^= 1
			if _, err := jetstream.DecodeCommit(damaged, "rtdb.k.k", "k", sequence); err == nil {
				t.Errorf("message %d with byte %d changed is accepted", i, n)
			}
			if _, err := jetstream.DecodeCommit(data[:n], "rtdb.k.k", "k", sequence); err == nil {
				t.Errorf("the first %d bytes of message %d are accepted", n, i)
			}
		}
		if _, err := jetstream.DecodeCommit(data, "rtdb.k.other", "other", sequence); err == nil {
			t.Errorf("message %d is accepted for another key", i)
		}
	}
}

// FuzzMessage checks that no message makes the decoder fail, and that a message that is
// accepted means the same after it was encoded again.
func FuzzMessage(f *testing.F) {
	for _, data := range seedMessages() {
		f.Add(data[:len(data)-4])
	}
	f.Fuzz(func(t *testing.T, unsealed []byte) {
		data := jetstream.Seal("rtdb.k.k", unsealed)
		records, err := jetstream.DecodeCommit(data, "rtdb.k.k", "k", 7)
		if err != nil {
			return
		}
		again, err := jetstream.DecodeCommit(jetstream.EncodeCommit("rtdb.k.k", records), "rtdb.k.k", "k", 7)
		if err != nil || !reflect.DeepEqual(again, records) {
			t.Errorf("%v is decoded to %+v, and then to %+v, %v", data, records, again, err)
		}
	})
}
