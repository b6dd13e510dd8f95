package rest

import (
	"encoding/json"
	"net/http"
	"reflect"
	"slices"
	"strconv"
	"strings"
	"testing"

	"github.com/danielgtaylor/huma/v2"
	"github.com/julienschmidt/httprouter"
	"github.com/stretchr/testify/require"
)

// routesOf are the routes that the router really has. It doesn't list them, so
// this reads its trees.
func routesOf(router *httprouter.Router) []string {
	var out []string
	var walk func(method, prefix string, node reflect.Value)
	walk = func(method, prefix string, node reflect.Value) {
		node = node.Elem()
		path := prefix + node.FieldByName("path").String()
		if !node.FieldByName("handle").IsNil() {
			out = append(out, method+" "+path)
		}
		children := node.FieldByName("children")
		for i := range children.Len() {
			walk(method, path, children.Index(i))
		}
	}
	trees := reflect.ValueOf(router).Elem().FieldByName("trees")
	for _, method := range trees.MapKeys() {
		walk(method.String(), "", trees.MapIndex(method))
	}
	slices.Sort(out)
	return out
}

// described are the operations of the document.
func described(t testing.TB, s *server) map[string]*huma.Operation {
	out := map[string]*huma.Operation{}
	for path, item := range s.api.OpenAPI().Paths {
		for method, op := range map[string]*huma.Operation{"GET": item.Get, "POST": item.Post, "PATCH": item.Patch, "DELETE": item.Delete} {
			if op != nil {
				out[method+" "+path] = op
			}
		}
	}
	require.NotEmpty(t, out)
	return out
}

func testServer(t testing.TB) *server {
	f := newFixture(t)
	s, err := newServer(f.config)
	require.NoError(t, err)
	return s
}

func TestDocumentAndRouterHaveTheSameOperations(t *testing.T) {
	t.Parallel()
	s := testServer(t)
	var documented []string
	for key, op := range described(t, s) {
		documented = append(documented, strings.NewReplacer("{", ":", "}", "").Replace(key))
		require.NotEmpty(t, op.OperationID, key)
		require.NotEmpty(t, op.Summary, key)
		require.Contains(t, op.Responses, strconv.Itoa(op.DefaultStatus), key)
		require.Contains(t, op.Responses, "500", key)
	}
	slices.Sort(documented)
	require.Equal(t, routesOf(s.router), documented)
	require.Greater(t, len(documented), 30)
}

func TestDocumentSaysWhoMayCall(t *testing.T) {
	t.Parallel()
	public := []string{"POST /api/auth/login", "POST /api/auth/refresh", "GET /healthz", "GET /readyz", "GET /api/docs", "GET /api/docs/assets/swagger-ui-bundle.js", "GET /api/docs/assets/swagger-ui.css",
		"GET /api/docs/assets/favicon-32x32.png", "GET /api/docs/assets/start.js",
		"GET /api/docs/openapi.json", "GET /api/docs/openapi.yaml"}
	for key, op := range described(t, testServer(t)) {
		if slices.Contains(public, key) {
			require.Empty(t, op.Security, key)
			continue
		}
		require.Equal(t, []map[string][]string{{"bearer": {}}}, op.Security, key)
		require.Contains(t, op.Responses, "401", key)
		require.Contains(t, op.Responses, "403", key)
	}
}

// TestExamplesFitTheirSchemas keeps both true: the examples are made of what
// the operations answer, so a schema that they don't fit is wrong.
func TestExamplesFitTheirSchemas(t *testing.T) {
	t.Parallel()
	s := testServer(t)
	checked := 0
	for key, op := range described(t, s) {
		for status, response := range op.Responses {
			for _, media := range response.Content {
				if media.Example == nil {
					continue
				}
				var value any
				data, err := json.Marshal(media.Example)
				require.NoError(t, err)
				require.NoError(t, json.Unmarshal(data, &value))
				var result huma.ValidateResult
				huma.Validate(s.api.OpenAPI().Components.Schemas, media.Schema, huma.NewPathBuffer(nil, 0), huma.ModeReadFromServer, value, &result)
				require.Empty(t, result.Errors, "%s %s", key, status)
				checked++
			}
		}
	}
	require.Greater(t, checked, 100)
}

func TestDocumentIsServed(t *testing.T) {
	t.Parallel()
	f := newFixture(t)

	asJSON := f.send(f.request(http.MethodGet, "/api/docs/openapi.json", nil))
	require.Equal(t, http.StatusOK, asJSON.status)
	require.Equal(t, "application/openapi+json", asJSON.header.Get("Content-Type"))
	require.Equal(t, "3.1.0", asJSON.body["openapi"])

	asYAML := f.send(f.request(http.MethodGet, "/api/docs/openapi.yaml", nil))
	require.Equal(t, http.StatusOK, asYAML.status)
	for path := range asJSON.body["paths"].(map[string]any) {
		require.Contains(t, string(asYAML.raw), path+":\n")
	}
}

func TestSchemasSayWhatClientsGet(t *testing.T) {
	t.Parallel()
	schemas := testServer(t).api.OpenAPI().Components.Schemas.Map()
	conversation := schemas["ConversationView"].Properties
	require.Equal(t, "uuid", conversation["id"].Format)
	require.False(t, conversation["id"].Nullable)
	require.True(t, conversation["assignedAgentId"].Nullable)
	require.Equal(t, "uuid", conversation["assignedAgentId"].Format)
	require.Equal(t, "date-time", conversation["assignedAt"].Format)
	require.Len(t, conversation["status"].Enum, 3)
	require.Len(t, conversation["assignedAgent"].AnyOf, 2)
	message := schemas["MessageView"].Properties
	require.False(t, message["attachments"].Nullable)
	require.Contains(t, message["sendState"].Enum, nil)
	require.Equal(t, "uuid", schemas["ReassignBody"].Properties["agentId"].Format)
}

func TestAnOperationMustDeclareWhoMayCallIt(t *testing.T) {
	t.Parallel()
	s := testServer(t)
	register(s, operation{method: http.MethodGet, path: "/api/open", id: "open"}, s.health)
	require.Len(t, s.errs, 1)
	require.EqualError(t, s.errs[0], "GET /api/open doesn't declare who may call it")
	handle, _, _ := s.router.Lookup(http.MethodGet, "/api/open")
	require.Nil(t, handle)
}

func TestNewNamesWhatIsMissing(t *testing.T) {
	t.Parallel()
	_, err := New(Config{MaxInFlight: -1})
	for _, name := range []string{
		"Inbox", "Conversations", "Users", "Directory", "Presences", "Sessions", "Tokens", "Passwords",
		"Throttle", "Attachments", "Blobs", "Links", "Chain", "AccessTTL", "Log", "Now", "MaxInFlight",
	} {
		require.ErrorContains(t, err, name)
	}
}
