package dischargehttp_test

import (
	"context"
	"errors"
	"fmt"
	"io"
	"log/slog"
	"net/http"
	"strings"
	"testing"

	"github.com/stretchr/testify/require"

	"github.com/amaretti-go/amaretti/caveat/thirdparty"
	"github.com/amaretti-go/amaretti/caveat/thirdparty/dischargehttp"
	"github.com/amaretti-go/amaretti/macaroon"
)

// Nothing but https, beyond this machine, unless somebody insists.
func TestLocationsThatAreAllowed(t *testing.T) {
	for location, plainHTTP := range map[string]bool{
		"https://id.example": false, "https://id.example/a/b-c_d.e~f/": false, "https://id.example:8443": false,
		"http://localhost:8080": false, "http://127.0.0.1:1": false, "http://[::1]:1/x": false, "http://id.internal": true,
	} {
		_, err := dischargehttp.NewClient([]string{location}, dischargehttp.ClientOptions{})
		require.Equal(t, plainHTTP, err != nil, location)
		_, err = dischargehttp.NewLocator([]string{location}, dischargehttp.LocatorOptions{})
		require.Equal(t, plainHTTP, err != nil, location)
		_, err = dischargehttp.NewClient([]string{location}, dischargehttp.ClientOptions{InsecureHTTP: true})
		require.NoError(t, err)
		_, err = dischargehttp.NewLocator([]string{location}, dischargehttp.LocatorOptions{InsecureHTTP: true})
		require.NoError(t, err)
	}
}

func TestConstructorsRefuse(t *testing.T) {
	good := []string{home}
	browser, err := dischargehttp.Browser(func(context.Context, string) error { return nil })
	require.NoError(t, err)
	d := newDischarger(t)
	flows := newFlows(t, "", dischargehttp.FlowOptions{})
	clientOf := func(locations []string, o dischargehttp.ClientOptions) func() error {
		return func() error { _, err := dischargehttp.NewClient(locations, o); return err }
	}
	locatorOf := func(locations []string, o dischargehttp.LocatorOptions) func() error {
		return func() error { _, err := dischargehttp.NewLocator(locations, o); return err }
	}
	serviceOf := func(d *thirdparty.Discharger, c thirdparty.Checker, o dischargehttp.ServiceOptions) func() error {
		return func() error { _, err := dischargehttp.NewService(d, c, o); return err }
	}
	for name, try := range map[string]func() error{
		"a client of nobody":           clientOf(nil, dischargehttp.ClientOptions{}),
		"a client, location with user": clientOf([]string{"https://a@id.example"}, dischargehttp.ClientOptions{}),
		"a client, location of text":   clientOf([]string{"id.example"}, dischargehttp.ClientOptions{}),
		"a client, negative timeout":   clientOf(good, dischargehttp.ClientOptions{Timeout: -1}),
		"a client, negative wait":      clientOf(good, dischargehttp.ClientOptions{InteractionTimeout: -1}),
		"a client, negative rounds":    clientOf(good, dischargehttp.ClientOptions{Rounds: -1}),
		"a client, negative most":      clientOf(good, dischargehttp.ClientOptions{Discharges: -1}),
		"a client, nil interactor":     clientOf(good, dischargehttp.ClientOptions{Interactors: []dischargehttp.Interactor{browser, nil}}),
		"a client, a path with dots":   clientOf([]string{"https://id.example/a/../b"}, dischargehttp.ClientOptions{}),
		"a client, an empty segment":   clientOf([]string{"https://id.example/a//b"}, dischargehttp.ClientOptions{}),
		"a client, an escaped path":    clientOf([]string{"https://id.example/%41"}, dischargehttp.ClientOptions{}),
		"a client, a path of a space":  clientOf([]string{"https://id.example/a b"}, dischargehttp.ClientOptions{}),
		"a locator of nobody":          locatorOf(nil, dischargehttp.LocatorOptions{}),
		"a locator, negative timeout":  locatorOf(good, dischargehttp.LocatorOptions{Timeout: -1}),
		"a locator, negative keep":     locatorOf(good, dischargehttp.LocatorOptions{Keep: -1}),
		"a service without discharger": serviceOf(nil, members, dischargehttp.ServiceOptions{}),
		"a service of a zero one":      serviceOf(new(thirdparty.Discharger), members, dischargehttp.ServiceOptions{}),
		"a service without checker":    serviceOf(d, nil, dischargehttp.ServiceOptions{}),
		"a service, negative failures": serviceOf(d, members, dischargehttp.ServiceOptions{Failures: -1}),
		"a service, negative body":     serviceOf(d, members, dischargehttp.ServiceOptions{MaxBody: -1}),
		"a service, nil interaction":   serviceOf(d, members, dischargehttp.ServiceOptions{Interactions: []dischargehttp.Interaction{nil}}),
		"a service, one kind twice":    serviceOf(d, members, dischargehttp.ServiceOptions{Flows: flows, Interactions: []dischargehttp.Interaction{newFlows(t, "", dischargehttp.FlowOptions{})}}),
		"a browser that does not open": func() error { _, err := dischargehttp.Browser(nil); return err },
		"a browser of plain HTTP": func() error {
			_, err := dischargehttp.Browser(func(context.Context, string) error { return nil }, "http://id.internal")
			return err
		},
	} {
		err := try()
		require.Error(t, err, name)
		require.True(t, strings.HasPrefix(err.Error(), "dischargehttp: "), err)
	}

	// All that is wrong is told at once.
	_, err = dischargehttp.NewClient([]string{"ftp://x", "http://y.example"}, dischargehttp.ClientOptions{Timeout: -1})
	require.ErrorContains(t, err, "ftp://x")
	require.ErrorContains(t, err, "http://y.example")
	require.ErrorContains(t, err, "negative")
}

