package rest

import (
	"cmp"
	"context"
	"fmt"
	"net/http"
	"slices"

	"github.com/danielgtaylor/huma/v2"

	"github.com/chatopshub/chatopshub/domain"
)

const (
	healthPath = "/healthz"
	readyPath  = "/readyz"
	// webhooksPath is what the platforms' callback URLs begin with; they are
	// served beside the API.
	webhooksPath = "/api/webhooks/"
)

// operation is what register needs to know of one.
type operation struct {
	access  access
	method  string
	path    string
	id      string
	tag     string
	summary string
	about   string
	refuses []int // statuses beyond those that every operation of its kind has
	example any   // of the answer
	status  int   // of the answer; 0: 200
	// transfer marks an operation that reads or writes a file itself.
	transfer bool
}

// routes registers every operation.
func (s *server) routes() {
	agents := only(domain.RoleAgent, domain.RoleAdmin)

	s.sessionRoutes(agents)

	register(s, operation{
		access: agents, method: http.MethodGet, path: "/api/conversations", id: "listConversations", tag: "Conversations",
		summary: "List conversations", about: "Newest activity first. Filters are combined; status can be repeated.",
		refuses: []int{503}, example: exampleList(exampleConversation()),
	}, s.listConversations)
	register(s, operation{
		access: agents, method: http.MethodGet, path: "/api/conversations/{id}", id: "getConversation", tag: "Conversations",
		summary: "Get a conversation", about: "With its latest 50 messages, oldest first.",
		refuses: []int{404, 503}, example: exampleDetail(),
	}, s.getConversation)
	register(s, operation{
		access: agents, method: http.MethodGet, path: "/api/conversations/{id}/messages", id: "listMessages", tag: "Messages",
		summary: "List messages", about: "Newest first. nextCursor leads to older ones and is null at the end.",
		refuses: []int{404, 503}, example: messagesPage{Data: []domain.MessageView{exampleMessage()}},
	}, s.listMessages)
	s.sendRoutes(agents)
	register(s, operation{
		access: agents, method: http.MethodGet, path: "/api/conversations/{id}/events", id: "listEvents", tag: "Conversations",
		summary: "List the audit trail", about: "Newest first: every change of state, who made it and when.",
		refuses: []int{404, 503}, example: exampleList(exampleEvent()),
	}, s.listEvents)
	register(s, operation{
		access: agents, method: http.MethodGet, path: "/api/agents", id: "listAgents", tag: "Agents",
		summary: "List agents", about: "The active users with presence and load: whom a conversation can be given to.",
		refuses: []int{503}, example: agentsBody{Data: []domain.AgentView{exampleAgent()}},
	}, s.listAgents)

	s.commands(agents)
	s.attachmentRoutes(agents)

	register(s, operation{
		access: anyone(), method: http.MethodGet, path: healthPath, id: "health", tag: "Operations",
		summary: "The process lives", example: healthBody{Status: "ok"},
	}, s.health)
	register(s, operation{
		access: anyone(), method: http.MethodGet, path: readyPath, id: "ready", tag: "Operations",
		summary: "The server can do its work", about: "503 names the part that fails.", example: exampleReady(),
	}, s.readyz)
	register(s, operation{
		access: anyone(), method: http.MethodGet, path: "/api/docs/openapi.json", id: "openapiJSON", tag: "Operations",
		summary: "This document as JSON",
	}, s.openapiJSON)
	register(s, operation{
		access: anyone(), method: http.MethodGet, path: "/api/docs/openapi.yaml", id: "openapiYAML", tag: "Operations",
		summary: "This document as YAML",
	}, s.openapiYAML)
}

// commands registers what agents ask of a conversation: each answers the row
// as it is once the command is durable.
func (s *server) commands(who access) {
	add := func(name, summary, about string, command func(domain.Caller) domain.Command) {
		register(s, s.commandOperation(who, name, summary, about), func(ctx context.Context, in *commandInput) (*conversationOutput, error) {
			return s.command(ctx, in.ID, command(asCaller(callerOf(ctx))))
		})
	}
	add("accept", "Take a PENDING conversation", "409 names the holder.",
		func(by domain.Caller) domain.Command { return domain.Accept{By: by} })
	add("release", "Put an ASSIGNED conversation back to PENDING", "For its holder and ADMIN.",
		func(by domain.Caller) domain.Command { return domain.Release{By: by} })
	add("complete", "End an ASSIGNED conversation", "For its holder and ADMIN.",
		func(by domain.Caller) domain.Command { return domain.Complete{By: by} })
	add("reopen", "Put a COMPLETED conversation back to PENDING", "",
		func(by domain.Caller) domain.Command { return domain.Reopen{By: by} })
	add("read", "Mark everything as read", "For the holder; for ADMIN where nobody holds it.",
		func(by domain.Caller) domain.Command { return domain.Read{By: by} })
	register(s, s.commandOperation(who, "reassign", "Give the conversation to another agent", "For its holder and ADMIN."), s.reassign)
}

func (s *server) commandOperation(who access, name, summary, about string) operation {
	return operation{
		access: who, method: http.MethodPost, path: "/api/conversations/{id}/" + name, id: name + "Conversation",
		tag: "Conversations", summary: summary, about: about,
		refuses: []int{404, 409, 503, 504}, example: exampleConversation(),
	}
}

// register adds an operation to the router and to the OpenAPI document. An
// operation that doesn't declare who may call it becomes an error of New.
func register[I, O any](s *server, op operation, operate func(context.Context, *I) (*O, error)) {
	if !op.access.declared() {
		s.errs = append(s.errs, fmt.Errorf("%s %s doesn't declare who may call it", op.method, op.path))
		return
	}
	described := huma.Operation{
		OperationID: op.id, DefaultStatus: cmp.Or(op.status, http.StatusOK), Method: op.method, Path: op.path, Tags: []string{op.tag}, Summary: op.summary, Description: op.about,
		MaxBodyBytes: -1, BodyReadTimeout: -1, // readBody sees to both
	}
	refuses := append([]int{500}, op.refuses...)
	if !op.access.public {
		described.Security = []map[string][]string{{bearerScheme: {}}}
		described.Middlewares = append(described.Middlewares, s.guard(op.access))
		refuses = append(refuses, 401, 403, 422)
	}
	switch {
	case op.transfer:
		described.Middlewares = append(described.Middlewares, s.transfers)
	case op.method == http.MethodPost:
		described.Middlewares = append(described.Middlewares, s.deadline, readBody)
		refuses = append(refuses, 400, 408, 413, 415, 422)
	default:
		described.Middlewares = append(described.Middlewares, s.deadline)
	}
	slices.Sort(refuses)
	described.Responses = responses(s.api.OpenAPI(), described.DefaultStatus, op.example, slices.Compact(refuses))
	huma.Register(s.api, described, wrap(operate))
}
