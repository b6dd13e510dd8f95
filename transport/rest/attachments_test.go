package rest

import (
	"bytes"
	"context"
	"crypto/sha256"
	"errors"
	"fmt"
	"io"
	"mime/multipart"
	"net/http"
	"net/textproto"
	"strings"
	"sync"
	"testing"
	"time"

	"github.com/stretchr/testify/require"

	"github.com/chatopshub/chatopshub/domain"
)

// fakeFiles is rows and contents in memory, and can be made to fail.
type fakeFiles struct {
	mu      sync.Mutex
	rows    map[domain.AttachmentID]domain.Attachment
	content map[domain.FileKey][]byte
	putErr  error
	addErr  error
}

func (s *fakeFiles) Get(ctx context.Context, org domain.OrganizationID, id domain.AttachmentID) (domain.Attachment, error) {
	file, err := s.Linked(ctx, id)
	if err == nil && file.Organization != org {
		return domain.Attachment{}, domain.ErrNotFound
	}
	return file, err
}

func (s *fakeFiles) Linked(_ context.Context, id domain.AttachmentID) (domain.Attachment, error) {
	s.mu.Lock()
	defer s.mu.Unlock()
	if file, ok := s.rows[id]; ok {
		return file, nil
	}
	return domain.Attachment{}, domain.ErrNotFound
}

func (s *fakeFiles) Add(_ context.Context, file domain.Attachment) error {
	s.mu.Lock()
	defer s.mu.Unlock()
	if s.addErr == nil {
		s.rows[file.Attachment] = file
	}
	return s.addErr
}

// Put takes what begins like a PNG as one, and HTML as HTML.
func (s *fakeFiles) Put(_ context.Context, key domain.FileKey, content io.Reader, limit domain.FileLimit) (domain.FileFacts, error) {
	if s.putErr != nil {
		return domain.FileFacts{}, s.putErr
	}
	data, err := io.ReadAll(content)
	if err != nil {
		return domain.FileFacts{}, fmt.Errorf("put: %w", err)
	}
	mimeType := "application/pdf"
	switch {
	case bytes.HasPrefix(data, []byte("\x89PNG")):
		mimeType = "image/png"
	case bytes.HasPrefix(data, []byte("<html")):
		mimeType = "text/html"
	}
	switch most := limit(mimeType); {
	case most == 0:
		return domain.FileFacts{}, domain.ErrFileType
	case int64(len(data)) > most:
		return domain.FileFacts{}, domain.ErrFileTooLarge
	}
	s.mu.Lock()
	defer s.mu.Unlock()
	s.content[key] = data
	sum := sha256.Sum256(data)
	return domain.FileFacts{MimeType: mimeType, Size: int64(len(data)), SHA256: sum[:]}, nil
}

type memoryFile struct{ *bytes.Reader }

func (memoryFile) Close() error { return nil }

func (s *fakeFiles) Open(_ context.Context, key domain.FileKey) (io.ReadSeekCloser, error) {
	s.mu.Lock()
	defer s.mu.Unlock()
	data, ok := s.content[key]
	if !ok {
		return nil, domain.ErrNotFound
	}
	return memoryFile{bytes.NewReader(data)}, nil
}

func (s *fakeFiles) Delete(_ context.Context, key domain.FileKey) error {
	s.mu.Lock()
	defer s.mu.Unlock()
	delete(s.content, key)
	return nil
}

func (s *fakeFiles) empty() bool {
	s.mu.Lock()
	defer s.mu.Unlock()
	return len(s.content)+len(s.rows) == 0
}

var picture = []byte("\x89PNG\r\n\x1a\n a picture of 0123456789")

type formPart struct {
	field, name, declared string
	data                  []byte
}

func form(t testing.TB, parts ...formPart) (body *bytes.Buffer, contentType string) {
	t.Helper()
	body = &bytes.Buffer{}
	w := multipart.NewWriter(body)
	for _, p := range parts {
		header := textproto.MIMEHeader{}
		header.Set("Content-Disposition", multipart.FileContentDisposition(p.field, p.name))
		if p.name == "" {
			header.Set("Content-Disposition", `form-data; name="`+p.field+`"`)
		}
		header.Set("Content-Type", p.declared)
		part, err := w.CreatePart(header)
		require.NoError(t, err)
		_, err = part.Write(p.data)
		require.NoError(t, err)
	}
	require.NoError(t, w.Close())
	return body, w.FormDataContentType()
}

func (f *fixture) upload(u domain.User, body io.Reader, contentType string) answer {
	r := f.request(http.MethodPost, "/api/attachments", body)
	r.Header.Set("Authorization", "Bearer "+f.token(u))
	r.Header.Set("Content-Type", contentType)
	return f.send(r)
}

func (f *fixture) uploaded(u domain.User, name string, data []byte) (id domain.AttachmentID, a answer) {
	body, contentType := form(f.t, formPart{"file", name, "text/html", data})
	a = f.upload(u, body, contentType)
	require.Equal(f.t, http.StatusCreated, a.status, "%s", a.raw)
	require.True(f.t, readID(&id, a.body["id"].(string)))
	return id, a
}

