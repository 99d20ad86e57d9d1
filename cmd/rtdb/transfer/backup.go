package transfer

import (
	"archive/tar"
	"bytes"
	"context"
	"crypto/sha256"
	"errors"
	"fmt"
	"io"
	"net/http"
	"sync/atomic"
)

// BackupOptions describe a backup. Server and To must be set.
type BackupOptions struct {
	Server Server
	To     string // file to write
	Force  bool   // replace the file if it exists

	// OnProgress, if not nil, is called every second, always from the same goroutine.
	OnProgress func(Progress)
}

// A BackupResult counts the data that was received.
type BackupResult struct {
	Bytes int64 // of the archive
	Files int   // in the archive, without the checksums
}

// Backup writes a server's backup to a file, and checks it. If it fails, it leaves no file.
// A failed backup is not tried again, because a server makes a new backup for each request.
// If the file exists, and BackupOptions.Force is not set, the error is ErrExists.
func Backup(ctx context.Context, o BackupOptions) (result BackupResult, err error) {
	c, err := newClient(o.Server)
	if err != nil {
		return result, err
	}
	defer c.close()
	file, err := Create(o.To, o.Force)
	if err != nil {
		return result, err
	}
	if file.direct { // a pipe or a device cannot be removed if the check fails
		_ = file.Discard()
		return result, fmt.Errorf("%s is not a regular file: a backup is checked before it gets its name, so name a file", o.To)
	}
	var received atomic.Int64
	stop := startProgress(o.OnProgress, none, received.Load)
	err = c.backup(ctx, file, &received, &result)
	stop()
	result.Bytes = received.Load()
	if ctx.Err() != nil {
		err = ErrInterrupted
	}
	if err != nil {
		return result, errors.Join(err, file.Discard())
	}
	return result, file.Commit()
}

// backup receives the archive.
func (c *client) backup(ctx context.Context, to io.Writer, received *atomic.Int64, result *BackupResult) error {
	body, err := c.do(ctx, "GET", "backup", "", nil)
	if err != nil {
		var refused *ServerError
		if errors.As(err, &refused) && (refused.Status == http.StatusNotFound || refused.Status == http.StatusForbidden) {
			err = fmt.Errorf("%w: --url must be the operator's address (--admin-addr) if the server has one", err)
		}
		return err
	}
	defer func() { _ = body.Close() }() // it has been read, or has failed
	copied := &counted{r: io.TeeReader(body, outputTo{to}), n: received}
	if result.Files, err = checkArchive(copied); err == nil {
		_, err = io.Copy(io.Discard, copied) // the end mark
	}
	if err == nil && (copied.zeros < endMark || received.Load()%tarBlock != 0) || errors.Is(err, io.ErrUnexpectedEOF) {
		return fmt.Errorf("the backup is cut off after %d bytes: make it again", received.Load())
	}
	return err
}

// A tar archive has blocks of 512 bytes, and ends with two blocks of zeros (POSIX.1, pax).
// Package tar also accepts an archive without them.
const (
	tarBlock = 512
	endMark  = 2 * tarBlock
)

// checkArchive reads an archive and compares its files with their checksums, which are its
// last file. It returns the number of files before that one.
func checkArchive(r io.Reader) (files int, err error) {
	archive := tar.NewReader(r)
	actual := make(map[string]checksum)
	for {
		header, err := archive.Next()
		switch {
		case errors.Is(err, tar.ErrHeader):
			return len(actual), fmt.Errorf("the backup is not a tar archive, or is damaged after %d files: make it again", len(actual))
		case err == io.EOF:
			return len(actual), fmt.Errorf("the backup has no %s at its end, so it may be cut off: make it again", checksumsName)
		case err != nil:
			return len(actual), err
		}
		switch header.Typeflag {
		case tar.TypeDir, tar.TypeXGlobalHeader:
			continue
		case tar.TypeReg:
		default:
			return len(actual), fmt.Errorf("%q in the backup is not a regular file: check that the URL is that of an rtdb server", header.Name)
		}
		if header.Name == checksumsName {
			return len(actual), checkLast(archive, actual)
		}
		if _, twice := actual[header.Name]; twice {
			return len(actual), fmt.Errorf("%q is in the backup twice: check that the URL is that of an rtdb server", header.Name)
		}
		hash := sha256.New()
		if _, err := io.Copy(hash, archive); err != nil {
			return len(actual), err
		}
		actual[header.Name] = checksum(hash.Sum(nil))
	}
}

// checkLast compares the files with the checksums, which must be the archive's last file.
func checkLast(archive *tar.Reader, actual map[string]checksum) error {
	if err := checkSums(archive, actual); err != nil {
		return err
	}
	switch header, err := archive.Next(); {
	case err == nil:
		return fmt.Errorf("the backup has %q after %s, so the file has no checksum: make it again", header.Name, checksumsName)
	case errors.Is(err, tar.ErrHeader):
		return fmt.Errorf("the backup is damaged after %s: make it again", checksumsName)
	case err != io.EOF:
		return err
	}
	return nil
}

// A counted counts the bytes that are read.
type counted struct {
	r     io.Reader
	n     *atomic.Int64
	zeros int // the number of zero bytes at the end
}

// Read reads, and counts.
func (c *counted) Read(p []byte) (int, error) {
	n, err := c.r.Read(p)
	c.n.Add(int64(n))
	if rest := bytes.TrimRight(p[:n], "\x00"); len(rest) > 0 {
		c.zeros = n - len(rest)
	} else {
		c.zeros += n
	}
	return n, err
}

// An outputTo makes the error of a write one of the output.
type outputTo struct{ w io.Writer }

// Write writes.
func (o outputTo) Write(p []byte) (int, error) {
	n, err := o.w.Write(p)
	if err != nil {
		err = &OutputError{err}
	}
	return n, err
}
