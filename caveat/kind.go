package caveat

import (
	"context"
	"errors"
	"fmt"
	"net/netip"
	"reflect"
	"time"
)

// Codec writes the argument of a condition and reads it back. [Text], [List], [Int], [Time], [Prefixes] and
// [Patterns] are ready made.
//
// Parse gets text that anybody who held the token may have written: it must accept only what Format can
// write, fail on everything else (the empty argument too, if that means nothing), and neither block nor allocate
// beyond the length of its input. The text has no control characters. A panic is treated as an error. The same text
// always gives the same value: it may be parsed once for many decisions.
//
// A Codec must be safe for concurrent use.
type Codec[T any] interface {
	Parse(argument string) (T, error)
	Format(value T) (string, error)
}

// Kind joins the writing, the reading and the checking of one sort of condition, so that they cannot disagree.
// Make one with [Define], and keep it in a package-level variable. The zero Kind writes nothing and no Registry
// takes it.
type Kind[T any] struct{ *kind[T] }

type kind[T any] struct {
	name  string
	codec Codec[T]
	rule  func(context.Context, *Request, T) error
	err   error
}

// Define makes a kind of condition called name; the argument of its conditions is a T.
//
// check decides: nil if the request satisfies what the condition asks for, else an error that wraps [ErrAbsent],
// [ErrNotMet], whatever it got from [Undecided], or anything. It must deny when the fact that it needs is
// absent, honour the context, and give the same answer to the same question; it neither changes nor keeps
// the Request, nor changes want, which many decisions may share. It runs only for authentic tokens, possibly in
// several goroutines at once. It never gets the condition of another caveat, and must not take want for a fact:
// anybody may append a caveat that says anything.
//
// Define never panics. A name outside the grammar, a nil codec or a nil check is reported by [Kind.Of] and
// [Registry.With].
func Define[T any](name string, codec Codec[T], check func(ctx context.Context, req *Request, want T) error) Kind[T] {
	var problems []error
	if !validName(name) {
		problems = append(problems, errors.New("not a name: want [a-z0-9][a-z0-9._-]*, with or without a prefix and a colon"))
	}
	if codec == nil {
		problems = append(problems, errors.New("no codec"))
	}
	if check == nil {
		problems = append(problems, errors.New("no check"))
	}
	return Kind[T]{&kind[T]{name, codec, check, about(name, errors.Join(problems...))}}
}

var errZeroKind = errors.New(prefix + "zero Kind: use Define")

// Name is the name that the conditions of this kind begin with.
func (k Kind[T]) Name() string {
	if k.kind == nil {
		return ""
	}
	return k.name
}

// Of makes a caveat of this kind. What the codec cannot write, or cannot read back, becomes an error that the
// Caveat carries.
func (k Kind[T]) Of(want T) Caveat {
	condition, err := k.write(want)
	if err != nil {
		return invalid(k.Name(), err)
	}
	return Caveat{condition: condition}
}

func (k Kind[T]) write(want T) (condition string, err error) {
	defer recovered(&err)
	if err := k.problem(); err != nil {
		return "", err
	}
	argument, err := k.codec.Format(want)
	if err != nil {
		return "", err
	}
	condition = k.name
	if argument != "" {
		condition += " " + argument
	}
	if _, argument, err = ParseCondition(condition); err != nil {
		return "", err
	}
	if _, err := k.codec.Parse(argument); err != nil {
		return "", fmt.Errorf("written but not readable: %w", err)
	}
	return condition, nil
}

// invalid is the caveat that cannot be written, of the named kind.
func invalid(name string, err error) Caveat {
	var already *conditionError
	if errors.As(err, &already) {
		return Caveat{err: err}
	}
	return Caveat{err: about(name, err)}
}

// Definition is a [Kind] of any type, as [Registry.With] takes them. Only this package implements it.
type Definition interface {
	// Name is the name of the kind.
	Name() string

	self() Definition
	problem() error
	check(ctx context.Context, req *Request, argument string) error
	compile(argument string) (run func(context.Context, *Request) error, size int, err error)
}

// self is the Kind as a value of its own, also where it is reached by a pointer or from inside a struct.
func (k Kind[T]) self() Definition { return k }

func (k Kind[T]) problem() error {
	if k.kind == nil {
		return errZeroKind
	}
	return k.err
}

func (k Kind[T]) parse(argument string) (T, error) {
	if !isText(argument) {
		var none T
		return none, errNotText
	}
	want, err := k.codec.Parse(argument)
	if err != nil && !errors.Is(err, ErrMalformed) {
		err = fmt.Errorf("%w: %w", ErrMalformed, err)
	}
	return want, err
}

func (k Kind[T]) check(ctx context.Context, req *Request, argument string) (err error) {
	defer recovered(&err)
	want, err := k.parse(argument)
	if err != nil {
		return err
	}
	return k.rule(ctx, req, want)
}

func (k Kind[T]) compile(argument string) (run func(context.Context, *Request) error, size int, err error) {
	defer recovered(&err)
	want, err := k.parse(argument)
	if err != nil {
		return nil, 0, err
	}
	run = func(ctx context.Context, req *Request) error { return k.rule(ctx, req, want) }
	kept := reflect.ValueOf([1]T{want}) // as a T, also if that is an interface
	if size, known := extent(kept); known {
		const closure = 16 // besides what it captures of the argument
		return run, closure + int(kept.Type().Size()) + size, nil
	}
	return run, -1, nil
}

// extent is how many bytes v refers to, without its own.
func extent(v reflect.Value) (bytes int, known bool) {
	switch v.Kind() {
	case reflect.Map, reflect.Pointer, reflect.Interface, reflect.Func, reflect.Chan, reflect.UnsafePointer:
		return 0, false
	case reflect.String:
		return v.Len(), true
	case reflect.Struct:
		switch v.Type() {
		case reflect.TypeFor[time.Time](), reflect.TypeFor[netip.Addr](), reflect.TypeFor[netip.Prefix]():
			return 0, true // what they point to is shared
		}
		for i := range v.NumField() {
			more, known := extent(v.Field(i))
			if !known {
				return 0, false
			}
			bytes += more
		}
	case reflect.Slice, reflect.Array:
		if v.Kind() == reflect.Slice {
			bytes = v.Cap() * int(v.Type().Elem().Size())
		}
		for i := range v.Len() {
			more, known := extent(v.Index(i))
			if !known {
				return 0, false
			}
			bytes += more
		}
	}
	return bytes, true
}
