package persistence

import (
	"reflect"
	"strings"

	"github.com/chatopshub/chatopshub/domain"
)

// Queries is the text of every query, by name, those of the lists also with
// their order reversed.
func (r *Reads) Queries() map[string]string {
	texts := make(map[string]string)
	v := reflect.ValueOf(r.queries)
	conversations := NewConversations(r, nil)
	for i := range v.NumField() {
		name, text := v.Type().Field(i).Tag.Get("query"), v.Field(i).String()
		texts[name] = text
		if strings.HasPrefix(name, "list-") || strings.HasPrefix(name, "search-") {
			texts[name+" reversed"] = conversations.ordered(text, domain.SortOldest)
		}
	}
	return texts
}
