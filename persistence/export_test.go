package persistence

import "reflect"

// Queries is the text of every query, by name.
func (r *Reads) Queries() map[string]string {
	texts := make(map[string]string)
	v := reflect.ValueOf(r.queries)
	for i := range v.NumField() {
		texts[v.Type().Field(i).Tag.Get("query")] = v.Field(i).String()
	}
	return texts
}
