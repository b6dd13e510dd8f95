package actors

import (
	"cmp"
	"encoding/json"
	"errors"
	"fmt"
	"maps"
	"math"
	"reflect"
	"slices"
	"testing"
	"time"

	"github.com/anthdm/hollywood/actor"
	"github.com/stretchr/testify/require"
	"pgregory.net/rapid"

	"github.com/chatopshub/chatopshub/domain"
)

// kindsInOrder is the kinds that a value of the type may be of.
func kindsInOrder(typ reflect.Type) []*kind {
	kinds := slices.SortedFunc(maps.Values(wireKinds.byNumber), func(a, b *kind) int { return cmp.Compare(a.number, b.number) })
	return slices.DeleteFunc(kinds, func(k *kind) bool { return k.typ == typeOfError || !k.typ.AssignableTo(typ) })
}

func anySentinel(t *rapid.T) error {
	return sentinels[rapid.SampledFrom(slices.Sorted(maps.Keys(sentinels))).Draw(t, "sentinel")]
}

// maker fills values of any registered type, each field.
type maker struct{ t *rapid.T }

func (m maker) chance(name string) bool { return rapid.IntRange(0, 3).Draw(m.t, name) > 0 }

func (m maker) time() time.Time {
	first, last := time.Date(1, 1, 1, 0, 0, 1, 0, time.UTC).Unix(), time.Date(9999, 12, 31, 0, 0, 0, 0, time.UTC).Unix()
	return time.Unix(rapid.Int64Range(first, last).Draw(m.t, "seconds"), rapid.Int64Range(0, 999_999_999).Draw(m.t, "nanos")).UTC()
}

// special fills what reflection alone can't, and tells whether it has.
func (m maker) special(v reflect.Value, depth int) bool {
	switch v.Interface().(type) {
	case time.Time:
		if m.chance("time") {
			v.Set(reflect.ValueOf(m.time()))
		}
	case domain.Timestamp:
		v.Set(reflect.ValueOf(domain.Timestamp(m.time())))
	case *actor.PID:
		if m.chance("pid") {
			v.Set(reflect.ValueOf(actor.NewPID(rapid.String().Draw(m.t, "node"), rapid.String().Draw(m.t, "id"))))
		}
	case lane:
		v.SetInt(int64(rapid.IntRange(0, int(lanes)-1).Draw(m.t, "lane")))
	case domain.Notice:
		n := domain.Notice{
			Name: domain.EventName(rapid.String().Draw(m.t, "name")), Payload: json.RawMessage(`{"a":"<b>"}`), Activity: m.chance("activity"),
		}
		v.Set(reflect.ValueOf(n))
		m.fill(v.FieldByName("Rooms"), depth)
		m.fill(v.FieldByName("Trace"), depth)
	default:
		return false
	}
	return true
}

func (m maker) fill(v reflect.Value, depth int) {
	if v.Kind() == reflect.Interface {
		m.fillInterface(v, depth)
		return
	}
	if m.special(v, depth) {
		return
	}
	switch v.Kind() {
	case reflect.Bool:
		v.SetBool(rapid.Bool().Draw(m.t, "bool"))
	case reflect.Int, reflect.Int64:
		v.SetInt(rapid.Int64().Draw(m.t, "int"))
	case reflect.Uint8, reflect.Uint64:
		v.SetUint(rapid.Uint64().Draw(m.t, "uint") & (1<<(8*v.Type().Size()) - 1))
	case reflect.Float64:
		v.SetFloat(rapid.Float64Range(-math.MaxFloat64, math.MaxFloat64).Draw(m.t, "float"))
	case reflect.String:
		v.SetString(string(rapid.SliceOfN(rapid.Byte(), 0, 20).Draw(m.t, "text"))) // valid UTF-8 or not
	case reflect.Struct:
		for i := range v.NumField() {
			m.fill(v.Field(i), depth+1)
		}
	case reflect.Array:
		for i := range v.Len() {
			m.fill(v.Index(i), depth)
		}
	case reflect.Slice, reflect.Map, reflect.Pointer:
		if depth == 0 || m.chance("there") {
			m.fillReference(v, depth+1)
		}
	default:
		m.t.Fatalf("no value of a %s can be made", v.Type())
	}
}

