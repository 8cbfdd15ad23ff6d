package grpcauth

import (
	"context"

	"google.golang.org/grpc"

	"github.com/amaretti-go/amaretti/macaroon"
	"github.com/amaretti-go/amaretti/verifier"
)

// decide makes one decision on a unary call, and one audit record. The application's
// functions are called only once the token has proved authentic, and what they panic
// with ends here.
func (a *Auth) decide(ctx context.Context, method string, message any) (verified *verifier.Verified, c macaroon.Credential, err error) {
	var asked verifier.Asked
	defer a.settle(ctx, &asked, &err)
	listed := a.known(ctx, method, &asked)
	t, err := a.token(ctx, &asked)
	if err != nil {
		return nil, c, err
	}
	if !listed || a.options.Messages[method] != nil || a.options.Facts != nil {
		if c, err = a.read(ctx, t, &asked); err == nil {
			verified, err = a.decideInSteps(ctx, c, method, message, &asked)
		}
		return verified, c, err
	}
	return a.verify(ctx, t, &asked)
}

// known fills in what is known of a call without the application. It reports whether the
// operation is: whether its method is listed.
func (a *Auth) known(ctx context.Context, method string, asked *verifier.Asked) (listed bool) {
	asked.Operation, listed = a.listed(method)
	asked.Facts = a.facts(ctx, method)
	return listed
}

// verify decides on a token by nothing but the facts of this package. It gives the
// credential if that is to be passed on.
func (a *Auth) verify(ctx context.Context, t token, asked *verifier.Asked) (verified *verifier.Verified, c macaroon.Credential, err error) {
	if t.text != "" && !a.options.Forward {
		// One that was seen before is known by its text, and not read again.
		verified, err = a.verifier.VerifyText(ctx, t.text, asked.Operation, asked.Facts)
		return verified, c, err
	}
	if c, err = a.read(ctx, t, asked); err == nil {
		verified, err = a.verifier.Verify(ctx, c, asked.Operation, asked.Facts)
	}
	return verified, c, err
}

// decideInSteps has the application say what is asked for, once the token has proved
// authentic.
func (a *Auth) decideInSteps(ctx context.Context, c macaroon.Credential, method string, message any, asked *verifier.Asked) (*verifier.Verified, error) {
	authentic, err := a.verifier.AuthenticateFor(ctx, c, asked)
	if err != nil {
		return nil, err
	}
	if err := a.ask(ctx, method, asked); err != nil {
		return nil, err
	}
	if extract := a.options.Messages[method]; extract != nil {
		if err := a.about(ctx, asked, extract, message); err != nil {
			return nil, err
		}
	}
	return authentic.Check(ctx, asked.Operation, asked.Facts)
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
	asked := verifier.Asked{Operation: operation}
	defer a.settle(ctx, &asked, &err)
	method, _ := grpc.Method(ctx)
	asked.Facts = a.facts(ctx, method)
	t, err := a.token(ctx, &asked)
	if err != nil {
		return nil, err
	}
	if a.options.Facts == nil {
		verified, _, err = a.verify(ctx, t, &asked)
		return verified, err
	}
	c, err := a.read(ctx, t, &asked)
	if err != nil {
		return nil, err
	}
	authentic, err := a.verifier.AuthenticateFor(ctx, c, &asked)
	if err != nil {
		return nil, err
	}
	if err := a.addFacts(ctx, method, &asked); err != nil {
		return nil, err
	}
	return authentic.Check(ctx, operation, asked.Facts)
}

// ask finds out what a call asks for by its method.
func (a *Auth) ask(ctx context.Context, method string, asked *verifier.Asked) (err error) {
	defer a.undecided(ctx, asked, &err)
	if _, listed := a.listed(method); !listed {
		asked.Operation = a.operation(ctx, method)
	}
	return a.addFacts(ctx, method, asked)
}

// about finds out what a message asks for.
func (a *Auth) about(ctx context.Context, asked *verifier.Asked, extract Extractor, message any) (err error) {
	defer a.undecided(ctx, asked, &err)
	operation, resource := extract(message)
	asked.Operation, asked.Facts.Resource = literal(operation), resource
	return nil
}

// addFacts adds the application's facts to those of this package.
func (a *Auth) addFacts(ctx context.Context, method string, asked *verifier.Asked) (err error) {
	defer a.undecided(ctx, asked, &err)
	if a.options.Facts != nil {
		asked.Facts = a.options.Facts(ctx, method, asked.Facts)
	}
	return nil
}

// undecided is deferred around the application's functions. If one panics, it is not
// known what should have been decided.
func (a *Auth) undecided(ctx context.Context, asked *verifier.Asked, err *error) {
	if cause := verifier.PanicError(recover()); cause != nil {
		*err = a.verifier.Refuse(ctx, asked, verifier.CheckUndecided, cause)
	}
}

// settle is deferred around every decision: it gives whatever went wrong the form in
// which it is returned to gRPC.
func (a *Auth) settle(ctx context.Context, asked *verifier.Asked, err *error) {
	// What still panics here is the audit hook, which is not told of it twice; or
	// there is no verifier.
	if cause := verifier.PanicError(recover()); cause != nil {
		*err = cause
	}
	if *err == nil {
		return
	}
	refusal, _ := verifier.RefusalOf(*err)
	verifier.LogRefusal(ctx, a.options.Log, "grpcauth", asked.Operation, refusal)
	*err = newRefused(refusal)
}