func TestAnUploadIsWhatItsContentSays(t *testing.T) {
	t.Parallel()
	f := newFixture(t)
	id, a := f.uploaded(f.agent, "../../\u202egnp.cat\r\n.png", picture)
	require.Equal(t, "image/png", a.body["mimeType"], "not what was declared")
	require.EqualValues(t, len(picture), a.body["sizeBytes"])
	name := a.body["fileName"].(string)
	require.False(t, strings.ContainsAny(name, "/\\\r\n\u202e"), name)

	got := f.send(f.request(http.MethodGet, a.body["url"].(string), nil))
	require.Equal(t, http.StatusOK, got.status)
	require.Equal(t, picture, got.raw)
	require.Equal(t, "image/png", got.header.Get("Content-Type"))
	require.Equal(t, "nosniff", got.header.Get("X-Content-Type-Options"))
	require.Equal(t, "sandbox; default-src 'none'", got.header.Get("Content-Security-Policy"))
	require.True(t, strings.HasPrefix(got.header.Get("Content-Disposition"), "inline"))
	require.Equal(t, fmt.Sprintf("%q", fmt.Sprintf("%x", sha256.Sum256(picture))), got.header.Get("ETag"))

	again := f.request(http.MethodGet, "/api/attachments/"+id.String(), nil)
	again.Header.Set("Authorization", "Bearer "+f.token(f.admin))
	again.Header.Set("If-None-Match", got.header.Get("ETag"))
	require.Equal(t, http.StatusNotModified, f.send(again).status)
	again.Header.Del("If-None-Match")
	again.Header.Set("Range", "bytes=8-9")
	part := f.send(again)
	require.Equal(t, http.StatusPartialContent, part.status)
	require.Equal(t, picture[8:10], part.raw)
	require.Equal(t, fmt.Sprintf("bytes 8-9/%d", len(picture)), part.header.Get("Content-Range"))
	again.Header.Set("Range", "bytes=900-")
	require.Equal(t, http.StatusRequestedRangeNotSatisfiable, f.send(again).status)
}

func TestDocumentsAreDownloadedNotShown(t *testing.T) {
	t.Parallel()
	f := newFixture(t)
	_, a := f.uploaded(f.agent, `quo"ted ünd.pdf`, []byte("%PDF-1.7"))
	got := f.send(f.request(http.MethodGet, a.body["url"].(string), nil))
	require.Equal(t, `attachment; filename*=utf-8''quo_ted%20%C3%BCnd.pdf`, got.header.Get("Content-Disposition"))
}

func TestFilesOfOthersAreNotThere(t *testing.T) {
	t.Parallel()
	f := newFixture(t)
	id, _ := f.uploaded(f.agent, "a.png", picture)
	path := "/api/attachments/" + id.String()
	f.problem(f.as(f.foreigner, http.MethodGet, path, ""), http.StatusNotFound, "not_found")
	f.problem(f.send(f.request(http.MethodGet, path, nil)), http.StatusUnauthorized, "token_missing")
	var nobodys domain.AttachmentID
	f.problem(f.as(f.agent, http.MethodGet, "/api/attachments/"+newID(nobodys).String(), ""), http.StatusNotFound, "not_found")
	f.problem(f.as(f.agent, http.MethodGet, "/api/attachments/x", ""), http.StatusUnprocessableEntity, "validation_failed")

	suspended := f.directory[f.agent.ID]
	suspended.Status = domain.UserSuspended
	f.directory[f.agent.ID] = suspended
	f.problem(f.as(f.agent, http.MethodGet, path, ""), http.StatusForbidden, "user_not_active")
}

func TestSignedAddressesAreChecked(t *testing.T) {
	t.Parallel()
	now := time.Now()
	f := newFixture(t, func(f *fixture) { f.links.Now = func() time.Time { return now } })
	id, a := f.uploaded(f.agent, "a.png", picture)
	other, _ := f.uploaded(f.agent, "b.png", picture)
	link := a.body["url"].(string)
	get := func(address string) answer { return f.send(f.request(http.MethodGet, address, nil)) }
	require.Equal(t, http.StatusOK, get(link).status)
	f.problem(get(strings.Replace(link, id.String(), other.String(), 1)), http.StatusForbidden, "link_invalid")
	f.problem(get(strings.Replace(link, "expires=1", "expires=2", 1)), http.StatusForbidden, "link_invalid")
	f.problem(get(link[:len(link)-2]), http.StatusForbidden, "link_invalid")
	f.problem(get("/api/attachments/"+id.String()+"?signature="), http.StatusForbidden, "link_invalid")
	f.problem(get("/api/attachments/"+id.String()+"?expires=9999999999"), http.StatusForbidden, "link_invalid")
	now = now.Add(2 * time.Hour)
	f.problem(get(link), http.StatusForbidden, "link_expired")
	require.NotContains(t, f.log.String(), "signature", "addresses with their signature stay out of the log")
}

