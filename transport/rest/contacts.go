package rest

import (
	"context"
	"fmt"
	"net/http"

	"github.com/chatopshub/chatopshub/domain"
)

// contactRoutes registers what agents see of customers.
func (s *server) contactRoutes(agents access) {
	register(s, operation{
		access: agents, method: http.MethodGet, path: "/api/contacts", id: "listContacts", tag: "Contacts",
		summary: "List contacts", about: "By name, without those that turned out to be others.",
		refuses: []int{503}, example: exampleList(exampleContact()),
	}, s.listContacts)
	register(s, operation{
		access: agents, method: http.MethodGet, path: "/api/contacts/{id}", id: "getContact", tag: "Contacts",
		summary: "Get a contact", refuses: []int{404, 503}, example: exampleContact(),
	}, s.getContact)
}

type listContactsInput struct {
	Search string `query:"search" maxLength:"200" doc:"Words and their beginnings in names, numbers and other ids"`
	PageQuery
}

func (s *server) listContacts(ctx context.Context, in *listContactsInput) (*listOutput[domain.ContactView], error) {
	page, err := in.page()
	if err != nil {
		return nil, err
	}
	search, err := searched(in.Search)
	if err != nil {
		return nil, err
	}
	rows, meta, err := s.Contacts.List(ctx, callerOf(ctx).Organization, domain.ContactFilter{Search: search, Page: page})
	if err != nil {
		return nil, fmt.Errorf("list contacts: %w", err)
	}
	return newList(rows, meta), nil
}

// ContactPath names a contact; exported as PageQuery is.
type ContactPath struct {
	ID domain.ContactID `path:"id" format:"uuid" doc:"The contact"`
}

type contactInput struct{ ContactPath }

type contactOutput struct{ Body domain.ContactView }

func (s *server) getContact(ctx context.Context, in *contactInput) (*contactOutput, error) {
	view, err := s.Contacts.Get(ctx, callerOf(ctx).Organization, in.ID)
	if err != nil {
		return nil, fmt.Errorf("get contact %s: %w", in.ID, err)
	}
	return &contactOutput{Body: view}, nil
}
