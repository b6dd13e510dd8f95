package rest

import (
	"bufio"
	"context"
	"encoding/hex"
	"errors"
	"fmt"
	"io"
	"mime"
	"mime/multipart"
	"net/http"
	"os"
	"strconv"
	"time"

	"github.com/danielgtaylor/huma/v2"
	"github.com/danielgtaylor/huma/v2/adapters/humahttprouter"
	"github.com/google/uuid"

	"github.com/chatopshub/chatopshub/domain"
	"github.com/chatopshub/chatopshub/transport/auth"
)

const (
	// transferTimeout is how long a file may take to come or go: 100 MB at 350 KB/s.
	transferTimeout = 5 * time.Minute
	// maxTransfers is how many files come and go at a time: each holds a connection
	// and a file, however slow the client is.
	maxTransfers = 256
	// maxFraming is what a form may have around its one file, in bytes.
	maxFraming = 64 << 10
	// fileCached is how long a browser need not ask for a file again; a file never
	// changes under its id.
	fileCached = 30 * time.Minute
)

// attachmentRoutes registers what uploads and serves files.
func (s *server) attachmentRoutes(agents access) {
	register(s, operation{
		access: agents, method: http.MethodPost, path: "/api/attachments", id: "uploadAttachment", tag: "Attachments",
		summary: "Upload a file", about: "To be sent with a message. Its type is found out from its content.",
		refuses: []int{400, 408, 413, 415, 422, 503}, example: exampleAttachment(), status: http.StatusCreated, transfer: true,
	}, s.upload)
	register(s, operation{
		access: agents.orLink(), method: http.MethodGet, path: "/api/attachments/{id}", id: "getAttachment", tag: "Attachments",
		summary: "Download a file", about: "With an access token, or by the signed address that mediaUrl and url hold. Ranges are served.",
		refuses: []int{404, 503}, transfer: true,
	}, s.download)
	s.describeTransfers()
}

// describeTransfers says in the document what the typed layer doesn't see of
// operations that read and write files themselves. Told before, it would read the
// body itself.
func (s *server) describeTransfers() {
	file := &huma.Schema{Type: huma.TypeString, Format: "binary"}
	paths := s.api.OpenAPI().Paths
	paths["/api/attachments"].Post.RequestBody = &huma.RequestBody{
		Required: true, Content: map[string]*huma.MediaType{"multipart/form-data": {Schema: &huma.Schema{
			Type: huma.TypeObject, Properties: map[string]*huma.Schema{"file": file}, Required: []string{"file"}, AdditionalProperties: false,
		}}},
	}
	download := paths["/api/attachments/{id}"].Get.Responses
	content := map[string]*huma.MediaType{"*/*": {}} // as its type says
	download["200"] = &huma.Response{Description: "The file", Content: content}
	download["206"] = &huma.Response{Description: "A part of the file", Content: content}
	download["304"] = &huma.Response{Description: "The file that If-None-Match names"}
	download["416"] = &huma.Response{Description: "The file has no such part"}
}

type transferKey struct{}

// exchange is a request whose body, or whose answer, is a file.
type exchange struct {
	w http.ResponseWriter
	r *http.Request
}

// transfers gives an operation the connection itself, for as long as a file may
// take.
func (s *server) transfers(ctx huma.Context, next func(huma.Context)) {
	r, w, _ := humahttprouter.Unwrap(ctx)
	defer s.transferring.Add(-1)
	if s.transferring.Add(1) > maxTransfers {
		writeProblem(w, busy("overloaded", "Too many files come and go. This call was not executed; try again.", 1))
		return
	}
	limited, cancel := context.WithTimeout(ctx.Context(), transferTimeout)
	defer cancel()
	control := http.NewResponseController(w)
	until := time.Now().Add(transferTimeout)
	// An error says that the connection has no deadlines: nothing waits then.
	_ = control.SetReadDeadline(until)
	_ = control.SetWriteDeadline(until)
	next(huma.WithContext(ctx, context.WithValue(limited, transferKey{}, exchange{w, r})))
}

type uploadOutput struct{ Body uploadedFile }

// uploadedFile is an upload as its agent sees it.
type uploadedFile struct {
	ID        domain.AttachmentID `json:"id"`
	FileName  *string             `json:"fileName"`
	MimeType  string              `json:"mimeType" doc:"By the content"`
	SizeBytes int64               `json:"sizeBytes"`
	URL       string              `json:"url" doc:"Good for a while, without a login"`
}

func (s *server) upload(ctx context.Context, _ *struct{}) (*uploadOutput, error) {
	x := ctx.Value(transferKey{}).(exchange) // s.transfers is there
	file := domain.Attachment{FileKey: domain.FileKey{
		Organization: callerOf(ctx).Organization, Attachment: domain.AttachmentID(uuid.Must(uuid.NewV7())),
	}}
	x.r.Body = http.MaxBytesReader(x.w, x.r.Body, domain.MaxFile+maxFraming)
	if err := s.receive(ctx, x.r, &file); err != nil {
		return nil, fmt.Errorf("upload a file: %w", err)
	}
	if err := s.Attachments.Add(ctx, file); err != nil {
		// The row may be there all the same; then it leads to nothing.
		return nil, fmt.Errorf("upload a file: %w", errors.Join(err, s.Blobs.Delete(context.WithoutCancel(ctx), file.FileKey)))
	}
	return &uploadOutput{Body: s.uploaded(file)}, nil
}

