package journal

import (
	"errors"
	"runtime/metrics"
	"testing"

	"rtdb/keyspace"
)

// FuzzReplay reads a segment of any bytes behind a header. If kind is not 0, the bytes are
// the payload of a whole frame of that kind.
func FuzzReplay(f *testing.F) {
	g := newGroup(nil)
	next := uint64(1)
	for _, w := range []keyspace.Record{{Key: "k", Value: []byte("v"), Written: 5}, {Key: "k", Written: 6}, {Key: "k", Touch: true, Version: 1}} {
		g.add(&w, &next)
	}
	h := header{magic: segmentMagic, salt: 7, store: storeID{1}, number: 1}
	frames := g.seal(h.salt, headerSize, 0)
	f.Add(frames, byte(0), uint16(0))
	f.Add(append(frames, emptyFrame(frameIdle, h.salt, next, uint64(headerSize+len(frames)))...), byte(0), uint16(0))
	f.Add(frames[frameHeaderSize:], byte(frameWrites), uint16(3))
	f.Add(frames[frameHeaderSize:], byte(frameWrites), uint16(4))
	f.Add(make([]byte, 24), byte(frameFooter), uint16(0))
	f.Add(make([]byte, 1000), byte(0), uint16(0))
	f.Fuzz(func(t *testing.T, b []byte, kind byte, count uint16) {
		if kind != 0 {
			f := frameHeader{length: uint32(len(b)), first: 1, kind: frameKind(kind), count: uint32(count), payload: checksum(b)}
			frame := append(make([]byte, frameHeaderSize), b...)
			f.put(frame, h.salt, headerSize)
			b = frame
		}
		for _, magic := range []string{segmentMagic, snapshotMagic} {
			h := h
			h.magic = magic
			files := fileSet{segmentName(1): append(h.encode(), b...)}
			if magic == snapshotMagic {
				files[snapshotName(1)] = files[segmentName(1)]
				h.magic = segmentMagic
				files[segmentName(1)] = h.encode()
			}
			d := diskOf(files).start()
			l, err := readLayout(d, "/data")
			if err != nil {
				t.Fatal(err)
			}
			p := replay{directory: d, layout: l, apply: new(contents).Apply}
			before := allocated()
			err = p.run()
			var damage *DamageError
			var name *keyspace.NameError
			if err != nil && !errors.As(err, &damage) && !errors.As(err, &name) {
				t.Errorf("%v", err)
			}
			if grown := allocated() - before; grown > uint64(4<<20+100*len(b)) {
				t.Errorf("%d bytes took %d bytes of memory", len(b), grown)
			}
		}
	})
}

// allocated returns the bytes that were ever allocated.
func allocated() uint64 {
	sample := []metrics.Sample{{Name: "/gc/heap/allocs:bytes"}}
	metrics.Read(sample)
	return sample[0].Value.Uint64()
}
