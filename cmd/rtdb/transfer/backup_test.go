package transfer_test

import (
	"archive/tar"
	"bytes"
	"crypto/sha256"
	"errors"
	"fmt"
	"net/http"
	"os"
	"path/filepath"
	"strings"
	"testing"

	"rtdb/cmd/rtdb/transfer"
)

// An archiveFile is a file of a backup.
type archiveFile struct{ name, text string }

// store has the files of a server's store.
var store = []archiveFile{
	{"format", "rtdb 1\n"}, {"snapshot-1", strings.Repeat("snapshot ", 3000)}, {"segments/2", ""}, {"segments/3 a", "\x00\x01"},
}

func sums(files []archiveFile) archiveFile {
	var lines strings.Builder
	for _, f := range files {
		fmt.Fprintf(&lines, "%x  %s\n", sha256.Sum256([]byte(f.text)), f.name)
	}
	return archiveFile{"SHA256SUMS", lines.String()}
}

func archive(t *testing.T, files ...archiveFile) []byte {
	t.Helper()
	var out bytes.Buffer
	w := tar.NewWriter(&out)
	for _, f := range files {
		if err := w.WriteHeader(&tar.Header{Name: f.name, Size: int64(len(f.text)), Mode: 0o600, Typeflag: tar.TypeReg}); err != nil {
			t.Fatal(err)
		}
		if _, err := w.Write([]byte(f.text)); err != nil {
			t.Fatal(err)
		}
	}
	if err := w.Close(); err != nil {
		t.Fatal(err)
	}
	return out.Bytes()
}

// whole returns the archive of the files with their checksums.
func whole(t *testing.T, files ...archiveFile) []byte {
	return archive(t, append(files[:len(files):len(files)], sums(files))...)
}

// backUp makes a backup from a server that answers with the bytes. The connection is cut
// after them if cut is set.
func backUp(t *testing.T, to string, force, cut bool, answer []byte) (transfer.BackupResult, error) {
	t.Helper()
	server := serve(t, func(w http.ResponseWriter, r *http.Request) {
		if r.URL.Path != "/backup" || r.Method != "GET" {
			t.Errorf("the request is %s %s", r.Method, r.URL)
		}
		_, _ = w.Write(answer)
		if cut {
			_ = http.NewResponseController(w).Flush()
			panic(http.ErrAbortHandler)
		}
	})
	return transfer.Backup(t.Context(), transfer.BackupOptions{Server: server, To: to, Force: force})
}

func TestBackup(t *testing.T) {
	to := filepath.Join(t.TempDir(), "rtdb.tar")
	answer := whole(t, store...)
	result, err := backUp(t, to, false, false, answer)
	if err != nil || result != (transfer.BackupResult{Bytes: int64(len(answer)), Files: len(store)}) {
		t.Fatalf("got %+v, %v", result, err)
	}
	if written, err := os.ReadFile(to); err != nil || !bytes.Equal(written, answer) {
		t.Errorf("the file differs: %v", err)
	}
	if _, err := backUp(t, to, false, false, nil); !errors.Is(err, transfer.ErrExists) {
		t.Errorf("over an existing file: %v", err)
	}
	answer = whole(t, store[:1]...)
	if _, err := backUp(t, to, true, false, answer); err != nil {
		t.Errorf("with force: %v", err)
	}
	if written, _ := os.ReadFile(to); !bytes.Equal(written, answer) {
		t.Error("the file was not replaced")
	}
	// A failure leaves the old file.
	if _, err := backUp(t, to, true, true, answer[:700]); err == nil {
		t.Error("a cut backup was accepted")
	}
	if written, _ := os.ReadFile(to); !bytes.Equal(written, answer) {
		t.Error("the old file is gone")
	}
	wantFiles(t, filepath.Dir(to), 1)
}

