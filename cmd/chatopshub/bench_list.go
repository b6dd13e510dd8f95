package main

import (
	"context"
	"net/http"
	"slices"
	"time"
)

// inboxPage is what an agent's list asks for.
const inboxPage = "/api/conversations?status=PENDING&limit=20"

// list measures the first page of the inbox, with as many conversations waiting
// as were asked for. The floor is an endpoint that checks the token and answers as
// much.
func list(ctx context.Context, s *stage) error {
	if err := s.target.staff(ctx, s.agents); err != nil {
		return err
	}
	clients, bare := s.clientsOf(s.clients), s.floors.clientsOf(s.clients)
	defer clients.close()
	defer bare.close()
	if _, err := s.begin(ctx, clients, s.conversations); err != nil {
		return err
	}
	page := func(i int) []byte {
		return rawCall(http.MethodGet, inboxPage, nil, bearer(s.target.agents[i%s.agents].token))
	}
	if err := clients[:1].each(ctx, http.StatusOK, 1, page); err != nil {
		return err
	}
	if err := s.floors.setAnswer(ctx, http.StatusOK, slices.Clone(clients[0].body)); err != nil {
		return err
	}
	for range s.rounds(ctx) {
		answers, err := s.floorOf(ctx, bare, func(_, i int) []byte { return s.floorCommand(i) })
		if err != nil {
			return err
		}
		f, err := s.press(ctx, "pages", "pages/s", "list", s.clients, func(w, i int, _ time.Time) error {
			status, err := clients[w].do(ctx, page(i))
			return want(http.StatusOK, status, err)
		})
		if err != nil {
			return err
		}
		f.beside("bare command", answers)
	}
	return nil
}
