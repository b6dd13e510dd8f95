package actors

import (
	"fmt"
	"reflect"
	"time"
)

// form is how the values of a type are written that CBOR can't write by itself:
// as values of another type.
type form struct {
	typ    reflect.Type
	wire   reflect.Type
	pack   conversion // to wire, of a value
	unpack conversion // to the value, of what was read
}

// conversion sets to, which is zero, to what stands for from.
type conversion func(to, from reflect.Value) error

// as is the form of a T that is written as a W.
func as[T, W any](write func(T) (W, error), read func(W) (T, error)) form {
	return form{
		typ: reflect.TypeFor[T](), wire: reflect.TypeFor[W](),
		pack: func(wire, v reflect.Value) error {
			w, err := write(v.Interface().(T))
			if err == nil {
				wire.Set(reflect.ValueOf(&w).Elem())
			}
			return err
		},
		unpack: func(v, wire reflect.Value) error {
			t, err := read(wire.Interface().(W))
			if err == nil {
				v.Set(reflect.ValueOf(&t).Elem())
			}
			return err
		},
	}
}

// then is the form of a type that f writes as something which itself has a form.
func (f form) then(next *form) *form {
	return &form{
		typ: f.typ, wire: next.wire,
		pack: func(wire, v reflect.Value) error {
			between := reflect.New(f.wire).Elem()
			if err := f.pack(between, v); err != nil {
				return err
			}
			return next.pack(wire, between)
		},
		unpack: func(v, wire reflect.Value) error {
			between := reflect.New(f.wire).Elem()
			if err := next.unpack(between, wire); err != nil {
				return err
			}
			return f.unpack(v, between)
		},
	}
}

// formOf is how values of t are written; nil: as they are. It panics on a type
// that can't leave the process.
func (t *table) formOf(typ reflect.Type) *form {
	if f, known := t.forms[typ]; known {
		return f
	}
	f := t.derive(typ)
	t.forms[typ] = f
	return f
}

func (t *table) derive(typ reflect.Type) *form {
	switch typ.Kind() {
	case reflect.Interface:
		return t.interfaceForm(typ)
	case reflect.Struct:
		if typ == reflect.TypeFor[time.Time]() {
			return nil
		}
		return t.structForm(typ)
	case reflect.Pointer:
		if element := t.formOf(typ.Elem()); element != nil {
			return container(typ, reflect.PointerTo(element.wire), element, convertPointer)
		}
	case reflect.Slice:
		if element := t.formOf(typ.Elem()); element != nil {
			return container(typ, reflect.SliceOf(element.wire), element, convertSlice)
		}
	case reflect.Map:
		if element := t.formOf(typ.Elem()); element != nil {
			return container(typ, reflect.MapOf(typ.Key(), element.wire), element, convertMap)
		}
	case reflect.Array:
		if t.formOf(typ.Elem()) != nil {
			panic(fmt.Sprintf("actors: elements of %s take a slice on the way to another node", typ))
		}
	case reflect.Chan, reflect.Func, reflect.UnsafePointer:
		panic(fmt.Sprintf("actors: %s can't leave the process", typ))
	}
	return nil
}

// interfaceForm writes what is in an interface with its kind.
func (t *table) interfaceForm(typ reflect.Type) *form {
	return &form{
		typ: typ, wire: reflect.TypeFor[*packed](),
		pack: func(wire, v reflect.Value) error {
			m, err := t.pack(v.Interface())
			wire.Set(reflect.ValueOf(m))
			return err
		},
		unpack: func(v, wire reflect.Value) error {
			m := wire.Interface().(*packed)
			if m == nil || m.Value == nil {
				return nil
			}
			value := reflect.ValueOf(m.Value)
			if !value.Type().AssignableTo(typ) {
				return fmt.Errorf("%s isn't a %s", value.Type(), typ)
			}
			v.Set(value)
			return nil
		},
	}
}

func (t *table) structForm(typ reflect.Type) *form {
	fields := make([]reflect.StructField, typ.NumField())
	inner := make([]*form, typ.NumField())
	asIs := true
	for i := range fields {
		field := typ.Field(i)
		if !field.IsExported() || field.Tag.Get("json") == "-" {
			panic(fmt.Sprintf("actors: field %s of %s would be lost on the way to another node", field.Name, typ))
		}
		if inner[i] = t.formOf(field.Type); inner[i] != nil {
			field.Type, asIs = inner[i].wire, false
		}
		field.Offset, field.Index = 0, nil
		fields[i] = field
	}
	if asIs {
		return nil
	}
	convert := func(to, from reflect.Value, one func(*form) conversion) error {
		for i, f := range inner {
			if f == nil {
				to.Field(i).Set(from.Field(i))
			} else if err := one(f)(to.Field(i), from.Field(i)); err != nil {
				return err
			}
		}
		return nil
	}
	return &form{
		typ: typ, wire: reflect.StructOf(fields),
		pack: func(wire, v reflect.Value) error {
			return convert(wire, v, func(f *form) conversion { return f.pack })
		},
		unpack: func(v, wire reflect.Value) error {
			return convert(v, wire, func(f *form) conversion { return f.unpack })
		},
	}
}

// container is the form of a type whose elements have one. Convert makes one of
// from, which isn't nil, with all its elements.
func container(typ, wire reflect.Type, element *form, convert func(to, from reflect.Value, one conversion) error) *form {
	unlessNil := func(to, from reflect.Value, one conversion) error {
		if from.IsNil() {
			return nil
		}
		return convert(to, from, one)
	}
	return &form{
		typ: typ, wire: wire,
		pack:   func(wire, v reflect.Value) error { return unlessNil(wire, v, element.pack) },
		unpack: func(v, wire reflect.Value) error { return unlessNil(v, wire, element.unpack) },
	}
}

func convertPointer(to, from reflect.Value, one conversion) error {
	to.Set(reflect.New(to.Type().Elem()))
	return one(to.Elem(), from.Elem())
}

func convertSlice(to, from reflect.Value, one conversion) error {
	to.Set(reflect.MakeSlice(to.Type(), from.Len(), from.Len()))
	for i := range from.Len() {
		if err := one(to.Index(i), from.Index(i)); err != nil {
			return err
		}
	}
	return nil
}

// convertMap leaves keys as they are.
func convertMap(to, from reflect.Value, one conversion) error {
	to.Set(reflect.MakeMapWithSize(to.Type(), from.Len()))
	for key, value := range from.Seq2() {
		converted := reflect.New(to.Type().Elem()).Elem()
		if err := one(converted, value); err != nil {
			return err
		}
		to.SetMapIndex(key, converted)
	}
	return nil
}