// wantFiles wants that many files in the directory.
func wantFiles(t *testing.T, dir string, want int) {
	t.Helper()
	if entries, err := os.ReadDir(dir); err != nil || len(entries) != want {
		t.Errorf("%s has %v, %v; want %d files", dir, entries, err, want)
	}
}

// A backup that does not match its checksums leaves no file.
func TestBackupIsChecked(t *testing.T) {
	altered := append([]archiveFile(nil), store...)
	altered[3].text = "\x00\x02"
	list := sums(store)
	for name, test := range map[string]struct {
		answer []byte
		want   string
	}{
		"altered":       {archive(t, append(altered, list)...), `"segments/3 a" in the backup is damaged`},
		"no sums":       {archive(t, store...), "no SHA256SUMS at its end"},
		"missing":       {archive(t, append(store[:2:2], list)...), `lacks the file "segments/2"`},
		"not summed":    {archive(t, append(store[:4:4], archiveFile{"x", ""}, list)...), `does not name the file "x"`},
		"after":         {archive(t, append(store[:4:4], list, archiveFile{"x", ""})...), `has "x" after SHA256SUMS`},
		"twice":         {archive(t, store[0], store[0], list), "twice"},
		"summed twice":  {archive(t, store[0], archiveFile{"SHA256SUMS", strings.Repeat(sums(store[:1]).text, 2)}), "twice"},
		"not sums":      {archive(t, store[0], archiveFile{"SHA256SUMS", "hello"}), "not one of sha256sum"},
		"short sum":     {archive(t, store[0], archiveFile{"SHA256SUMS", "abcd  format\n"}), "not one of sha256sum"},
		"not tar":       {bytes.Repeat([]byte("<html>"), 1000), "not a tar archive"},
		"nothing":       {nil, "no SHA256SUMS at its end"},
		"damaged after": {append(bytes.TrimRight(archive(t, store[0], sums(store[:1])), "\x00"), make([]byte, 300)...), "cut off"},
	} {
		to := filepath.Join(t.TempDir(), "rtdb.tar")
		if _, err := backUp(t, to, false, false, test.answer); err == nil || !strings.Contains(err.Error(), test.want) {
			t.Errorf("%s: %v, want %s", name, err, test.want)
		}
		wantFiles(t, filepath.Dir(to), 0)
	}
}

// A backup that is cut at any place, or has any byte of a file flipped, leaves no file.
func TestBackupThatIsHarmed(t *testing.T) {
	answer := whole(t, store[0], store[2], store[3])
	dir := t.TempDir()
	to := filepath.Join(dir, "rtdb.tar")
	for n := 0; n < len(answer); n += 101 {
		if _, err := backUp(t, to, false, true, answer[:n]); err == nil {
			t.Errorf("cut after %d bytes: accepted", n)
		}
		// Without the error of a lost connection, as behind some proxies.
		if _, err := backUp(t, to, false, false, answer[:n]); err == nil {
			t.Errorf("ended after %d bytes: accepted", n)
		}
	}
	for _, n := range []int{512, 515, 5, 700} {
		harmed := bytes.Clone(answer)
		harmed[n] ^= 1
		if _, err := backUp(t, to, false, false, harmed); err == nil && n != 700 { // byte 700 is padding
			t.Errorf("byte %d flipped: accepted", n)
		}
		_ = os.Remove(to)
	}
	wantFiles(t, dir, 0)
}

func TestBackupIsRefused(t *testing.T) {
	server := serve(t, func(w http.ResponseWriter, _ *http.Request) {
		w.WriteHeader(http.StatusNotFound)
		fmt.Fprint(w, `{"error":{"code":"not_found","message":"the server keeps no data: start it with --data-dir"}}`)
	})
	dir := t.TempDir()
	_, err := transfer.Backup(t.Context(), transfer.BackupOptions{Server: server, To: filepath.Join(dir, "x")})
	if err == nil || !strings.Contains(err.Error(), "start it with --data-dir (not_found): --url must be the operator's address") {
		t.Errorf("got %v", err)
	}
	wantFiles(t, dir, 0)
}
