package grpcauth

import (
	"context"

	"google.golang.org/grpc"

	"github.com/amaretti-go/amaretti/caveat"
	"github.com/amaretti-go/amaretti/macaroon"
	"github.com/amaretti-go/amaretti/verifier"
)

// question is what a call or message asks for.
type question struct {
	operation string
	facts     caveat.Facts
}

// decide makes one decision on a unary call, and one audit record. The application's
// functions are called only once the token has proved authentic, and what they panic
// with ends here.
func (a *Auth) decide(ctx context.Context, method string, message any) (verified *verifier.Verified, c macaroon.Credential, err error) {
	operation, listed := a.listed(method)
	defer a.settle(ctx, &operation, &err)
	t, err := a.token(ctx, operation)
	if err != nil {
		return nil, c, err
	}
	if !listed || a.options.Messages[method] != nil || a.options.Facts != nil {
		if c, err = a.read(ctx, t, operation); err == nil {
			verified, err = a.decideInSteps(ctx, c, method, message, &operation)
		}
		return verified, c, err
	}
	return a.verify(ctx, t, operation, method)
}

// verify decides on a token by nothing but the facts of this package. It gives the
// credential if that is to be passed on.
func (a *Auth) verify(ctx context.Context, t token, operation, method string) (verified *verifier.Verified, c macaroon.Credential, err error) {
	facts := a.facts(ctx, method)
	if t.text != "" && !a.options.Forward {
		// One that was seen before is known by its text, and not read again.
		verified, err = a.verifier.VerifyText(ctx, t.text, operation, facts)
		return verified, c, err
	}
	if c, err = a.read(ctx, t, operation); err == nil {
		verified, err = a.verifier.Verify(ctx, c, operation, facts)
	}
	return verified, c, err
}

// decideInSteps has the application say what is asked for, once the token has proved
// authentic.
func (a *Auth) decideInSteps(ctx context.Context, c macaroon.Credential, method string, message any, operation *string) (*verifier.Verified, error) {
	authentic, err := a.verifier.AuthenticateFor(ctx, c, *operation)
	if err != nil {
		return nil, err
	}
	q, err := a.ask(ctx, method)
	if extract := a.options.Messages[method]; err == nil && extract != nil {
		q, err = a.about(ctx, q, extract, message)
	}
	if err != nil {
		return nil, err
	}
	*operation = q.operation
	return authentic.Check(ctx, q.operation, q.facts)
}

// Check decides whether the token of the call that ctx belongs to allows operation: for
// handlers in which it turns out what is asked for, and for middleware of one's own. It
// looks at no table and at no extractor.
//
// The error can be returned by a handler as it is: it has the status that the
// interceptors answer with. It wraps a [*verifier.Error], and everything said in package
// verifier holds.
func (a *Auth) Check(ctx context.Context, operation string) (*verifier.Verified, error) {
	verified, err := a.check(ctx, operation)
	if err != nil {
		return nil, err
	}
	return verified, nil
}

func (a *Auth) check(ctx context.Context, operation string) (verified *verifier.Verified, err error) {
	defer a.settle(ctx, &operation, &err)
	t, err := a.token(ctx, operation)
	if err != nil {
		return nil, err
	}
	method, _ := grpc.Method(ctx)
	if a.options.Facts == nil {
		verified, _, err = a.verify(ctx, t, operation, method)
		return verified, err
	}
	c, err := a.read(ctx, t, operation)
	if err != nil {
		return nil, err
	}
	authentic, err := a.verifier.AuthenticateFor(ctx, c, operation)
	if err != nil {
		return nil, err
	}
	facts, err := a.allFacts(ctx, method, operation)
	if err != nil {
		return nil, err
	}
	return authentic.Check(ctx, operation, facts)
}

// ask finds out what a call asks for by its method.
func (a *Auth) ask(ctx context.Context, method string) (q question, err error) {
	defer a.undecided(ctx, &q.operation, &err)
	var listed bool
	if q.operation, listed = a.listed(method); !listed {
		q.operation = a.operation(ctx, method)
	}
	q.facts, err = a.allFacts(ctx, method, q.operation)
	return q, err
}

// about finds out what a message asks for, in a call that asks for q.
func (a *Auth) about(ctx context.Context, q question, extract Extractor, message any) (_ question, err error) {
	defer a.undecided(ctx, &q.operation, &err)
	operation, resource := extract(message)
	q.operation, q.facts.Resource = literal(operation), resource
	return q, nil
}

// allFacts gives the facts of this package and the application's.
func (a *Auth) allFacts(ctx context.Context, method, operation string) (facts caveat.Facts, err error) {
	defer a.undecided(ctx, &operation, &err)
	facts = a.facts(ctx, method)
	if a.options.Facts != nil {
		facts = a.options.Facts(ctx, method, facts)
	}
	return facts, nil
}

// undecided is deferred around the application's functions. If one panics, it is not
// known what should have been decided.
func (a *Auth) undecided(ctx context.Context, operation *string, err *error) {
	if cause := verifier.PanicError(recover()); cause != nil {
		*err = a.verifier.Refuse(ctx, *operation, verifier.CheckUndecided, cause)
	}
}

// settle is deferred around every decision: it gives whatever went wrong the form in
// which it is returned to gRPC.
func (a *Auth) settle(ctx context.Context, operation *string, err *error) {
	// What still panics here is the audit hook, which is not told of it twice; or
	// there is no verifier.
	if cause := verifier.PanicError(recover()); cause != nil {
		*err = cause
	}
	if *err == nil {
		return
	}
	refusal, _ := verifier.RefusalOf(*err)
	verifier.LogRefusal(ctx, a.options.Log, "grpcauth", *operation, refusal)
	*err = newRefused(refusal)
}
