package transfer

import (
	"bufio"
	"crypto/sha256"
	"encoding/hex"
	"fmt"
	"io"
	"strings"
)

// checksumsName is the file with the checksums, in the format of sha256sum.
const checksumsName = "SHA256SUMS"

// A checksum is the SHA-256 of a file.
type checksum [sha256.Size]byte

// checkSums reads lines of sha256sum, and compares them with the checksums of the files.
// Each file must have one line, and each line a file.
func checkSums(r io.Reader, files map[string]checksum) error {
	checked := make(map[string]bool)
	lines := bufio.NewScanner(r)
	for lines.Scan() {
		want, name, ok := parseSum(lines.Text())
		got, exists := files[name]
		switch {
		case !ok:
			return fmt.Errorf("%s of the backup has the line %q, which is not one of sha256sum", checksumsName, lines.Text())
		case !exists:
			return fmt.Errorf("the backup lacks the file %q, which its %s names: make it again", name, checksumsName)
		case checked[name]:
			return fmt.Errorf("%s of the backup names %q twice", checksumsName, name)
		case got != want:
			return fmt.Errorf("%q in the backup is damaged: its SHA-256 is %x, and should be %x: make the backup again", name, got, want)
		}
		checked[name] = true
	}
	if err := lines.Err(); err != nil {
		return err
	}
	for name := range files {
		if !checked[name] {
			return fmt.Errorf("%s of the backup does not name the file %q", checksumsName, name)
		}
	}
	return nil
}

// parseSum reads a line: the checksum in hexadecimal, a space, a space or an asterisk, and
// the name.
func parseSum(line string) (sum checksum, name string, ok bool) {
	digits, rest, found := strings.Cut(line, " ")
	if !found || len(rest) < 2 || rest[0] != ' ' && rest[0] != '*' {
		return sum, "", false
	}
	raw, err := hex.DecodeString(digits)
	if err != nil || len(raw) != len(sum) {
		return sum, "", false
	}
	return checksum(raw), rest[1:], true
}