// What nobody made refuses, and does not panic.
func TestZeroValues(t *testing.T) {
	var c dischargehttp.Client
	_, err := c.Discharge(soon(t), newOrders(t).wallet(t, plain("x", home)))
	require.Error(t, err)
	_, err = c.DischargeBakery(soon(t), dischargehttp.BakeryMacaroon{})
	require.Error(t, err)
	c.Forget("")
	var l dischargehttp.Locator
	_, found, err := l.ThirdParty(soon(t), home)
	require.Error(t, err)
	require.False(t, found)
	var s dischargehttp.Service
	require.Equal(t, http.StatusServiceUnavailable, do(&s, call{}).StatusCode)
	_, _, _, err = thirdparty.NewCaveat(s.Party(home), isMember).ThirdParty()
	require.Error(t, err)
	var f dischargehttp.Flows
	_, found = f.Find("x")
	require.False(t, found)
	require.ErrorIs(t, f.Complete("x", "ann"), dischargehttp.ErrFlow)
	_, err = f.Begin(t.Context(), dischargehttp.Pending{})
	require.Error(t, err)
	_, err = f.Redeem(t.Context(), dischargehttp.Pending{}, "x")
	require.Error(t, err)
	_, err = newClient(t, dischargehttp.ClientOptions{}, home).Discharge(soon(t), macaroon.Wallet{})
	require.ErrorIs(t, err, macaroon.ErrInvalid)
	_, err = dischargehttp.BakeryMacaroon{}.MarshalJSON()
	require.Error(t, err)
}

// What proves who asks does not print, nor what a third party gives for it.
func TestSecretsDoNotPrint(t *testing.T) {
	const password = "swordfish"
	identity, err := as(password)(t.Context(), home)
	require.NoError(t, err)
	identity.Name = "ann"
	token := newOrders(t).wallet(t).Primary()
	binary, err := token.MarshalBinary()
	require.NoError(t, err)
	sig := string(binary[len(binary)-32:])
	secrets := []string{password, sig, rawURL64(sig)}

	values := []any{
		identity, &identity, dischargehttp.Token{Kind: "agent", Value: password}, &dischargehttp.Token{Value: password},
		dischargehttp.BakeryMacaroon{Macaroon: token}, &dischargehttp.BakeryMacaroon{Macaroon: token}, dischargehttp.Challenge{},
	}
	h := http.HandlerFunc(func(w http.ResponseWriter, _ *http.Request) {
		w.Header().Set("Content-Type", "application/json")
		w.WriteHeader(http.StatusUnauthorized)
		io.WriteString(w, `{"Code": "interaction required", "Info": {"InteractionMethods": {"signature": {"wait": "`+password+`"}}}}`)
	})
	c := newClient(t, dischargehttp.ClientOptions{Base: inProcess(h), Identity: as(password), Interactors: []dischargehttp.Interactor{
		interactor(func(challenge dischargehttp.Challenge) { values = append(values, challenge, &challenge) }),
	}}, home)
	_, err = c.Discharge(soon(t), newOrders(t).wallet(t, plain("x", home)))
	require.Error(t, err)
	require.Len(t, values, 9)

	for _, value := range values {
		var said strings.Builder
		for _, verb := range []string{"%v", "%+v", "%#v", "%s", "%q", "%x", "%d"} {
			fmt.Fprintf(&said, verb, value)
		}
		for _, h := range []slog.Handler{slog.NewTextHandler(&said, nil), slog.NewJSONHandler(&said, nil)} {
			slog.New(h).Info("x", "value", value)
		}
		for _, secret := range secrets {
			require.NotContains(t, said.String(), secret, "%T", value)
			require.NotContains(t, said.String(), fmt.Sprint([]byte(secret)), "%T", value)
			require.NotContains(t, said.String(), fmt.Sprintf("%x", secret), "%T", value)
			require.NotContains(t, said.String(), strings.Trim(fmt.Sprintf("%#v", []byte(secret)), "[]byte{}"), "%T", value)
		}
	}
}

