package grpcauth

import (
	"context"
	"errors"

	"google.golang.org/grpc/metadata"

	"github.com/amaretti-go/amaretti/macaroon"
	"github.com/amaretti-go/amaretti/macaroon/legacy"
	"github.com/amaretti-go/amaretti/verifier"
)

const (
	authorizationKey = "authorization"
	lndKey           = "macaroon"

	schemeRoom = 64 // for "Bearer", and for more space than anybody needs
)

var (
	errBoth    = errors.New("grpcauth: both authorization and macaroon in the metadata")
	errSeveral = errors.New("grpcauth: macaroon: more than one value")
	errNotHex  = errors.New("grpcauth: macaroon: not the hexadecimal of version 2")
	errTooLong = errors.New("grpcauth: more bytes than a token may have")
)

// token is what a call presents: text of this library's own form, which is still to be read,
// or what was read of another form.
type token struct {
	text       string
	credential macaroon.Credential
}

// token finds the one token of a call.
func (a *Auth) token(ctx context.Context, asked *verifier.Asked) (t token, err error) {
	values := metadata.ValueFromIncomingContext(ctx, authorizationKey)
	if a.options.LND {
		if hex := metadata.ValueFromIncomingContext(ctx, lndKey); len(hex) > 0 {
			t.credential, err = a.lndCredential(ctx, asked, values, hex)
			return t, err
		}
	}
	if len(values) == 1 && len(values[0]) > a.verifier.Limits().Text+schemeRoom {
		return token{}, a.verifier.Refuse(ctx, asked, verifier.OverLimit, errTooLong)
	}
	text, reason, err := verifier.Authorization(values)
	switch {
	case err != nil:
		return token{}, a.verifier.Refuse(ctx, asked, reason, err)
	case !a.options.Import:
		return token{text: text}, nil
	}
	// Our own form is one of those that it reads, under the same limits.
	t.credential, _, err = legacy.ImportWith([]byte(text), a.verifier.Limits())
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

// lndCredential reads a token as lnd's clients send it.
func (a *Auth) lndCredential(ctx context.Context, asked *verifier.Asked, authorization, values []string) (macaroon.Credential, error) {
	refuse := func(reason verifier.Reason, err error) (macaroon.Credential, error) {
		return macaroon.Credential{}, a.verifier.Refuse(ctx, asked, reason, err)
	}
	switch {
	case len(authorization) > 0:
		return refuse(verifier.InvalidRequest, errBoth)
	case len(values) > 1:
		return refuse(verifier.InvalidRequest, errSeveral)
	}
	c, form, err := legacy.ImportWith([]byte(values[0]), a.verifier.Limits())
	if err != nil {
		return macaroon.Credential{}, a.verifier.RefuseUnread(ctx, asked, err)
	}
	if form != (legacy.Form{Encoding: legacy.V2Binary, Wrapping: legacy.Hex}) {
		return refuse(verifier.NotMacaroon, errNotHex)
	}
	return c, nil
}
