package rest

import (
	"bytes"
	"encoding/json"
	"reflect"

	"github.com/danielgtaylor/huma/v2"
)

// Nullable is a field of a PATCH that may be left out, null, or a value: three
// different things. It is exported as PageQuery is.
type Nullable[T any] struct {
	sent  bool
	value *T // nil: null
}

// UnmarshalJSON reads what was sent.
func (n *Nullable[T]) UnmarshalJSON(data []byte) error {
	n.sent, n.value = true, nil
	if bytes.Equal(data, []byte("null")) {
		return nil
	}
	n.value = new(T)
	return json.Unmarshal(data, n.value)
}

// Schema is that of the value, or null.
func (n Nullable[T]) Schema(registry huma.Registry) *huma.Schema {
	schema := *huma.SchemaFromType(registry, reflect.TypeFor[T]())
	schema.Nullable = true
	return &schema
}

// orZero is nil where nothing was sent, and the zero value for null.
func (n Nullable[T]) orZero() *T {
	if n.sent && n.value == nil {
		return new(T)
	}
	return n.value
}
