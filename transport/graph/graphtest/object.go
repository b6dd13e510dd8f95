package graphtest

import (
	"net/http"
	"slices"
	"strings"
)

// describe answers the look-up of a number, a page, a file or a customer.
func (s *Server) describe(w http.ResponseWriter, r *http.Request, a *account) {
	object := r.PathValue("object")
	if object == "" && a.Provider == WhatsApp { // me, with the token of a system user
		answer(w, http.StatusOK, map[string]any{"id": "122100000000123", "name": "System user"})
		return
	}
	switch {
	case object == "" || object == a.ID && a.Provider == Messenger:
		answer(w, http.StatusOK, map[string]any{"id": a.ID, "name": a.Name})
	case object == a.ID:
		answer(w, http.StatusOK, a.number())
	case a.Provider == WhatsApp && s.describeFile(w, a, object):
	case a.Provider == Messenger && s.describeCustomer(w, object):
	default:
		unknownObject(w, object)
	}
}

func (a *account) number() map[string]any {
	status := "CONNECTED"
	if a.Offline {
		status = "DISCONNECTED"
	}
	return map[string]any{
		"id": a.ID, "verified_name": a.Name, "display_phone_number": "+" + a.Number, "quality_rating": "GREEN",
		"code_verification_status": "VERIFIED", "name_status": "APPROVED", "status": status,
		"throughput": map[string]any{"level": "STANDARD"},
	}
}

func (s *Server) describeCustomer(w http.ResponseWriter, psid string) bool {
	s.mu.Lock()
	c, ok := s.customers[psid]
	s.mu.Unlock()
	if !ok {
		return false
	}
	switch {
	case c.Private:
		Failure(100, 2018218, "(#100) No profile available for this user.").write(w, "")
		return true
	case c.Name == "":
		answer(w, http.StatusOK, map[string]any{}) // as seen of people who hide it
		return true
	}
	first, last, _ := strings.Cut(c.Name, " ")
	answer(w, http.StatusOK, map[string]any{"id": psid, "name": c.Name, "first_name": first, "last_name": last})
	return true
}

// subscribable reports whether webhooks of the object can be subscribed to
// with the account's token.
func (a *account) subscribable(object string) bool {
	if a.Provider == WhatsApp {
		return object == a.WABA
	}
	return object == a.ID || object == "me"
}

func (s *Server) subscriptions(w http.ResponseWriter, r *http.Request, a *account) {
	object := r.PathValue("object")
	if !a.subscribable(object) {
		unknownObject(w, object)
		return
	}
	s.mu.Lock()
	fields := a.subscribed
	s.mu.Unlock()
	data := []any{}
	switch {
	case fields == nil:
	case a.Provider == WhatsApp:
		data = append(data, map[string]any{"whatsapp_business_api_data": map[string]any{"id": s.cfg.AppID, "name": "Inbox"}})
	default:
		data = append(data, map[string]any{"id": s.cfg.AppID, "name": "Inbox", "subscribed_fields": fields})
	}
	answer(w, http.StatusOK, map[string]any{"data": data})
}

func (s *Server) subscribe(w http.ResponseWriter, r *http.Request, a *account) {
	object := r.PathValue("object")
	if !a.subscribable(object) {
		unknownObject(w, object)
		return
	}
	fields := strings.FieldsFunc(r.FormValue("subscribed_fields"), func(r rune) bool { return r == ',' })
	if a.Provider == Messenger && len(fields) == 0 {
		Failure(100, 0, "The parameter subscribed_fields is required").write(w, "")
		return
	}
	s.SetSubscription(a.ID, append([]string{}, fields...))
	answer(w, http.StatusOK, map[string]any{"success": true})
}

// SetSubscription says which fields an account delivers; nil: it isn't
// subscribed, as after an hour of failing webhooks. It tells look-ups only:
// webhooks are posted all the same.
func (s *Server) SetSubscription(accountID string, fields []string) {
	s.mu.Lock()
	defer s.mu.Unlock()
	if a := s.accounts[accountID]; a != nil {
		a.subscribed = slices.Clone(fields)
	}
}

// debugToken answers 200 for dead tokens too, as the real one does.
func (s *Server) debugToken(w http.ResponseWriter, r *http.Request) {
	a := s.owner(r.URL.Query().Get("input_token"))
	if !s.isApp(tokenOf(r)) {
		Failure(190, 0, "Invalid OAuth access token.").write(w, "")
		return
	}
	if a == nil {
		answer(w, http.StatusOK, map[string]any{"data": map[string]any{
			"app_id": s.cfg.AppID, "is_valid": false, "scopes": []string{},
			"error": map[string]any{"code": 190, "subcode": 463, "message": "Error validating access token: Session has expired."},
		}})
		return
	}
	kind, scopes := "SYSTEM_USER", []string{"whatsapp_business_management", "whatsapp_business_messaging"}
	if a.Provider == Messenger {
		kind, scopes = "PAGE", []string{"pages_show_list", "pages_messaging", "pages_manage_metadata"}
	}
	answer(w, http.StatusOK, map[string]any{"data": map[string]any{
		"app_id": s.cfg.AppID, "type": kind, "is_valid": true, "expires_at": 0, "scopes": scopes,
	}})
}

// isApp reports whether it is the token of an app that the server plays.
func (s *Server) isApp(token string) bool {
	for _, p := range []Provider{WhatsApp, Messenger} {
		if token == s.cfg.AppID+"|"+s.secret(p) {
			return true
		}
	}
	return false
}
