package caveat

import (
	"context"
	"errors"
	"fmt"
	"maps"
	"slices"
	"strings"
)

// Registry is the set of kinds that a service understands: the standard kinds, and those added by
// [Registry.With]. It is an immutable value and safe for concurrent use. The zero Registry is [Standard].
type Registry struct{ added map[string]Definition }

// Standard is the registry of the standard kinds; the package documentation lists them.
func Standard() Registry { return Registry{} }

// With is the registry with more kinds. Two kinds of one name are an error, and so are a kind that [Define] found
// fault with and a name that belongs to the library: time-before, time-after, allow, deny, audience, branch,
// declared and error. All problems are reported at once, and then the result is the zero Registry. A Kind behind a
// pointer is copied, and of a struct that embeds one only the Kind is taken.
func (r Registry) With(kinds ...Definition) (Registry, error) {
	added := maps.Clone(r.added)
	if added == nil {
		added = make(map[string]Definition, len(kinds))
	}
	var problems []error
	for i, kind := range kinds {
		if kind = itself(kind); kind == nil {
			problems = append(problems, fmt.Errorf("kind %d is nil", i))
			continue
		}
		name := kind.Name()
		_, again := r.lookup(name)
		if !again {
			_, again = added[name]
		}
		switch err := kind.problem(); {
		case err != nil:
			problems = append(problems, fmt.Errorf("kind %d: %s", i, unprefixed(err)))
		case slices.Contains(reserved, name):
			problems = append(problems, fmt.Errorf("kind %d: the name %s is reserved", i, quote(name)))
		case again:
			problems = append(problems, fmt.Errorf("kind %d: the name %s is taken", i, quote(name)))
		default:
			added[name] = kind
		}
	}
	if err := errors.Join(problems...); err != nil {
		return Registry{}, fmt.Errorf(prefix+"registry: %w", err)
	}
	return Registry{added}, nil
}

// itself is the Kind that a Definition is, points to or embeds, or nil if there is none. What points to a Kind could
// be changed once it is in a Registry, and what embeds one can say that it has another name.
func itself(kind Definition) (self Definition) {
	defer func() { _ = recover() }() // nil somewhere on the way to the Kind
	return kind.self()
}

// Names lists the kinds in alphabetical order. The slice is the caller's.
func (r Registry) Names() []string {
	names := slices.Collect(maps.Keys(r.added))
	for _, kind := range standard {
		names = append(names, kind.name)
	}
	slices.Sort(names)
	return names
}

// Check decides one condition: nil if the request satisfies it. Everything else denies, and [IsUndecided] tells
// "no" from "don't know". It builds nothing to keep and, on success, allocates nothing for the standard kinds. A
// context that has already ended decides nothing.
func (r Registry) Check(ctx context.Context, req *Request, condition string) error {
	return about(condition, r.check(ctx, req, condition))
}

func (r Registry) check(ctx context.Context, req *Request, condition string) error {
	if err := ready(ctx, req); err != nil {
		return err
	}
	kind, argument, err := r.parse(condition)
	if err != nil {
		return err
	}
	return kind.check(ctx, req, argument)
}

// Holds reports whether the request is seen at a glance to satisfy the condition. No more is known if it is false: ask
// Check. It calls no checker of an application's and keeps nothing of the request, which can so stay on the stack of
// whoever made it. It is for those who decide often, and leaves it to them to look at their context.
func (r Registry) Holds(req *Request, condition string) bool {
	kind, argument := standardKind(condition)
	return kind != nil && req != nil && kind.glance.decides(req, argument)
}

// Compile parses one condition, to check it again and again. The Predicate does not keep the condition's memory.
func (r Registry) Compile(condition string) (Predicate, error) {
	p, err := r.compile(strings.Clone(condition))
	if err != nil {
		return Predicate{}, about(condition, err)
	}
	return p, nil
}

func (r Registry) compile(condition string) (p Predicate, err error) {
	kind, argument, err := r.parse(condition)
	if err != nil {
		return Predicate{}, err
	}
	p.condition = condition
	if k, ok := kind.(inPlace); ok {
		p.glance, p.argument = k.glance, uint8(len(condition)-len(argument))
	}
	p.run, p.size, err = kind.compile(argument)
	return p, err
}

func (r Registry) parse(condition string) (Definition, string, error) {
	if kind, argument := standardKind(condition); kind != nil {
		return kind.Definition, argument, nil
	}
	name, argument := nextWord(condition)
	if kind, ok := r.lookup(name); ok {
		return kind, argument, nil
	}
	if _, _, err := ParseCondition(condition); err != nil {
		return nil, "", err
	}
	return nil, "", ErrUnknown
}

func (r Registry) lookup(name string) (Definition, bool) {
	for i := range standard {
		if standard[i].name == name {
			return standard[i].Definition, true
		}
	}
	kind, ok := r.added[name]
	return kind, ok
}

// ready refuses what no checker should have to think about.
func ready(ctx context.Context, req *Request) error {
	switch {
	case ctx == nil:
		return absent("no context")
	case req == nil:
		return absent("no request")
	}
	return ctx.Err()
}

// Predicate is a condition that has been parsed; see [Registry.Compile]. It may be kept, and used by many
// goroutines at once. The zero Predicate denies.
type Predicate struct {
	condition string
	run       func(context.Context, *Request) error
	size      int // of what run keeps besides the condition; negative if that is not known
	glance    glance
	argument  uint8 // where it begins, if there is a glance
}

// IsZero reports whether p is the zero Predicate.
func (p Predicate) IsZero() bool { return p.run == nil }

// Size is about how many bytes of memory the Predicate refers to, for those who keep many. It is not known if the
// argument was parsed into something of the application's that has pointers, maps, functions or interfaces in it.
func (p Predicate) Size() (bytes int, known bool) {
	if p.size < 0 {
		return 0, false
	}
	return len(p.condition) + p.size, true
}

// Holds is [Registry.Holds] for the condition.
func (p *Predicate) Holds(req *Request) bool {
	return p.glance != noGlance && req != nil && p.glance.holds(req, p.condition[p.argument:])
}

// Check decides as [Registry.Check] does.
func (p Predicate) Check(ctx context.Context, req *Request) error {
	if p.run == nil {
		return errZeroPredicate
	}
	return about(p.condition, p.check(ctx, req))
}

var errZeroPredicate = fmt.Errorf("%w: zero Predicate: use Registry.Compile", ErrMalformed)

func (p Predicate) check(ctx context.Context, req *Request) (err error) {
	defer recovered(&err)
	if err := ready(ctx, req); err != nil {
		return err
	}
	if p.Holds(req) {
		return nil
	}
	return p.run(ctx, req)
}
