package rest

import (
	"context"
	"fmt"
	"net/http"

	"github.com/chatopshub/chatopshub/domain"
)

// deadLetterRoutes registers what administrators do with what webhooks brought
// and nothing could take.
func (s *server) deadLetterRoutes() {
	admins := only(domain.RoleAdmin)
	register(s, operation{
		access: admins, method: http.MethodGet, path: "/api/webhooks/dead-letters", id: "listDeadLetters", tag: "Dead letters",
		summary: "List dead letters", about: "Newest first: what webhooks brought for the organization's channels and nothing could take. " +
			"payload is the beginning, up to 4,096 bytes.",
		refuses: []int{503}, example: exampleList(exampleDeadLetter()),
	}, s.listDeadLetters)
	register(s, operation{
		access: admins, method: http.MethodPost, path: "/api/webhooks/dead-letters/{id}/replay", id: "replayDeadLetter", tag: "Dead letters",
		summary: "Replay a dead letter", about: "Takes it as if it had just come. One that was taken stays so.",
		refuses: []int{404, 409, 503, 504}, example: exampleDeadLetter(),
	}, s.replayDeadLetter)
}

type listDeadLettersInput struct{ PageQuery }

func (s *server) listDeadLetters(ctx context.Context, in *listDeadLettersInput) (*listOutput[domain.DeadLetterView], error) {
	page, err := in.page()
	if err != nil {
		return nil, err
	}
	rows, meta, err := s.DeadLetters.List(ctx, callerOf(ctx).Organization, page)
	if err != nil {
		return nil, fmt.Errorf("list dead letters: %w", err)
	}
	return newList(rows, meta), nil
}

type replayInput struct {
	ID domain.DeadLetterID `path:"id" format:"uuid" doc:"The dead letter"`
}

type replayOutput struct{ Body domain.DeadLetterView }

func (s *server) replayDeadLetter(ctx context.Context, in *replayInput) (*replayOutput, error) {
	org := callerOf(ctx).Organization
	if err := s.DeadLetters.Replay(ctx, org, in.ID); err != nil {
		return nil, fmt.Errorf("replay dead letter %s: %w", in.ID, uncertain(err))
	}
	view, err := readBack(ctx, func() (domain.DeadLetterView, error) { return s.DeadLetters.Get(ctx, org, in.ID) })
	if err != nil {
		return nil, fmt.Errorf("get dead letter %s after its replay: %w: %w", in.ID, domain.ErrOutcomeUnknown, err)
	}
	return &replayOutput{Body: view}, nil
}
