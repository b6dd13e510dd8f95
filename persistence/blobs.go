package persistence

import (
	"bytes"
	"context"
	"crypto/rand"
	"crypto/sha256"
	"errors"
	"fmt"
	"io"
	"io/fs"
	"os"
	"strings"
	"time"

	"github.com/gabriel-vasile/mimetype"

	"github.com/chatopshub/chatopshub/domain"
)

// incoming is where files are written until they are whole.
const incoming = "incoming"

// incomingKept is how long what a crash left there stays: longer than any
// transfer takes.
const incomingKept = 24 * time.Hour

// sniffed is how many bytes of a file tell its type.
const sniffed = 3072

// Blobs keeps the content of files in a folder: one file for each, at
// organization/attachment. Nothing that a stranger named becomes part of a path,
// and an os.Root keeps everything inside the folder, symbolic links included.
// Several nodes may share the folder.
type Blobs struct{ root *os.Root }

// OpenBlobs opens the folder, and makes it if need be. What writers that were
// killed left behind more than a day ago is removed.
func OpenBlobs(path string, now time.Time) (*Blobs, error) {
	if err := os.MkdirAll(path, 0o700); err != nil {
		return nil, fmt.Errorf("make the folder of files: %w", err)
	}
	root, err := os.OpenRoot(path)
	if err != nil {
		return nil, fmt.Errorf("open the folder of files: %w", err)
	}
	b := &Blobs{root: root}
	if err := b.sweep(now); err != nil {
		return nil, errors.Join(fmt.Errorf("clear the folder of files: %w", err), root.Close())
	}
	return b, nil
}

// Close closes the folder; files that are open stay so.
func (b *Blobs) Close() error { return b.root.Close() }

func (b *Blobs) sweep(now time.Time) error {
	if err := b.root.MkdirAll(incoming, 0o700); err != nil {
		return err
	}
	left, err := fs.ReadDir(b.root.FS(), incoming)
	if err != nil {
		return err
	}
	for _, entry := range left {
		info, err := entry.Info()
		if err != nil || now.Sub(info.ModTime()) < incomingKept {
			continue // another node's, just gone, or still being written
		}
		if err := b.root.Remove(incoming + "/" + entry.Name()); err != nil && !errors.Is(err, fs.ErrNotExist) {
			return err
		}
	}
	return nil
}

// Put stores content under key, in the place of what was there, and returns when
// that survives a power cut. The first bytes tell the type, and limit how large
// such a file may be: domain.ErrFileType, domain.ErrFileTooLarge. Then, and when
// content fails, whose error is wrapped, nothing is left of it.
func (b *Blobs) Put(ctx context.Context, key domain.FileKey, content io.Reader, limit domain.FileLimit) (domain.FileFacts, error) {
	content = &cancelled{ctx, content}
	head := make([]byte, sniffed)
	n, err := io.ReadFull(content, head)
	if err != nil && !errors.Is(err, io.EOF) && !errors.Is(err, io.ErrUnexpectedEOF) {
		return domain.FileFacts{}, fmt.Errorf("read file %s: %w", key.Attachment, err)
	}
	facts := domain.FileFacts{MimeType: sniff(head[:n])}
	most := limit(facts.MimeType)
	if n == 0 || most == 0 {
		return facts, fmt.Errorf("file %s of %s: %w", key.Attachment, facts.MimeType, domain.ErrFileType)
	}
	temporary := incoming + "/" + rand.Text()
	whole := io.LimitReader(io.MultiReader(bytes.NewReader(head[:n]), content), most+1)
	if err := b.write(temporary, whole, &facts); err != nil {
		return facts, fmt.Errorf("store file %s: %w", key.Attachment, errors.Join(err, b.remove(temporary)))
	}
	if facts.Size > most {
		return facts, fmt.Errorf("file %s has more than %d bytes: %w", key.Attachment, most, errors.Join(domain.ErrFileTooLarge, b.remove(temporary)))
	}
	if err := b.publish(temporary, key); err != nil {
		return facts, fmt.Errorf("store file %s: %w", key.Attachment, errors.Join(err, b.remove(temporary)))
	}
	return facts, nil
}

// write makes a file of content and finds out its size and hash.
func (b *Blobs) write(name string, content io.Reader, facts *domain.FileFacts) error {
	file, err := b.root.OpenFile(name, os.O_CREATE|os.O_EXCL|os.O_WRONLY, 0o600)
	if err != nil {
		return err
	}
	hash := sha256.New()
	facts.Size, err = io.Copy(io.MultiWriter(file, hash), content)
	facts.SHA256 = hash.Sum(nil)
	if err == nil {
		err = file.Sync()
	}
	return errors.Join(err, file.Close())
}

// publish gives a whole file its name.
func (b *Blobs) publish(temporary string, key domain.FileKey) error {
	folder := key.Organization.String()
	switch err := b.root.Mkdir(folder, 0o700); {
	case err == nil:
		if err := b.sync("."); err != nil {
			return err
		}
	case !errors.Is(err, fs.ErrExist):
		return err
	}
	if err := b.root.Rename(temporary, pathOf(key)); err != nil {
		return err
	}
	return b.sync(folder)
}

// sync makes the names in a folder survive a power cut.
func (b *Blobs) sync(folder string) error {
	dir, err := b.root.Open(folder)
	if err != nil {
		return err
	}
	return errors.Join(dir.Sync(), dir.Close())
}

// Open is the content of a file, or domain.ErrNotFound. The caller closes it.
func (b *Blobs) Open(_ context.Context, key domain.FileKey) (io.ReadSeekCloser, error) {
	file, err := b.root.Open(pathOf(key))
	if errors.Is(err, fs.ErrNotExist) {
		err = domain.ErrNotFound
	}
	if err != nil {
		return nil, fmt.Errorf("open file %s: %w", key.Attachment, err)
	}
	return file, nil
}

// Delete removes the content of a file. It is safe to repeat.
func (b *Blobs) Delete(_ context.Context, key domain.FileKey) error {
	if err := b.remove(pathOf(key)); err != nil {
		return fmt.Errorf("delete file %s: %w", key.Attachment, err)
	}
	return nil
}

func (b *Blobs) remove(name string) error {
	if err := b.root.Remove(name); err != nil && !errors.Is(err, fs.ErrNotExist) {
		return err
	}
	return nil
}

func pathOf(key domain.FileKey) string {
	return key.Organization.String() + "/" + key.Attachment.String()
}

// sniff is the media type of what begins with head, by the name that the
// platforms give it.
func sniff(head []byte) string {
	mime, _, _ := strings.Cut(mimetype.Detect(head).String(), ";")
	switch mime {
	case "audio/x-m4a":
		return "audio/mp4"
	case "image/vnd.mozilla.apng":
		return "image/png"
	}
	return mime
}

// cancelled is a reader that fails once its context has ended.
type cancelled struct {
	ctx  context.Context
	from io.Reader
}

func (c *cancelled) Read(p []byte) (int, error) {
	if err := c.ctx.Err(); err != nil {
		return 0, err
	}
	return c.from.Read(p)
}
