package actors

import (
	"fmt"
	"reflect"
)

// kind is a type of messages and its number.
type kind struct {
	number uint64
	typ    reflect.Type
	form   *form // nil: written as it is
}

// message gives the messages of type T a number.
func message[T any](number uint64) kind {
	return kind{number: number, typ: reflect.TypeFor[T]()}
}

// table knows the types that may cross nodes. It never changes.
type table struct {
	byType   map[reflect.Type]*kind
	byNumber map[uint64]*kind
	forms    map[reflect.Type]*form // of all types in the messages; nil: as they are
}

// newTable panics when the kinds contradict each other, or one can't be written.
func newTable(forms []form, kinds ...kind) *table {
	t := &table{byType: map[reflect.Type]*kind{}, byNumber: map[uint64]*kind{}, forms: map[reflect.Type]*form{}}
	t.forms[typeOfError] = t.errorForm()
	for _, f := range forms {
		t.forms[f.typ] = &f
	}
	for _, f := range forms {
		if next := t.formOf(f.wire); next != nil {
			t.forms[f.typ] = f.then(next)
		}
	}
	for _, k := range kinds {
		if t.byType[k.typ] != nil || t.byNumber[k.number] != nil {
			panic(fmt.Sprintf("actors: %s or its number %d is registered twice", k.typ, k.number))
		}
		k.form = t.formOf(k.typ)
		t.byType[k.typ], t.byNumber[k.number] = &k, &k
	}
	return t
}

// pack is v as it is written; nil for nothing.
func (t *table) pack(v any) (*packed, error) {
	if v == nil {
		return nil, nil
	}
	k := t.byType[reflect.TypeOf(v)]
	if err, ok := v.(error); ok && k == nil {
		k, v = t.byType[typeOfError], err
	}
	if k == nil {
		return nil, fmt.Errorf("%T isn't registered as a message", v)
	}
	if k.form == nil {
		return &packed{Kind: k.number, Value: v}, nil
	}
	wire := reflect.New(k.form.wire).Elem()
	if err := k.form.pack(wire, reflect.ValueOf(v)); err != nil {
		return nil, err
	}
	return &packed{Kind: k.number, Value: wire.Interface()}, nil
}

// unpack reads the value of a kind.
func (t *table) unpack(number uint64, body []byte) (any, error) {
	k := t.byNumber[number]
	switch {
	case number == 0:
		return nil, decoding.Wellformed(body)
	case k == nil:
		return nil, errUnknownKind
	}
	v := reflect.New(k.typ)
	if k.form == nil {
		err := decoding.Unmarshal(body, v.Interface())
		return v.Elem().Interface(), err
	}
	wire := reflect.New(k.form.wire)
	if err := decoding.Unmarshal(body, wire.Interface()); err != nil {
		return nil, err
	}
	err := k.form.unpack(v.Elem(), wire.Elem())
	return v.Elem().Interface(), err
}
