// Package redact keeps secrets where fmt can't reach them.
//
// A type can say how it prints, but only where its methods are called: fmt does
// not call the methods of a value that it finds in somebody's unexported field, and
// prints what it is made of instead. A pointer to a struct or an array does not
// stop it, since for a verb that does not suit a pointer, such as %s, fmt explains
// its complaint by printing what the pointer points to. At a pointer to a pointer
// it stops under every verb.
package redact

// Box holds a value of type T that does not print. Its zero value holds none.
// Copies of a Box hold the same value.
type Box[T any] struct{ inside **T }

// New makes a box with the zero value of T inside, in one allocation.
func New[T any]() Box[T] {
	b := new(struct {
		pointer *T
		value   T
	})
	b.pointer = &b.value
	return Box[T]{&b.pointer}
}

// Hide makes a box with value inside.
func Hide[T any](value T) Box[T] {
	b := New[T]()
	*b.Value() = value
	return b
}

// Value gives what is inside, or nil if b is the zero Box.
func (b Box[T]) Value() *T {
	if b.inside == nil {
		return nil
	}
	return *b.inside
}
