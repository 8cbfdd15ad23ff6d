package httpauth

import (
	"context"
	"net/http"

	"github.com/amaretti-go/amaretti/caveat"
	"github.com/amaretti-go/amaretti/macaroon"
	"github.com/amaretti-go/amaretti/macaroon/legacy"
	"github.com/amaretti-go/amaretti/verifier"
)

// request is what is asked for: an operation that is known beforehand, or one
// that the application tells from how it routes the request.
type request struct {
	verifier.Asked
	routed bool
}

// decide makes one decision and one audit record. The application's functions are
// called only once the token has proved authentic, and what they panic with ends
// here.
func (a *Auth) decide(r *http.Request, asked request) (verified *verifier.Verified, c macaroon.Credential, refusal *verifier.Error) {
	ctx := r.Context()
	defer func() {
		// What still panics here is the audit hook, which is not told of it twice;
		// or there is no verifier.
		if cause := verifier.PanicError(recover()); cause != nil {
			verified, c = nil, macaroon.Credential{}
			refusal, _ = verifier.RefusalOf(cause)
		}
		if refusal != nil {
			verifier.LogRefusal(ctx, a.options.Log, "httpauth", asked.Operation, refusal)
		}
	}()

	asked.Facts = a.facts(r)
	t, err := a.token(r, &asked.Asked)
	if err == nil {
		verified, c, err = a.verify(r, t, &asked)
	}
	if err != nil {
		refusal, _ = verifier.RefusalOf(err)
		return nil, macaroon.Credential{}, refusal
	}
	return verified, c, nil
}

// verify decides on the token of a request. It gives the credential if that is to be passed
// on.
func (a *Auth) verify(r *http.Request, t token, asked *request) (verified *verifier.Verified, c macaroon.Credential, err error) {
	ctx := r.Context()
	direct := !asked.routed && a.options.Facts == nil
	if direct && t.text != "" && !a.options.Forward {
		// One that was seen before is known by its text, and not read again.
		verified, err = a.verifier.VerifyText(ctx, t.text, asked.Operation, asked.Facts)
		return verified, c, err
	}
	if c, err = a.read(ctx, t, &asked.Asked); err != nil {
		return nil, c, err
	}
	if direct {
		verified, err = a.verifier.Verify(ctx, c, asked.Operation, asked.Facts)
	} else {
		verified, err = a.decideInSteps(r, c, asked)
	}
	return verified, c, err
}

func (a *Auth) decideInSteps(r *http.Request, c macaroon.Credential, asked *request) (*verifier.Verified, error) {
	authentic, err := a.verifier.AuthenticateFor(r.Context(), c, &asked.Asked)
	if err != nil {
		return nil, err
	}
	if err := a.ask(r, asked); err != nil {
		return nil, a.verifier.Refuse(r.Context(), &asked.Asked, verifier.CheckUndecided, err)
	}
	return authentic.Check(r.Context(), asked.Operation, asked.Facts)
}

// ask has the application say what is asked for. The error is its panic: it is not
// known what should have been decided.
func (a *Auth) ask(r *http.Request, asked *request) (err error) {
	defer func() {
		if cause := verifier.PanicError(recover()); cause != nil {
			err = cause
		}
	}()
	if asked.routed {
		asked.Operation = a.operation(r)
	}
	if a.options.Facts != nil {
		asked.Facts = a.options.Facts(r, asked.Facts)
	}
	return nil
}

// operation asks the application. An empty one, which the verifier denies, is also
// that of a path which mux and checkers might read differently: what is asked for
// can't be told then.
func (a *Auth) operation(r *http.Request) string {
	if _, ok := caveat.CanonicalPath(sentPath(r)); !ok || a.options.Operation == nil {
		return ""
	}
	operation := a.options.Operation(r)
	if operation == verifier.AnyOperation { // a literal argument's alone
		return ""
	}
	return operation
}

// token is what a request presents: text of this library's own form, which is still to be
// read, or what was read of another form.
type token struct {
	text       string
	credential macaroon.Credential
}

// token finds the one token of a request.
func (a *Auth) token(r *http.Request, asked *verifier.Asked) (t token, err error) {
	ctx := r.Context()
	text, reason, err := verifier.Authorization(r.Header["Authorization"])
	values := a.bakery.values(r)
	if len(values) > 1 || len(values) == 1 && err == nil {
		reason, err = verifier.InvalidRequest, errSeveral
	}
	switch {
	case len(values) == 1 && reason == verifier.NothingPresented:
		t.credential, err = a.bakery.read(values[0], a.verifier.Limits())
	case err != nil:
		return token{}, a.verifier.Refuse(ctx, asked, reason, err)
	case a.options.Import:
		// Our own form is one of those that it reads, under the same limits.
		t.credential, _, err = legacy.ImportWith([]byte(text), a.verifier.Limits())
	default:
		t.text = text
	}
	if err != nil {
		return token{}, a.verifier.RefuseUnread(ctx, asked, err)
	}
	return t, nil
}

// read reads what was not read yet.
func (a *Auth) read(ctx context.Context, t token, asked *verifier.Asked) (macaroon.Credential, error) {
	if t.text == "" {
		return t.credential, nil
	}
	return a.verifier.Parse(ctx, t.text, asked)
}
