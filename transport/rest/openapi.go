package rest

import (
	"context"
	"encoding/json"
	"fmt"
	"net/http"
	"reflect"
	"strconv"
	"strings"

	"github.com/danielgtaylor/huma/v2"

	"github.com/chatopshub/chatopshub/domain"
)

const bearerScheme = "bearer"

// apiConfig is what the typed layer works by: JSON only, nothing unknown
// accepted, problems for everything it refuses, and no routes of its own.
func apiConfig(version string) huma.Config {
	registry := huma.NewMapRegistry("#/components/schemas/", huma.DefaultSchemaNamer)
	registry.RegisterTypeAlias(reflect.TypeFor[domain.Timestamp](), reflect.TypeFor[timestampSchema]())
	return huma.Config{
		OpenAPI: &huma.OpenAPI{
			OpenAPI: "3.1.0",
			Info: &huma.Info{
				Title: "Chat OPS Hub", Version: version,
				Description: "The shared inbox of a contact centre. Times are RFC 3339 in UTC with milliseconds; " +
					"what is refused is answered with problem details (RFC 9457) and a stable code.",
			},
			Components: &huma.Components{
				Schemas: registry,
				SecuritySchemes: map[string]*huma.SecurityScheme{
					bearerScheme: {Type: "http", Scheme: "bearer", BearerFormat: "JWT", Description: "The accessToken of a login"},
				},
			},
		},
		// The second is found for application/problem+json.
		Formats:                      map[string]huma.Format{"application/json": huma.DefaultJSONFormat, "json": huma.DefaultJSONFormat},
		DefaultFormat:                "application/json",
		RejectUnknownQueryParameters: true,
		Transformers:                 []huma.Transformer{fromValidation},
	}
}

// timestampSchema describes domain.Timestamp.
type timestampSchema struct{}

// Schema is a time, or null where there is none.
func (timestampSchema) Schema(huma.Registry) *huma.Schema {
	return &huma.Schema{Type: huma.TypeString, Format: "date-time", Nullable: true}
}

// responses describes the answers of an operation: the example of what it
// gives, and a problem for each status it refuses with.
func responses(api *huma.OpenAPI, success int, example any, refuses []int) map[string]*huma.Response {
	out := make(map[string]*huma.Response, len(refuses)+1)
	if example != nil {
		out[strconv.Itoa(success)] = &huma.Response{Content: map[string]*huma.MediaType{"application/json": {Example: example}}}
	}
	schema := api.Components.Schemas.Schema(reflect.TypeFor[Problem](), true, "")
	for _, status := range refuses {
		out[strconv.Itoa(status)] = &huma.Response{
			Description: http.StatusText(status),
			Content: map[string]*huma.MediaType{
				(&Problem{}).ContentType(""): {Schema: schema, Example: exampleProblem(status)},
			},
		}
	}
	return out
}

