package graph

import (
	"bytes"
	"context"
	"encoding/json"
	"errors"
	"fmt"
	"io"
	"mime/multipart"
	"net/http"
	"net/textproto"
	"net/url"

	"github.com/chatopshub/chatopshub/domain"
)

// Upload is a file to be kept by the platform, for sending by its id.
type Upload struct {
	Type     domain.MessageType
	Name     string
	MimeType string
	Size     int64     // exactly what Data holds
	Data     io.Reader // read once; not closed
}

// Upload hands a file to the account's platform and returns its id there:
// WhatsApp keeps it 30 days, Messenger 90.
func (c *Client) Upload(ctx context.Context, a Account, u Upload) (string, error) {
	file := domain.Content{Type: u.Type, File: &domain.File{ID: "upload", Name: u.Name, MimeType: u.MimeType, Size: u.Size}}
	if err := file.Check(a.Provider); err != nil {
		return "", unsendable(err)
	}
	if u.Size <= 0 {
		return "", unsendable(errors.New("file: must not be empty"))
	}
	r, err := uploadCall(a, u)
	if err != nil {
		return "", fmt.Errorf("graph: make upload: %w", err)
	}
	r.within = c.transferTimeout
	var answer struct {
		ID           string `json:"id"`
		AttachmentID string `json:"attachment_id"`
	}
	if err := c.do(ctx, a, r, &answer); err != nil {
		return "", err
	}
	if id := answer.ID + answer.AttachmentID; id != "" { // each platform has one of them
		return id, nil
	}
	return "", &domain.CallError{
		Class: domain.FailureTransient, Code: domain.CallBadAnswer, Text: "the platform answered an upload without an id",
	}
}

// uploadCall frames the file as a multipart form, without copying it.
func uploadCall(a Account, u Upload) (call, error) {
	path, part := "/media", "file"
	fields := [][2]string{{"messaging_product", product}, {"type", u.MimeType}}
	if a.Provider == domain.Messenger {
		path, part = "/message_attachments", "filedata"
		message, err := json.Marshal(struct {
			Attachment messengerAttachment `json:"attachment"`
		}{messengerAttachment{Type: attachmentType(u.Type), Payload: messengerPayload{Reusable: new(true)}}})
		if err != nil {
			return call{}, err
		}
		fields = [][2]string{{"message", string(message)}}
	}
	var frame bytes.Buffer
	form := multipart.NewWriter(&frame)
	for _, f := range fields {
		if err := form.WriteField(f[0], f[1]); err != nil {
			return call{}, err
		}
	}
	header := textproto.MIMEHeader{}
	header.Set("Content-Disposition", multipart.FileContentDisposition(part, u.Name))
	header.Set("Content-Type", u.MimeType)
	if _, err := form.CreatePart(header); err != nil {
		return call{}, err
	}
	head := bytes.Clone(frame.Bytes())
	frame.Reset()
	if err := form.Close(); err != nil {
		return call{}, err
	}
	return call{
		method: http.MethodPost, path: url.PathEscape(a.ID) + path, mime: form.FormDataContentType(),
		body:   io.MultiReader(bytes.NewReader(head), u.Data, bytes.NewReader(frame.Bytes())),
		length: int64(len(head)) + u.Size + int64(frame.Len()),
	}, nil
}

// Media is what the platform tells of a file that a customer sent.
type Media struct {
	ID       string
	URL      string // valid for five minutes
	MimeType string
	SHA256   []byte // nil: not told
	Size     int64  // 0: not told
}

// LookUpMedia finds where a WhatsApp file can be downloaded.
func (c *Client) LookUpMedia(ctx context.Context, a Account, mediaID string) (Media, error) {
	var answer struct {
		ID       string `json:"id"`
		URL      string `json:"url"`
		MimeType string `json:"mime_type"`
		SHA256   string `json:"sha256"`
		Size     number `json:"file_size"`
	}
	r := call{method: http.MethodGet, path: url.PathEscape(mediaID), query: url.Values{"phone_number_id": {a.ID}}}
	if err := c.do(ctx, a, r, &answer); err != nil {
		return Media{}, err
	}
	return Media{
		ID: answer.ID, URL: answer.URL, MimeType: answer.MimeType,
		SHA256: domain.Digest(answer.SHA256), Size: int64(answer.Size.value),
	}, nil
}