func (s *server) uploaded(file domain.Attachment) uploadedFile {
	out := uploadedFile{
		ID: file.Attachment, MimeType: file.MimeType, SizeBytes: file.Size, URL: s.Links.Link(file.Attachment, auth.ShownFor),
	}
	if file.Name != "" {
		out.FileName = &file.Name
	}
	return out
}

// receive stores the one file of a form. What is wrong with the form after it
// undoes that.
func (s *server) receive(ctx context.Context, r *http.Request, file *domain.Attachment) error {
	form, err := r.MultipartReader()
	if err != nil {
		return problem(http.StatusUnsupportedMediaType, codeOf(http.StatusUnsupportedMediaType), "The body must be multipart/form-data.")
	}
	part, err := form.NextPart()
	switch {
	case errors.Is(err, io.EOF):
		return invalid("body", "file", "is missing")
	case err != nil:
		return broken(err)
	case part.FormName() != "file" || part.FileName() == "":
		return invalid("body", cutName(part.FormName()), "isn't the field file with a file")
	}
	client := &upstream{Reader: part}
	content := bufio.NewReader(client)
	if _, err := content.Peek(1); errors.Is(err, io.EOF) {
		return invalid("body", "file", "must not be empty")
	}
	file.Name = domain.CleanFileName(part.FileName())
	file.FileFacts, err = s.Blobs.Put(ctx, file.FileKey, content, domain.UploadLimit)
	switch {
	case client.failed != nil:
		return broken(client.failed)
	case err != nil:
		return err
	}
	if err := atEnd(form); err != nil {
		return errors.Join(err, s.Blobs.Delete(context.WithoutCancel(ctx), file.FileKey))
	}
	return nil
}

func atEnd(form *multipart.Reader) error {
	switch part, err := form.NextPart(); {
	case errors.Is(err, io.EOF):
		return nil
	case err != nil:
		return broken(err)
	default:
		return invalid("body", cutName(part.FormName()), "there is more than one file")
	}
}

func cutName(name string) string { return name[:min(len(name), maxFieldName)] }

// broken says of an upload that didn't come whole why it didn't.
func broken(err error) error {
	var tooLarge *http.MaxBytesError
	switch {
	case errors.As(err, &tooLarge):
		return domain.ErrFileTooLarge
	case errors.Is(err, os.ErrDeadlineExceeded):
		return problem(http.StatusRequestTimeout, codeOf(http.StatusRequestTimeout), "The file didn't come in time.")
	}
	return problem(http.StatusBadRequest, codeOf(http.StatusBadRequest), "The form ended before it was complete, or isn't one.")
}

// upstream tells what fails: the client, or who reads from it.
type upstream struct {
	io.Reader
	failed error
}

func (u *upstream) Read(p []byte) (int, error) {
	n, err := u.Reader.Read(p)
	if err != nil && !errors.Is(err, io.EOF) {
		u.failed = err
	}
	return n, err
}

type downloadInput struct {
	ID        domain.AttachmentID `path:"id" format:"uuid" doc:"The file"`
	Expires   string              `query:"expires" doc:"Of a signed address, as it was given"`
	Signature string              `query:"signature" doc:"Of a signed address, as it was given"`
}

func (s *server) download(ctx context.Context, in *downloadInput) (*huma.StreamResponse, error) {
	file, err := s.findFile(ctx, in)
	if err != nil {
		return nil, fmt.Errorf("download file %s: %w", in.ID, err)
	}
	content, err := s.Blobs.Open(ctx, file.FileKey)
	if err != nil {
		return nil, fmt.Errorf("download file %s: %w", in.ID, err)
	}
	return &huma.StreamResponse{Body: func(out huma.Context) {
		defer content.Close()
		r, w, _ := humahttprouter.Unwrap(out)
		describe(w.Header(), file)
		http.ServeContent(w, r, "", time.Time{}, content)
	}}, nil
}

// findFile is the file, if the request may have it: by its signed address, or as
// a user of its organization.
func (s *server) findFile(ctx context.Context, in *downloadInput) (domain.Attachment, error) {
	if caller := callerOf(ctx); !caller.ID.IsZero() {
		return s.Attachments.Get(ctx, caller.Organization, in.ID)
	}
	if err := s.Links.Check(in.ID, in.Expires, in.Signature); err != nil {
		return domain.Attachment{}, err
	}
	return s.Attachments.Linked(ctx, in.ID)
}

// describe says what a file is. Whatever it is, no browser runs it in our name:
// types aren't guessed, documents have no rights, and only what can't hold a
// script is shown in a page.
func describe(header http.Header, file domain.Attachment) {
	disposition := "attachment"
	if domain.ShownInline(file.MimeType) {
		disposition = "inline"
	}
	if file.Name != "" {
		disposition = mime.FormatMediaType(disposition, map[string]string{"filename": file.Name})
	}
	header.Set("Content-Type", file.MimeType)
	header.Set("Content-Disposition", disposition)
	header.Set("Content-Security-Policy", "sandbox; default-src 'none'")
	header.Set("X-Content-Type-Options", "nosniff")
	header.Set("ETag", strconv.Quote(hex.EncodeToString(file.SHA256)))
	header.Set("Cache-Control", fmt.Sprintf("private, max-age=%d", int(fileCached.Seconds())))
}
