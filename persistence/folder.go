package persistence

import (
	"context"
	"crypto/rand"
	"errors"
	"fmt"
	"io/fs"
	"strings"
)

// folderMark is the file in the folder of files that has the folder's id.
const folderMark = "folder-id"

// ErrOtherFolder: this node's folder of files isn't the one that the other nodes
// on the database have.
var ErrOtherFolder = errors.New("this folder isn't the one that belongs to the database")

// CheckShared is nil when the folder is the one that every node on the database
// has. The first node to ask writes an id into both; a folder with another id, or
// with none, is ErrOtherFolder: one that isn't mounted is empty.
func (b *Blobs) CheckShared(ctx context.Context, reads *Reads) error {
	// In this order: who writes both begins with the folder.
	theirs, err := reads.sharedFolder(ctx)
	if err != nil {
		return err
	}
	own, err := b.mark()
	if err != nil {
		return fmt.Errorf("read %s in the folder of files: %w", folderMark, err)
	}
	if theirs == "" {
		if theirs, own, err = b.claim(ctx, reads, own); err != nil {
			return err
		}
	}
	if own != theirs {
		return fmt.Errorf("%w: the id in its file %s is %q, the database has %q", ErrOtherFolder, folderMark, own, theirs)
	}
	return nil
}

// claim makes the folder the database's, unless another node was faster. It
// returns the ids of both.
func (b *Blobs) claim(ctx context.Context, reads *Reads, own string) (theirs, _ string, err error) {
	if own == "" {
		if own, err = b.makeMark(); err != nil {
			return "", "", fmt.Errorf("write %s in the folder of files: %w", folderMark, err)
		}
	}
	if _, err := reads.pool.Exec(ctx, reads.queries.ClaimSharedFolder, own); err != nil {
		return "", "", readError("claim the folder of files", err)
	}
	theirs, err = reads.sharedFolder(ctx)
	return theirs, own, err
}

// mark is the folder's id; empty: it has none.
func (b *Blobs) mark() (string, error) {
	id, err := b.root.ReadFile(folderMark)
	if errors.Is(err, fs.ErrNotExist) {
		return "", nil
	}
	return strings.TrimSpace(string(id)), err
}

// makeMark gives the folder an id. Of several nodes that do so at once, one
// succeeds, and all get its id: a link, unlike a file, is whole as soon as it is
// there.
func (b *Blobs) makeMark() (string, error) {
	temporary := incoming + "/" + rand.Text()
	if err := b.root.WriteFile(temporary, []byte(rand.Text()+"\n"), 0o600); err != nil {
		return "", err
	}
	err := b.root.Link(temporary, folderMark)
	if errors.Is(err, fs.ErrExist) {
		err = nil
	}
	if err := errors.Join(err, b.remove(temporary)); err != nil {
		return "", err
	}
	if err := b.sync("."); err != nil {
		return "", err
	}
	return b.mark()
}

func (r *Reads) sharedFolder(ctx context.Context) (id string, err error) {
	err = r.pool.QueryRow(ctx, r.queries.SharedFolder).Scan(&id)
	return id, readError("ask which folder of files belongs to the database", err)
}
