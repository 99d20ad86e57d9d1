package journal

import (
	"crypto/rand"
	"encoding/hex"
	"encoding/json"
	"errors"
	"fmt"
	"io"
	"io/fs"
	"strings"
	"time"
)

// identityName is the file that says that a directory is a store's, and which one's.
const identityName = "rtdb.json"

// An identity is what is known of a store besides its writes.
type identity struct {
	Format int    `json:"format"`
	Store  string `json:"store"` // the storeID in hex
	Epoch  string `json:"epoch"` // of the store's history

	// From is a version up to which clients may know writes that the store does not
	// have: it was restored from a copy, or repaired.
	From uint64 `json:"from"`
}

func newIdentity(store storeID) identity {
	var epoch [8]byte
	_, _ = rand.Read(epoch[:]) // it never fails
	return identity{Format: format, Store: hex.EncodeToString(store[:]), Epoch: hex.EncodeToString(epoch[:])}
}

// succeed makes the identity of a store whose writes may have gone back. Clients of the
// history before get everything anew.
func (i identity) succeed(store storeID) identity {
	next := newIdentity(store)
	next.From = max(i.From, clockVersion())
	return next
}

// clockVersion returns the version that a new history begins after: the clock's
// microseconds, as in memory.
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

// readIdentity returns the identity of a store. The error is a fs.ErrNotExist if there is
// none.
func readIdentity(d directory, path string) (i identity, err error) {
	f, err := d.open(identityName)
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