// enums are the words that the domain's types take.
func enums() map[reflect.Type][]any {
	return map[reflect.Type][]any{
		reflect.TypeFor[domain.ConversationStatus](): {domain.Pending, domain.Assigned, domain.Completed},
		reflect.TypeFor[domain.Provider]():           {domain.WhatsApp, domain.Messenger},
		reflect.TypeFor[domain.Direction]():          {domain.Inbound, domain.Outbound},
		reflect.TypeFor[domain.MessageStatus](): {
			domain.StatusPending, domain.StatusSent, domain.StatusDelivered, domain.StatusRead, domain.StatusFailed,
		},
		reflect.TypeFor[domain.MessageType](): {
			domain.TypeText, domain.TypeImage, domain.TypeVideo, domain.TypeAudio, domain.TypeVoice, domain.TypeDocument,
			domain.TypeSticker, domain.TypeLocation, domain.TypeContacts, domain.TypeInteractive, domain.TypeButton,
			domain.TypeReaction, domain.TypeOrder, domain.TypeTemplate, domain.TypeSystem, domain.TypeUnsupported,
		},
		reflect.TypeFor[domain.SendState]():       {domain.SendQueued, domain.SendSending, domain.SendUncertain},
		reflect.TypeFor[domain.AttachmentState](): {domain.AttachmentPending, domain.AttachmentStored, domain.AttachmentFailed},
		reflect.TypeFor[domain.FileFailure](): {
			domain.FileTooLarge, domain.FileWrongType, domain.FileExpired, domain.FileForbidden, domain.FileDamaged, domain.FileUnavailable,
		},
		reflect.TypeFor[domain.AuditType](): {
			domain.AuditCreated, domain.AuditAccepted, domain.AuditReleased, domain.AuditReassigned, domain.AuditCompleted,
			domain.AuditReopened, domain.AuditAgentDisconnected, domain.AuditMessageReceived, domain.AuditMessageSent,
			domain.AuditMessageDelivered, domain.AuditMessageRead, domain.AuditMessageFailed,
		},
		reflect.TypeFor[domain.Presence]():         {domain.Online, domain.Away, domain.Offline},
		reflect.TypeFor[domain.Role]():             {domain.RoleAgent, domain.RoleAdmin},
		reflect.TypeFor[domain.UserStatus]():       {domain.UserActive, domain.UserInactive, domain.UserSuspended},
		reflect.TypeFor[domain.ChannelStatus]():    {domain.ChannelActive, domain.ChannelInactive, domain.ChannelError},
		reflect.TypeFor[domain.AssignmentPolicy](): {domain.AssignManually, domain.AssignAutomatically},
		reflect.TypeFor[domain.AliasKind]():        {domain.AliasUserID, domain.AliasNumber, domain.AliasPSID},
	}
}

// refine says in the schemas what Go's types say and the typed layer doesn't
// see: which strings are ids or one of a few words, what can be null. Lists
// never are.
func refine(registry huma.Registry) {
	words := enums()
	for name, schema := range registry.Map() {
		t := registry.TypeFromRef("#/components/schemas/" + name)
		for _, field := range reflect.VisibleFields(t) {
			tag, options, _ := strings.Cut(field.Tag.Get("json"), ",")
			property := schema.Properties[tag]
			if property == nil {
				continue
			}
			bare := field.Type
			if bare.Kind() == reflect.Pointer {
				bare = bare.Elem()
			}
			if bare.Kind() == reflect.Array { // domain.ID
				property.Format = "uuid"
			}
			if bare.Kind() == reflect.Slice {
				property.Nullable = false
			}
			if len(property.Enum) == 0 { // a field may take fewer than its type has
				for _, word := range words[bare] {
					property.Enum = append(property.Enum, fmt.Sprint(word))
				}
			}
			if field.Type.Kind() == reflect.Pointer && options == "" {
				schema.Properties[tag] = nullable(property)
			}
		}
		schema.PrecomputeMessages()
		for _, property := range schema.Properties {
			property.PatternDescription = "" // in the messages by now; no word of JSON Schema
		}
	}
}

// nullable is the schema, or null.
func nullable(s *huma.Schema) *huma.Schema {
	if s.Ref != "" {
		return &huma.Schema{AnyOf: []*huma.Schema{s, {Type: "null"}}}
	}
	s.Nullable = true
	if len(s.Enum) > 0 {
		s.Enum = append(s.Enum, nil)
	}
	return s
}

// document is the OpenAPI document, made once.
type document struct {
	json, yaml []byte
}

func (d *document) make(api *huma.OpenAPI) error {
	refine(api.Components.Schemas)
	var err error
	if d.json, err = json.Marshal(api); err != nil {
		return fmt.Errorf("write the OpenAPI document: %w", err)
	}
	if d.yaml, err = api.YAML(); err != nil {
		return fmt.Errorf("write the OpenAPI document: %w", err)
	}
	return nil
}

type documentOutput struct {
	ContentType string `header:"Content-Type" hidden:"true"`
	Body        []byte
}

func (s *server) openapiJSON(context.Context, *struct{}) (*documentOutput, error) {
	return &documentOutput{ContentType: "application/openapi+json", Body: s.document.json}, nil
}

func (s *server) openapiYAML(context.Context, *struct{}) (*documentOutput, error) {
	return &documentOutput{ContentType: "application/openapi+yaml", Body: s.document.yaml}, nil
}
