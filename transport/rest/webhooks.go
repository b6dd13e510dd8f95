package rest

import (
	"net/http"

	"github.com/danielgtaylor/huma/v2"
)

// signatureScheme is what the platforms prove themselves by.
const signatureScheme = "hubSignature"

// describeWebhooks tells in the document of the webhooks that are mounted
// beside the API: they need the raw body, so the typed layer doesn't serve them.
func (s *server) describeWebhooks() {
	for path, platform := range map[string]string{webhooksPath + "whatsapp": "WhatsApp", webhooksPath + "messenger": "Messenger"} {
		if s.Beside[path] == nil {
			continue
		}
		api := s.api.OpenAPI()
		api.Components.SecuritySchemes[signatureScheme] = &huma.SecurityScheme{
			Type: "apiKey", In: "header", Name: "X-Hub-Signature-256",
			Description: "sha256= and the HMAC of the raw body in hex, by the app's secret or the channel's own. Messenger may " +
				"send X-Hub-Signature (sha1) alone.",
		}
		text := func(name, about string) *huma.Param {
			return &huma.Param{Name: name, In: "query", Required: true, Description: about, Schema: &huma.Schema{Type: huma.TypeString}}
		}
		api.AddOperation(&huma.Operation{
			OperationID: "verify" + platform, Method: http.MethodGet, Path: path, Tags: []string{"Webhooks"},
			Summary: "Prove to " + platform + " that the callback URL is ours",
			Parameters: []*huma.Param{
				text("hub.mode", "subscribe"), text("hub.verify_token", "As configured"), text("hub.challenge", "Comes back as it is"),
			},
			Responses: verified(responses(api, http.StatusOK, nil, []int{403, 500})),
		})
		api.AddOperation(&huma.Operation{
			OperationID: "receive" + platform, Method: http.MethodPost, Path: path, Tags: []string{"Webhooks"},
			Summary:     "Take what " + platform + " delivers",
			Description: "200 when every element is durable. 503: nothing is lost, the platform delivers again.",
			Security:    []map[string][]string{{signatureScheme: {}}},
			RequestBody: &huma.RequestBody{Required: true, Content: map[string]*huma.MediaType{
				"application/json": {Schema: &huma.Schema{Type: huma.TypeObject}},
			}},
			Responses: taken(responses(api, http.StatusOK, nil, []int{400, 401, 413, 500, 503})),
		})
	}
}

func verified(responses map[string]*huma.Response) map[string]*huma.Response {
	responses["200"] = &huma.Response{Description: "The challenge", Content: map[string]*huma.MediaType{"text/plain": {}}}
	return responses
}

func taken(responses map[string]*huma.Response) map[string]*huma.Response {
	responses["200"] = &huma.Response{Description: "Everything is durable"}
	return responses
}
