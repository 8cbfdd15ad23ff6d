package grpcauth

import (
	"context"
	"strings"

	"github.com/amaretti-go/amaretti/caveat"
	"github.com/amaretti-go/amaretti/verifier"
)

// An Extractor tells which operation a decoded message asks for, and on which resource
// (empty: none, so that caveats about the resource deny); see [caveat.Facts.Resource]
// for its form. It is called only for authentic tokens, and must be safe for concurrent
// use. What is not one operation denies.
//
// Each message that comes in is decided on, by a method that has an extractor, before
// the handler gets it. A unary call has one. Of a stream, the first message is what the
// method's own operation would be decided on otherwise, since only then the resource is
// known; if the handler sends something or returns before, or the client sends nothing,
// that is decided by the method's operation and without a resource. A message that is
// refused ends the stream.
//
// [Extract] makes one for messages of one type.
type Extractor func(message any) (operation, resource string)

// Extract makes an [Extractor] of a function for messages of type M, usually a pointer
// to a generated type. Messages of other types are denied.
//
//	grpcauth.Extract(func(m *shop.WatchRequest) (operation, resource string) {
//		return "orders.watch", "orders/" + caveat.EscapeSegment(m.GetId())
//	})
func Extract[M any](f func(M) (operation, resource string)) Extractor {
	if f == nil {
		return nil
	}
	return func(message any) (operation, resource string) {
		m, ok := message.(M)
		if !ok {
			return "", ""
		}
		return f(m)
	}
}

// listed gives the operation of a method that is in the table.
func (a *Auth) listed(method string) (operation string, found bool) {
	return lookUp(a.options.Operations, method)
}

// lookUp finds what a table has for a method, or else for its service.
func lookUp[T any](table map[string]T, method string) (value T, found bool) {
	if value, found = table[method]; found || !twoSlashes(method) {
		return value, found
	}
	value, found = table[method[:strings.LastIndexByte(method, '/')]+"/*"]
	return value, found
}

// operation asks the application about a method that is not in the table.
func (a *Auth) operation(ctx context.Context, method string) string {
	if a.options.Operation == nil || !twoSlashes(method) {
		return ""
	}
	return literal(a.options.Operation(ctx, method))
}

// literal leaves out the operation that only a literal argument may ask for.
func literal(operation string) string {
	if operation == verifier.AnyOperation {
		return ""
	}
	return operation
}

// twoSlashes reports whether a method that was sent has the form "/service/method".
// Where there are others, somebody else might read it as another method.
func twoSlashes(method string) bool {
	return strings.HasPrefix(method, "/") && strings.Count(method, "/") == 2
}

// isPattern and isMethod are for what is configured.
func isPattern(text string) bool {
	_, err := caveat.GRPCMethods(text).Condition()
	return err == nil
}

func isMethod(text string) bool { return isPattern(text) && !strings.HasSuffix(text, "/*") }