func (m maker) fillReference(v reflect.Value, depth int) {
	switch v.Kind() {
	case reflect.Pointer:
		v.Set(reflect.New(v.Type().Elem()))
		m.fill(v.Elem(), depth)
	case reflect.Slice:
		n := rapid.IntRange(1, 2).Draw(m.t, "length")
		v.Set(reflect.MakeSlice(v.Type(), n, n))
		for i := range n {
			m.fill(v.Index(i), depth)
		}
	case reflect.Map:
		v.Set(reflect.MakeMap(v.Type()))
		key, value := reflect.New(v.Type().Key()).Elem(), reflect.New(v.Type().Elem()).Elem()
		m.fill(key, depth)
		m.fill(value, depth)
		v.SetMapIndex(key, value)
	}
}

func (m maker) fillInterface(v reflect.Value, depth int) {
	if depth > 0 && !m.chance("something") {
		return
	}
	if v.Type() == typeOfError && (depth > 4 || m.chance("sentinel")) {
		v.Set(reflect.ValueOf(anySentinel(m.t)))
		return
	}
	v.Set(m.of(rapid.SampledFrom(kindsInOrder(v.Type())).Draw(m.t, "kind"), depth))
}

// of is a value of the kind; a pointer isn't nil.
func (m maker) of(k *kind, depth int) reflect.Value {
	v := reflect.New(k.typ).Elem()
	if k.typ.Kind() == reflect.Pointer {
		m.fillReference(v, depth+1)
	} else {
		m.fill(v, depth)
	}
	return v
}

func TestCodecProperty(t *testing.T) {
	t.Parallel()
	for number, k := range wireKinds.byNumber {
		t.Run(k.typ.String(), rapid.MakeCheck(func(t *rapid.T) {
			msg := maker{t}.of(k, 0).Interface()
			require.Equal(t, msg, trip(t, msg), "kind %d", number)
		}))
	}
}

// TestCodecErrorsProperty: what errors.Is and errors.As say of an error they say
// of it on another node, too.
func TestCodecErrorsProperty(t *testing.T) {
	t.Parallel()
	rapid.Check(t, func(t *rapid.T) {
		err := maker{t}.tree(0)
		back, isError := trip(t, err).(error)
		require.True(t, isError)
		require.Equal(t, clipped(err.Error()), clipped(back.Error()))
		for _, sentinel := range sentinels {
			require.Equal(t, errors.Is(err, sentinel), errors.Is(back, sentinel), "is %v", sentinel)
		}
		for _, k := range kindsInOrder(typeOfError) {
			before, after := reflect.New(k.typ), reflect.New(k.typ)
			require.Equal(t, errors.As(err, before.Interface()), errors.As(back, after.Interface()), "is a %v", k.typ)
			require.Equal(t, before.Elem().Interface(), after.Elem().Interface())
		}
	})
}

// tree is an error that wraps others.
func (m maker) tree(depth int) error {
	switch n := rapid.IntRange(0, 4).Draw(m.t, "node"); {
	case n == 0:
		return fmt.Errorf("something else")
	case n == 1 && depth < 4:
		return fmt.Errorf("outer: %w", m.tree(depth+1))
	case n == 2 && depth < 4:
		return fmt.Errorf("%w, and %w", m.tree(depth+1), m.tree(depth+1))
	case n == 3:
		return m.of(rapid.SampledFrom(kindsInOrder(typeOfError)).Draw(m.t, "typed"), 5).Interface().(error)
	}
	return anySentinel(m.t)
}
