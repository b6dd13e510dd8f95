package graphtest

import (
	"crypto/sha256"
	"encoding/hex"
	"fmt"
	"io"
	"net/http"
	"strconv"
	"strings"
	"time"
)

// The bounds of what is kept of files; above the second the oldest are dropped.
const (
	maxFile  = 100 << 20
	maxFiles = 256 << 20
)

// file is media at the platform.
type file struct {
	account string
	mime    string
	name    string
	data    []byte
}

// files is what the platform keeps, the oldest first.
type files struct {
	byID  map[string]file
	order []string
	bytes int
}

func newFiles() *files { return &files{byID: map[string]file{}} }

func (fs *files) add(id string, f file) {
	fs.byID[id], fs.bytes = f, fs.bytes+len(f.data)
	fs.order = append(fs.order, id)
	for fs.bytes > maxFiles {
		fs.drop(fs.order[0])
	}
}

func (fs *files) drop(id string) {
	fs.bytes -= len(fs.byID[id].data)
	delete(fs.byID, id)
	for i, o := range fs.order {
		if o == id {
			fs.order = append(fs.order[:i], fs.order[i+1:]...)
			return
		}
	}
}

// PutMedia is a file that a customer of the account sends; it returns the id
// that a webhook names.
func (s *Server) PutMedia(accountID, mimeType, name string, data []byte) string {
	s.mu.Lock()
	defer s.mu.Unlock()
	id := s.newNumber()
	s.files.add(id, file{account: accountID, mime: mimeType, name: name, data: data})
	return id
}

// Media is the bytes of a file that was uploaded, or put, and its media type.
func (s *Server) Media(id string) (data []byte, mimeType string, ok bool) {
	s.mu.Lock()
	defer s.mu.Unlock()
	f, ok := s.files.byID[id]
	return f.data, f.mime, ok
}

func (s *Server) hasFile(accountID, id string) bool {
	s.mu.Lock()
	defer s.mu.Unlock()
	f, ok := s.files.byID[id]
	return ok && f.account == accountID
}

func (s *Server) upload(w http.ResponseWriter, r *http.Request, a *account) {
	if object := r.PathValue("object"); object != a.ID {
		unknownObject(w, object)
		return
	}
	part, key := "file", "id"
	if a.Provider == Messenger {
		part, key = "filedata", "attachment_id"
	}
	r.Body = http.MaxBytesReader(w, r.Body, maxFile+1<<16)
	f, header, err := r.FormFile(part)
	if err != nil {
		Failure(100, 0, "The parameter "+part+" is required.").write(w, product(a.Provider))
		return
	}
	defer f.Close()
	defer func() { _ = r.MultipartForm.RemoveAll() }() // temporary files, which the system clears as well
	data, err := io.ReadAll(f)
	if err != nil || a.Provider == WhatsApp && r.FormValue("messaging_product") != "whatsapp" {
		Failure(100, 0, "Invalid parameter").write(w, product(a.Provider))
		return
	}
	id := s.PutMedia(a.ID, header.Header.Get("Content-Type"), header.Filename, data)
	answer(w, http.StatusOK, map[string]any{key: id})
}

// describeFile answers the look-up of a file with an address that expires.
func (s *Server) describeFile(w http.ResponseWriter, a *account, id string) bool {
	s.mu.Lock()
	f, ok := s.files.byID[id]
	s.mu.Unlock()
	if !ok || f.account != a.ID {
		return false
	}
	sum := sha256.Sum256(f.data)
	answer(w, http.StatusOK, map[string]any{
		"messaging_product": "whatsapp", "id": id, "url": s.MediaURL(id), "mime_type": f.mime,
		"sha256": hex.EncodeToString(sum[:]), "file_size": len(f.data),
	})
	return true
}

// MediaURL is an address of a file that lives for Config.MediaLife.
func (s *Server) MediaURL(id string) string {
	return fmt.Sprintf("%s/media/file/%s/%d", s.URL(), id, time.Now().Add(s.cfg.MediaLife).UnixNano())
}

// fetched gives out a file. Messenger's addresses need no token.
func (s *Server) fetched(w http.ResponseWriter, r *http.Request) {
	s.mu.Lock()
	a := s.accounts[s.files.byID[r.PathValue("object")].account]
	s.mu.Unlock()
	if a == nil || a.Provider != Messenger {
		s.account(s.download)(w, r)
		return
	}
	if s.counted(w, r, a) {
		s.download(w, r, a)
	}
}

func (s *Server) download(w http.ResponseWriter, r *http.Request, a *account) {
	until, err := strconv.ParseInt(r.PathValue("until"), 10, 64)
	data, mimeType, ok := s.Media(r.PathValue("object"))
	if err != nil || !ok || time.Now().UnixNano() > until || !s.hasFile(a.ID, r.PathValue("object")) {
		http.NotFound(w, r)
		return
	}
	w.Header().Set("Content-Type", mimeType)
	w.Header().Set("Content-Length", strconv.Itoa(len(data)))
	_, _ = w.Write(data) // a client that left misses its file
}

func (s *Server) deleteMedia(w http.ResponseWriter, r *http.Request, a *account) {
	id := r.PathValue("object")
	if !s.hasFile(a.ID, id) || strings.TrimSpace(id) == "" {
		unknownObject(w, id)
		return
	}
	s.mu.Lock()
	s.files.drop(id)
	s.mu.Unlock()
	answer(w, http.StatusOK, map[string]any{"success": true})
}
