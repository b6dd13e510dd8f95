package rest

import (
	"archive/zip"
	"context"
	"encoding/json"
	"errors"
	"fmt"
	"io"
	"net/http"

	"github.com/danielgtaylor/huma/v2"
	"github.com/danielgtaylor/huma/v2/adapters/humahttprouter"

	"github.com/chatopshub/chatopshub/domain"
)

// personRoutes registers what a customer may demand: everything that is stored,
// and that it isn't any more.
func (s *server) personRoutes() {
	admins := only(domain.RoleAdmin)
	register(s, operation{
		access: admins, method: http.MethodDelete, path: "/api/contacts/{id}", id: "eraseContact", tag: "Contacts",
		summary: "Erase a contact", about: "Only for ADMIN. Everything of the person: merged contacts, conversations, messages, files, trails. " +
			"That it was done and by whom stays in the audit. After 504 it is finished in the background.",
		refuses: []int{404, 503, 504}, example: erasedBody{Success: true},
	}, s.eraseContact)
	const export = "/api/contacts/{id}/export"
	register(s, operation{
		access: admins, method: http.MethodGet, path: export, id: "exportContact", tag: "Contacts",
		summary: "Export a contact", about: "Only for ADMIN. A ZIP archive: every row that is stored of the person, table by table, as JSON, and the files.",
		refuses: []int{404, 503}, transfer: true,
	}, s.exportContact)
	if item := s.api.OpenAPI().Paths[export]; item != nil && item.Get != nil {
		item.Get.Responses["200"] = &huma.Response{Description: "The archive", Content: map[string]*huma.MediaType{
			"application/zip": {Schema: &huma.Schema{Type: huma.TypeString, Format: "binary"}},
		}}
	}
}

type eraseOutput struct{ Body erasedBody }

type erasedBody struct {
	Success bool `json:"success"`
}

func (s *server) eraseContact(ctx context.Context, in *ContactPath) (*eraseOutput, error) {
	caller := callerOf(ctx)
	err := s.Persons.Erase(ctx, caller.Organization, in.ID, caller.ID)
	switch {
	case errors.Is(err, domain.ErrNotFound):
		return nil, fmt.Errorf("erase contact %s: %w", in.ID, err)
	case err != nil: // it may have begun, and is finished then
		return nil, fmt.Errorf("erase contact %s: %w: %w", in.ID, domain.ErrOutcomeUnknown, err)
	}
	return &eraseOutput{erasedBody{Success: true}}, nil
}

func (s *server) exportContact(ctx context.Context, in *ContactPath) (*huma.StreamResponse, error) {
	org := callerOf(ctx).Organization
	// That there is such a contact is found out before anything is written.
	first := errors.New("there is a first row")
	err := s.Persons.Export(ctx, org, in.ID, func(string, json.RawMessage) error { return first }, nil)
	if !errors.Is(err, first) {
		return nil, fmt.Errorf("export contact %s: %w", in.ID, err)
	}
	return &huma.StreamResponse{Body: func(out huma.Context) {
		_, w, _ := humahttprouter.Unwrap(out)
		w.Header().Set("Content-Type", "application/zip")
		w.Header().Set("Content-Disposition", `attachment; filename="contact.zip"`)
		w.Header().Set("Cache-Control", "no-store")
		if err := s.writeArchive(ctx, w, org, in.ID); err != nil {
			// The client sees that the archive isn't whole: its end is missing.
			s.Log.ErrorContext(ctx, "an export broke off", "contact", in.ID, "error", err)
		}
	}}, nil
}

// archive is a ZIP with one JSON list for each table, and files.
type archive struct {
	zip   *zip.Writer
	table string
	entry io.Writer // of the table
}

func (s *server) writeArchive(ctx context.Context, w io.Writer, org domain.OrganizationID, contact domain.ContactID) error {
	a := &archive{zip: zip.NewWriter(w)}
	err := s.Persons.Export(ctx, org, contact, a.row, func(key domain.FileKey) error {
		return a.file(ctx, s.Blobs, key)
	})
	if err != nil {
		return err
	}
	return errors.Join(a.endTable(), a.zip.Close())
}

func (a *archive) row(table string, row json.RawMessage) error {
	separator := ",\n"
	if table != a.table {
		if err := a.endTable(); err != nil {
			return err
		}
		var err error
		if a.entry, err = a.zip.Create(table + ".json"); err != nil {
			return err
		}
		a.table, separator = table, "[\n"
	}
	_, err := io.WriteString(a.entry, separator+string(row))
	return err
}

func (a *archive) endTable() error {
	if a.table == "" {
		return nil
	}
	a.table = ""
	_, err := io.WriteString(a.entry, "\n]\n")
	return err
}

// file adds the content of a file; one that went meanwhile is left out.
func (a *archive) file(ctx context.Context, blobs Blobs, key domain.FileKey) error {
	if err := a.endTable(); err != nil {
		return err
	}
	content, err := blobs.Open(ctx, key)
	if errors.Is(err, domain.ErrNotFound) {
		return nil
	}
	if err != nil {
		return err
	}
	defer content.Close()
	// Pictures and films are compressed already.
	entry, err := a.zip.CreateHeader(&zip.FileHeader{Name: "files/" + key.Attachment.String(), Method: zip.Store})
	if err != nil {
		return err
	}
	_, err = io.Copy(entry, content)
	return err
}
