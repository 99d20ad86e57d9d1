package journal

import (
	"crypto/rand"
	"encoding/hex"
	"encoding/json"
	"errors"
	"fmt"
	"io"
	"io/fs"
	"path/filepath"
	"strings"
	"time"
)

// identityName is the file that makes a directory a store's, and names the store.
const identityName = "rtdb.json"

// An identity names a store and its history.
type identity struct {
	Format int    `json:"format"`
	Store  string `json:"store"` // the storeID in hex
	Epoch  string `json:"epoch"` // of the store's history

	// From is a version up to which clients may know writes that the store does not
	// have, because it was restored from a copy, or repaired.
	From uint64 `json:"from"`
}

func newIdentity(store storeID) identity {
	var epoch [8]byte
	_, _ = rand.Read(epoch[:]) // it never fails
	return identity{Format: format, Store: hex.EncodeToString(store[:]), Epoch: hex.EncodeToString(epoch[:])}
}

// succeed returns the identity of a store that may lack writes of the history before.
// Clients of that history get all values again.
func (i identity) succeed(store storeID) identity {
	next := newIdentity(store)
	next.From = max(i.From, clockVersion())
	return next
}

// clockVersion returns the version after which a new history begins: the clock's
// microseconds, as for a keyspace in memory.
func clockVersion() uint64 { return uint64(time.Now().UnixMicro()) }

func (i identity) storeID() (id storeID, err error) {
	b, err := hex.DecodeString(i.Store)
	if err != nil || len(b) != len(id) {
		return id, errors.New("its store is not 32 hexadecimal digits")
	}
	return storeID(b), nil
}

// write writes the identity: a line of JSON, and a line with its checksum.
func (i identity) write(d directory) error {
	line, err := json.Marshal(i)
	if err != nil {
		return err
	}
	return writeFile(d, identityName, fmt.Appendf(line, "\ncrc32c %08x\n", checksum(line)))
}

// readIdentity returns the identity of a store. path is that of the identity's file, in the
// directory. If the file does not exist, the error is fs.ErrNotExist.
func readIdentity(d directory, path string) (i identity, err error) {
	f, err := d.open(filepath.Base(path))
	if err != nil {
		return i, err
	}
	text, err := io.ReadAll(io.LimitReader(f, 64<<10))
	if err = errors.Join(err, f.Close()); err != nil {
		return i, err
	}
	line, sum, _ := strings.Cut(string(text), "\n")
	if sum != fmt.Sprintf("crc32c %08x\n", checksum([]byte(line))) {
		return i, &DamageError{path, 0, "the text does not match its checksum"}
	}
	switch err := json.Unmarshal([]byte(line), &i); {
	case i.Format > format:
		return i, &formatError{path, uint32(i.Format)}
	case err != nil:
		return i, &DamageError{path, 0, err.Error()}
	}
	if i.Epoch == "" {
		return i, &DamageError{path, 0, "it has no epoch"}
	}
	if _, err := i.storeID(); err != nil {
		return i, &DamageError{path, 0, err.Error()}
	}
	return i, nil
}

// isAbsent reports whether a file does not exist.
func isAbsent(err error) bool { return errors.Is(err, fs.ErrNotExist) }
