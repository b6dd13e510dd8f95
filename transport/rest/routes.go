package rest

import (
	"cmp"
	"context"
	"fmt"
	"net/http"
	"slices"
	"strconv"
	"strings"

	"github.com/danielgtaylor/huma/v2"

	"github.com/chatopshub/chatopshub/domain"
)

const (
	healthPath = "/healthz"
	readyPath  = "/readyz"
	apiPath    = "/api/"
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
	refuses []int  // statuses beyond those that every operation of its kind has
	takes   any    // example of the body; nil: takes none
	example any    // of the answer
	media   string // of the answer; empty: JSON
	maxBody int64  // bytes; 0: 1 MiB
	alike   []int  // statuses of a GET that come with the same body as 200
	status  int    // of success; 0: 200
	// transfer marks an operation that reads or writes a file itself.
	transfer bool
}

// addRoutes registers every operation.
func (s *server) addRoutes() {
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
	s.userRoutes()
	s.channelRoutes(agents)
	s.contactRoutes(agents)
	s.deadLetterRoutes()
	s.analyticsRoutes(agents)
	s.personRoutes()
	s.attachmentRoutes(agents)

	register(s, operation{
		access: anyone(), method: http.MethodGet, path: healthPath, id: "health", tag: "Operations",
		summary: "The process lives", example: healthBody{Status: "ok"},
	}, s.health)
	register(s, operation{
		access: anyone(), method: http.MethodGet, path: readyPath, id: "ready", tag: "Operations",
		summary: "The server can do its work", about: "503 names the part that fails.",
		example: exampleReady(), alike: []int{503},
	}, s.readyz)
	s.docsRoutes()
	s.describeWebhooks()
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
	reassign := s.commandOperation(who, "reassign", "Give the conversation to another agent", "For its holder and ADMIN.")
	reassign.takes = map[string]any{"agentId": exampleAgentRef().ID}
	register(s, reassign, s.reassign)
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
		OperationID: op.id, DefaultStatus: cmp.Or(op.status, http.StatusOK), Method: op.method, Path: op.path,
		Tags: []string{op.tag}, Summary: op.summary, Description: op.about,
		MaxBodyBytes: -1, BodyReadTimeout: -1, // readBody sees to both
	}
	refuses := append([]int{500}, op.refuses...)
	described.Middlewares = append(described.Middlewares, named(op.path))
	if strings.HasPrefix(op.path, apiPath) { // the probes are neither counted nor refused
		refuses = append(refuses, 400, 422, 429, 503)
		if op.access.public {
			described.Middlewares = append(described.Middlewares, s.limitStrangers)
		}
	}
	if !op.access.public {
		described.Security = []map[string][]string{{bearerScheme: {}}}
		described.Middlewares = append(described.Middlewares, s.guard(op.access))
		refuses = append(refuses, 401, 403)
	}
	switch {
	case op.transfer:
		described.Middlewares = append(described.Middlewares, s.transfers)
	case takesBody(op.method):
		described.Middlewares = append(described.Middlewares, s.deadline, readBody(cmp.Or(op.maxBody, maxBody)))
		refuses = append(refuses, 408, 413, 415)
	default:
		described.Middlewares = append(described.Middlewares, s.deadline)
	}
	slices.Sort(refuses)
	described.Responses = responses(s.api.OpenAPI(), described.DefaultStatus, op.example, slices.Compact(refuses))
	if op.media != "" {
		described.Responses["200"] = &huma.Response{Content: map[string]*huma.MediaType{op.media: {}}}
	}
	huma.Register(s.api, described, wrap(operate))
	s.routes = append(s.routes, op)
	registered := operationOf(s.api.OpenAPI().Paths[op.path], op.method)
	for _, status := range op.alike {
		described := *described.Responses["200"]
		described.Description = http.StatusText(status)
		registered.Responses[strconv.Itoa(status)] = &described
	}
	if op.takes != nil {
		registered.RequestBody.Content["application/json"].Example = op.takes
	}
}

func takesBody(method string) bool {
	return method == http.MethodPost || method == http.MethodPut || method == http.MethodPatch
}

// operationOf is the document's operation of a method.
func operationOf(item *huma.PathItem, method string) *huma.Operation {
	switch method {
	case http.MethodGet:
		return item.Get
	case http.MethodPatch:
		return item.Patch
	case http.MethodDelete:
		return item.Delete
	}
	return item.Post
}
