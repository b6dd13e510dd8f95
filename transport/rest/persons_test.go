package rest

import (
	"archive/zip"
	"bytes"
	"context"
	"encoding/json"
	"io"
	"testing"

	"github.com/stretchr/testify/require"

	"github.com/chatopshub/chatopshub/domain"
)

// fakePersons has one person in its organization.
type fakePersons struct {
	org    domain.OrganizationID
	rows   [][2]string // table and row
	files  []domain.FileKey
	err    error
	erased []domain.ContactID
	by     domain.UserID
}

func (p *fakePersons) Erase(_ context.Context, org domain.OrganizationID, contact domain.ContactID, by domain.UserID) error {
	if org != p.org {
		return domain.ErrNotFound
	}
	p.erased, p.by = append(p.erased, contact), by
	return p.err
}

func (p *fakePersons) Export(_ context.Context, org domain.OrganizationID, _ domain.ContactID,
	row func(string, json.RawMessage) error, file func(domain.FileKey) error,
) error {
	if org != p.org {
		return domain.ErrNotFound
	}
	for _, r := range append([][2]string{{"contacts", `{"id":1}`}}, p.rows...) {
		if err := row(r[0], json.RawMessage(r[1])); err != nil {
			return err
		}
	}
	for _, key := range p.files {
		if err := file(key); err != nil {
			return err
		}
	}
	return p.err
}

func TestEraseAContact(t *testing.T) {
	t.Parallel()
	f := newFixture(t)
	contact := newID(domain.ContactID{})
	path := "/api/contacts/" + contact.String()
	require.Equal(t, 200, f.as(f.admin, "DELETE", path, "").status)
	require.Equal(t, []domain.ContactID{contact}, f.persons.erased)
	require.Equal(t, f.admin.ID, f.persons.by)
	f.problem(f.as(f.agent, "DELETE", path, ""), 403, "forbidden")
	f.problem(f.as(f.foreigner, "DELETE", path, ""), 404, "not_found")
	f.problem(f.as(f.admin, "DELETE", "/api/contacts/1", ""), 422, "validation_failed")
	f.persons.err = domain.ErrUnavailable
	f.problem(f.as(f.admin, "DELETE", path, ""), 504, "outcome_unknown")
}

func TestExportAContact(t *testing.T) {
	t.Parallel()
	f := newFixture(t)
	path := "/api/contacts/" + newID(domain.ContactID{}).String() + "/export"
	key := domain.FileKey{Organization: f.org, Attachment: newID(domain.AttachmentID{})}
	_, err := f.config.Blobs.Put(t.Context(), key, bytes.NewReader([]byte("\x89PNG\r\n\x1a\n")), func(string) int64 { return 100 })
	require.NoError(t, err)
	gone := domain.FileKey{Organization: f.org, Attachment: newID(domain.AttachmentID{})}
	f.persons.rows, f.persons.files = [][2]string{{"messages", `{"id":2}`}, {"messages", `{"id":3}`}}, []domain.FileKey{key, gone}

	a := f.as(f.admin, "GET", path, "")
	require.Equal(t, 200, a.status)
	require.Equal(t, "application/zip", a.header.Get("Content-Type"))
	archive, err := zip.NewReader(bytes.NewReader(a.raw), int64(len(a.raw)))
	require.NoError(t, err)
	contents := map[string]string{}
	for _, entry := range archive.File {
		r, err := entry.Open()
		require.NoError(t, err)
		data, err := io.ReadAll(r)
		require.NoError(t, err)
		contents[entry.Name] = string(data)
	}
	require.Equal(t, map[string]string{
		"contacts.json": "[\n{\"id\":1}\n]\n", "messages.json": "[\n{\"id\":2},\n{\"id\":3}\n]\n",
		"files/" + key.Attachment.String(): "\x89PNG\r\n\x1a\n",
	}, contents)

	f.problem(f.as(f.agent, "GET", path, ""), 403, "forbidden")
	f.problem(f.as(f.foreigner, "GET", path, ""), 404, "not_found")
	f.persons.err = domain.ErrUnavailable // in the middle of it
	a = f.as(f.admin, "GET", path, "")
	_, err = zip.NewReader(bytes.NewReader(a.raw), int64(len(a.raw)))
	require.Error(t, err, "it is seen that the archive isn't whole")
}