// Download is a file on its way. Body must be closed; it fails with domain.ErrFileTooLarge
// when more than the limit comes, whatever was announced.
type Download struct {
	MimeType string // as announced, not to be trusted
	Size     int64  // as announced; -1: not told
	Body     io.ReadCloser
}

// Download fetches a file that a customer sent, at most limit bytes. Only the
// platforms' media hosts are asked, redirects included, and only their public
// addresses; the token goes to those that want it, and no further. Its errors are
// *domain.CallError, or domain.ErrFileForbidden, ErrFileTooLarge or ErrFileGone:
// an address that has expired, so look the media up again.
func (c *Client) Download(ctx context.Context, a Account, address string, limit int64) (*Download, error) {
	u, err := url.Parse(address)
	if err != nil {
		return nil, fmt.Errorf("graph: download: %w", domain.ErrFileForbidden) // the address may hold a signature: not quoted
	}
	if err := c.mayFetch(u); err != nil {
		return nil, fmt.Errorf("graph: download: %w", err)
	}
	ctx, cancel := context.WithTimeout(ctx, c.transferTimeout)
	download, err := c.fetch(context.WithValue(ctx, bearerKey{}, c.bearer(a)), u, limit)
	if err != nil {
		cancel()
		return nil, err
	}
	download.Body = &bounded{body: download.Body, left: limit, cancel: cancel}
	return download, nil
}

func (c *Client) fetch(ctx context.Context, u *url.URL, limit int64) (*Download, error) {
	req, err := http.NewRequestWithContext(ctx, http.MethodGet, u.String(), nil)
	if err != nil {
		return nil, fmt.Errorf("graph: download: %w", domain.ErrFileForbidden)
	}
	authorize(req)
	resp, err := c.media.Do(req)
	if err != nil {
		cause := withoutAddress(err)
		if errors.Is(cause, domain.ErrFileForbidden) {
			return nil, fmt.Errorf("graph: download: %w", cause)
		}
		return nil, unanswered(err, call{}, false)
	}
	if failed := refusedFile(resp, limit); failed != nil {
		resp.Body.Close()
		return nil, failed
	}
	return &Download{MimeType: resp.Header.Get("Content-Type"), Size: resp.ContentLength, Body: resp.Body}, nil
}

// refusedFile is why an answer isn't the file; nil: it is.
func refusedFile(resp *http.Response, limit int64) error {
	switch status := resp.StatusCode; {
	case status == http.StatusNotFound, status == http.StatusGone:
		return fmt.Errorf("graph: download: %w", domain.ErrFileGone)
	case status == http.StatusUnauthorized:
		return &domain.CallError{Class: domain.FailureChannel, Code: domain.CallBadAnswer, Text: "the access token may not read this file"}
	case status != http.StatusOK:
		return badAnswer(call{}, resp)
	case resp.ContentLength > limit:
		return fmt.Errorf("graph: download of %d bytes, at most %d: %w", resp.ContentLength, limit, domain.ErrFileTooLarge)
	}
	return nil
}

// bounded is a body that ends with an error after its limit.
type bounded struct {
	body   io.ReadCloser
	left   int64
	cancel context.CancelFunc
}

func (b *bounded) Read(p []byte) (int, error) {
	// One byte beyond the limit is asked for: it tells a file that ends there
	// from one that goes on.
	if int64(len(p)) > b.left+1 {
		p = p[:b.left+1]
	}
	n, err := b.body.Read(p)
	if int64(n) > b.left {
		n, err = int(b.left), fmt.Errorf("graph: download: %w", domain.ErrFileTooLarge)
	}
	b.left -= int64(n)
	if err != nil && !errors.Is(err, io.EOF) && !errors.Is(err, domain.ErrFileTooLarge) {
		err = unanswered(err, call{}, true)
	}
	return n, err
}

// Close ends the download, whether or not all of it was read.
func (b *bounded) Close() error {
	b.cancel()
	return b.body.Close()
}