// Where a client waits is a secret: an error does not tell it.
func TestErrorsDoNotTellWhereToWait(t *testing.T) {
	const secret = "swordfish"
	c := newClient(t, dischargehttp.ClientOptions{Base: roundTripper(func(r *http.Request) (*http.Response, error) {
		if r.URL.Path != "/discharge" {
			require.Contains(t, r.URL.RawQuery, secret)
			return nil, errors.New("connection refused")
		}
		return inProcess(http.HandlerFunc(func(w http.ResponseWriter, _ *http.Request) {
			w.Header().Set("Content-Type", "application/json")
			w.WriteHeader(http.StatusUnauthorized)
			io.WriteString(w, `{"Code": "interaction required", "Info": {"InteractionMethods": {"poll": {"WaitTokenURL": "/wait?flow=`+secret+`"}}}}`)
		})).RoundTrip(r)
	})}, home)
	_, err := c.Discharge(soon(t), newOrders(t).wallet(t, plain("x", home)))
	require.ErrorContains(t, err, "connection refused")
	require.NotContains(t, err.Error(), secret)
}

// interactor is told of the challenge, and gives up.
type interactor func(dischargehttp.Challenge)

func (interactor) Kind() string { return "signature" }

func (i interactor) Interact(_ context.Context, challenge dischargehttp.Challenge) (dischargehttp.Token, error) {
	i(challenge)
	return dischargehttp.Token{}, errors.New("given up")
}

// signature is an interaction that an application made itself: who asks signs, here by writing backwards.
type signature struct{ fail error }

func (signature) Kind() string { return "signature" }

func (s signature) Begin(_ context.Context, p dischargehttp.Pending) (any, error) {
	return map[string]string{"sign": fmt.Sprintf("%x", p.Caveat[:4]), "question": p.Question.Name}, s.fail
}

func (signature) Redeem(_ context.Context, p dischargehttp.Pending, token string) (any, error) {
	if p.Request.Header.Get("User-Agent") == "" || token != backwards(fmt.Sprintf("%x", p.Caveat[:4])) {
		return nil, errors.New("bad signature")
	}
	return "ann", nil
}

func backwards(s string) string {
	b := []byte(s)
	for i := range len(b) / 2 {
		b[i], b[len(b)-1-i] = b[len(b)-1-i], b[i]
	}
	return string(b)
}

// signer is the client's part.
type signer struct{ wrong bool }

func (signer) Kind() string { return "signature" }

func (s signer) Interact(ctx context.Context, challenge dischargehttp.Challenge) (dischargehttp.Token, error) {
	var told struct{ Sign, Question string }
	if err := challenge.Decode(&told); err != nil {
		return dischargehttp.Token{}, err
	}
	// It may ask the third party more, and nobody else.
	status, body, err := challenge.Send(ctx, http.MethodGet, "publickey", nil)
	if err != nil || status != http.StatusOK || !strings.Contains(string(body), "PublicKey") || told.Question != "member-of" {
		return dischargehttp.Token{}, fmt.Errorf("status %d: %w", status, err)
	}
	if _, _, err := challenge.Send(ctx, http.MethodGet, "https://evil.example/", nil); !errors.Is(err, dischargehttp.ErrNotAllowed) {
		return dischargehttp.Token{}, errors.New("sent elsewhere")
	}
	if s.wrong {
		return dischargehttp.Token{Kind: "signature", Value: "forged"}, nil
	}
	return dischargehttp.Token{Kind: "signature", Value: backwards(told.Sign)}, nil
}

func TestOtherInteractions(t *testing.T) {
	s := newService(t, afterInteraction, dischargehttp.ServiceOptions{
		Flows: newFlows(t, "login", dischargehttp.FlowOptions{}), Interactions: []dischargehttp.Interaction{signature{}},
	})
	server := serve(t, s)
	o := newOrders(t)
	w := o.wallet(t, thirdparty.NewCaveat(s.Party(server.URL), isMember).Attesting("user"))
	c := newClient(t, dischargehttp.ClientOptions{Interactors: []dischargehttp.Interactor{signer{}}}, server.URL)
	discharged, err := c.Discharge(soon(t), w)
	require.NoError(t, err)
	require.Equal(t, "ann", o.user(t, discharged))

	c = newClient(t, dischargehttp.ClientOptions{Interactors: []dischargehttp.Interactor{signer{wrong: true}}}, server.URL)
	_, err = c.Discharge(soon(t), w)
	var refusal *dischargehttp.Refusal
	require.ErrorAs(t, err, &refusal)
	require.Equal(t, "permission denied", refusal.Code)

	// Without any interaction, the checker's wish for one refuses.
	var told records
	s = newService(t, afterInteraction, dischargehttp.ServiceOptions{Audit: told.audit})
	response := do(s, asked(caveatFor(t, s, 3, isMember)))
	require.Equal(t, http.StatusUnauthorized, response.StatusCode)
	require.Empty(t, response.Header.Get("WWW-Authenticate"))
	require.ErrorIs(t, told.all()[0].Err, dischargehttp.ErrInteractionRequired)

	s = newService(t, afterInteraction, dischargehttp.ServiceOptions{Audit: told.audit, Interactions: []dischargehttp.Interaction{signature{errors.New("no entropy")}}})
	response = do(s, asked(caveatFor(t, s, 3, isMember)))
	require.Equal(t, http.StatusUnauthorized, response.StatusCode)
	require.ErrorContains(t, told.all()[1].Err, "no entropy")
}