func TestUploadsThatAreRefused(t *testing.T) {
	t.Parallel()
	for name, c := range map[string]struct {
		parts  []formPart
		status int
		code   string
		field  string
	}{
		"nothing":          {nil, 422, "validation_failed", "body.file"},
		"empty":            {[]formPart{{"file", "a.png", "image/png", nil}}, 422, "validation_failed", "body.file"},
		"no file":          {[]formPart{{"file", "", "text/plain", []byte("x")}}, 422, "validation_failed", "body.file"},
		"another field":    {[]formPart{{"photo", "a.png", "image/png", picture}}, 422, "validation_failed", "body.photo"},
		"two files":        {[]formPart{{"file", "a.png", "image/png", picture}, {"file", "b.png", "image/png", picture}}, 422, "validation_failed", "body.file"},
		"a field too many": {[]formPart{{"file", "a.png", "image/png", picture}, {"caption", "", "text/plain", []byte("x")}}, 422, "validation_failed", "body.caption"},
		"a page":           {[]formPart{{"file", "cat.png", "image/png", []byte("<html><script>")}}, 415, "file_type_refused", ""},
	} {
		f := newFixture(t)
		body, contentType := form(t, c.parts...)
		a := f.upload(f.agent, body, contentType)
		f.problem(a, c.status, c.code)
		require.Equal(t, c.field, fieldOf(a), name)
		require.True(t, f.files.empty(), name)
	}
}

func TestUploadsThatAreNoForms(t *testing.T) {
	t.Parallel()
	f := newFixture(t)
	f.problem(f.upload(f.agent, strings.NewReader("{}"), "application/json"), http.StatusUnsupportedMediaType, "unsupported_media_type")
	body, contentType := form(t, formPart{"file", "a.png", "image/png", bytes.Repeat(picture, 1000)})
	cut := body.Bytes()[:body.Len()/2]
	f.problem(f.upload(f.agent, bytes.NewReader(cut), contentType), http.StatusBadRequest, "malformed")
	body, contentType = form(t, formPart{"file", "a.png", "image/png", picture})
	cut = body.Bytes()[:body.Len()-10]
	f.problem(f.upload(f.agent, bytes.NewReader(cut), contentType), http.StatusBadRequest, "malformed")
	require.True(t, f.files.empty())
	f.problem(f.send(f.request(http.MethodPost, "/api/attachments", nil)), http.StatusUnauthorized, "token_missing")
}

// TestAHugeUploadIsCutOff never sends the whole of it.
func TestAHugeUploadIsCutOff(t *testing.T) {
	t.Parallel()
	f := newFixture(t)
	body, contentType := form(t, formPart{"file", "a.pdf", "application/pdf", []byte("%PDF")})
	head, tail, _ := bytes.Cut(body.Bytes(), []byte("%PDF"))
	r := f.request(http.MethodPost, "/api/attachments", io.MultiReader(bytes.NewReader(head), io.LimitReader(zeros{}, domain.MaxFile+1<<20), bytes.NewReader(tail)))
	r.ContentLength = int64(len(head)+len(tail)) + domain.MaxFile + 1<<20
	r.Header.Set("Authorization", "Bearer "+f.token(f.agent))
	r.Header.Set("Content-Type", contentType)
	response, err := f.client.Do(r)
	if err == nil { // else the connection was cut while we were sending, which is an answer, too
		require.Equal(t, http.StatusRequestEntityTooLarge, response.StatusCode)
		require.NoError(t, response.Body.Close())
	}
	require.True(t, f.files.empty())
}

type zeros struct{}

func (zeros) Read(p []byte) (int, error) { clear(p); return len(p), nil }

func TestAnUploadIsKeptWholeOrNotAtAll(t *testing.T) {
	t.Parallel()
	f := newFixture(t)
	f.files.addErr = fmt.Errorf("add: %w", domain.ErrUnavailable)
	body, contentType := form(t, formPart{"file", "a.png", "image/png", picture})
	f.problem(f.upload(f.agent, body, contentType), http.StatusServiceUnavailable, "unavailable")
	require.True(t, f.files.empty())

	f.files.addErr, f.files.putErr = nil, errors.New("disk full at /srv/uploads")
	body, contentType = form(t, formPart{"file", "a.png", "image/png", picture})
	a := f.upload(f.agent, body, contentType)
	f.problem(a, http.StatusInternalServerError, "internal")
	require.NotContains(t, string(a.raw), "disk")
}

func TestTransfersAreBounded(t *testing.T) {
	t.Parallel()
	f := newFixture(t)
	s, err := newServer(f.config)
	require.NoError(t, err)
	s.transferring.Store(maxTransfers)
	f.serve(s.router)
	a := f.as(f.agent, http.MethodGet, "/api/attachments/"+newID(domain.AttachmentID{}).String(), "")
	require.Equal(t, http.StatusServiceUnavailable, a.status)
	require.EqualValues(t, maxTransfers, s.transferring.Load())
}
