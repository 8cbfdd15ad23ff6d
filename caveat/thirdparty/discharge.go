package thirdparty

import (
	"cmp"
	"context"
	"errors"
	"fmt"
	"maps"
	"slices"
	"strings"
	"sync/atomic"
	"time"

	"github.com/amaretti-go/amaretti/caveat"
	"github.com/amaretti-go/amaretti/macaroon"
)

// Discharger discharges caveats for a third party. It is safe for concurrent use. Make one with [NewDischarger]; the
// zero Discharger refuses.
type Discharger struct {
	keys    atomic.Pointer[Keys]
	options Options
}

// Options are the settings of a [Discharger]. The zero value is good.
type Options struct {
	// Lifetime is how long discharges last. Zero means 5 minutes. Where a discharge is to end earlier, the Checker
	// adds a caveat.
	Lifetime time.Duration

	// Now is the clock that the expiry is written by. Nil means time.Now.
	Now func() time.Time
}

const defaultLifetime = 5 * time.Minute

// NewDischarger makes a Discharger. It fails if keys is zero or an option is out of range.
func NewDischarger(keys Keys, options Options) (*Discharger, error) {
	var problems []error
	if options.Lifetime < 0 {
		problems = append(problems, errors.New(prefix+"options: Lifetime is negative"))
	}
	options.Lifetime = cmp.Or(options.Lifetime, defaultLifetime)
	if options.Now == nil {
		options.Now = time.Now
	}
	d := &Discharger{options: options}
	problems = append(problems, d.SetKeys(keys))
	if err := errors.Join(problems...); err != nil {
		return nil, err
	}
	return d, nil
}

// SetKeys replaces the keys, for what is discharged from now on; see [Keys] for how to go about it. It fails, and
// changes nothing, if keys is zero.
func (d *Discharger) SetKeys(keys Keys) error {
	if keys.IsZero() {
		return errZeroKeys
	}
	d.keys.Store(&keys)
	return nil
}

// Keys gives the keys, of which [Keys.Advertised] is what a locator should find.
func (d *Discharger) Keys() Keys {
	if keys := d.keys.Load(); keys != nil {
		return *keys
	}
	return Keys{}
}

// Request asks for a discharge.
type Request struct {
	// CaveatID is the caveat id as it stands in the token, and becomes the identifier of the discharge.
	CaveatID string

	// Payload is what the caveat id stands for, where that is kept beside the token, as the bakery does since its
	// version 3. Empty means that CaveatID is it.
	Payload string

	// Caller is who asks, in terms that the Checker knows: what the transport, a session or a token proved. It is
	// handed to the Checker as it is.
	Caller any
}

// maxCaveatID bounds both parts of a Request in bytes: no token with a longer caveat id is read under the default
// limits of package macaroon.
const maxCaveatID = 4 << 10

// Discharge opens the caveat id, asks checker, and mints the discharge. That has, in this order: the declarations
// of the Answer, those that were asked for first and as they were asked, with an empty one for each that is missing;
// an expiry; the caveats of the Answer. It is not bound to any token, and never goes into a store of root keys.
//
// Without a discharge there is an error: [ErrUndecipherable], one that wraps [ErrUnknownCondition], or one that
// wraps what checker returned. If [caveat.IsUndecided] says so, asking again may help. No error quotes the condition,
// which the caller may not be meant to know, unless the checker's does.
func (d *Discharger) Discharge(ctx context.Context, request Request, checker Checker) (macaroon.Macaroon, error) {
	m, err := d.discharge(ctx, request, checker)
	if err != nil {
		return macaroon.Macaroon{}, prefixed(err)
	}
	return m, nil
}

func (d *Discharger) discharge(ctx context.Context, request Request, checker Checker) (macaroon.Macaroon, error) {
	keys := d.Keys()
	switch {
	case keys.IsZero():
		return macaroon.Macaroon{}, errZeroKeys
	case checker == nil:
		return macaroon.Macaroon{}, errors.New("no checker")
	case ctx.Err() != nil:
		return macaroon.Macaroon{}, ctx.Err()
	}
	payload := request.Payload
	if payload == "" {
		payload = request.CaveatID
	}
	if request.CaveatID == "" || len(request.CaveatID) > maxCaveatID || len(payload) > maxCaveatID {
		return macaroon.Macaroon{}, ErrUndecipherable
	}
	opened, ok := keys.open(payload)
	if !ok {
		return macaroon.Macaroon{}, ErrUndecipherable
	}
	if !opened.stdConditions() {
		return macaroon.Macaroon{}, errNamespace
	}
	question, err := opened.question(request.Caller)
	if err != nil {
		return macaroon.Macaroon{}, err
	}
	answer, err := ask(ctx, checker, question)
	if err != nil {
		return macaroon.Macaroon{}, err
	}
	if ctx.Err() != nil {
		return macaroon.Macaroon{}, ctx.Err()
	}
	caveats, err := d.caveats(question.Asked, answer)
	if err != nil {
		return macaroon.Macaroon{}, fmt.Errorf("answer: %w", err)
	}
	m, err := macaroon.New(opened.rootKey, request.CaveatID, "")
	if err != nil {
		return macaroon.Macaroon{}, err
	}
	return m.Attenuate(caveats...)
}

// question reads the condition by the bakery's rules: what need-declared wraps is checked, and not wrapped twice.
func (o *opened) question(caller any) (Question, error) {
	q := Question{Condition: o.condition, FirstParty: o.firstParty, Version: int(o.version), Caller: caller}
	if !isText(q.Condition) {
		return Question{}, fmt.Errorf("%w: not text", ErrUnknownCondition)
	}
	q.Name, q.Argument, _ = strings.Cut(q.Condition, " ")
	if q.Name == needDeclared {
		var keys string
		keys, q.Condition, _ = strings.Cut(q.Argument, " ")
		for key := range strings.SplitSeq(keys, ",") {
			switch {
			case key == "":
				return Question{}, fmt.Errorf("%w: a key that must be declared is empty", ErrUnknownCondition)
			case slices.Contains(q.Asked, key):
			case len(q.Asked) == maxAsked:
				return Question{}, fmt.Errorf("%w: more than %d keys that must be declared", ErrUnknownCondition, maxAsked)
			default:
				q.Asked = append(q.Asked, key)
			}
		}
		q.Name, q.Argument, _ = strings.Cut(q.Condition, " ")
	}
	if q.Name == "" || q.Name == needDeclared {
		return Question{}, ErrUnknownCondition
	}
	return q, nil
}

// ask turns a panic of the checker, which is the application's code, into a refusal.
func ask(ctx context.Context, checker Checker, q Question) (answer Answer, err error) {
	defer func() {
		if value := recover(); value != nil {
			err = fmt.Errorf("%w with a %T", caveat.ErrPanicked, value)
		}
	}()
	q.Asked = slices.Clone(q.Asked)
	return checker.Check(ctx, q)
}

// caveats are those of the discharge. The order matters: a verifier takes the first declaration of an attribute, and
// only if no expiry stands before it, so that whatever a holder appends comes too late.
func (d *Discharger) caveats(asked []string, answer Answer) ([]macaroon.Caveat, error) {
	var list []macaroon.Caveat
	for _, key := range declaredKeys(asked, answer.Declared) {
		c, err := declaration(key, answer.Declared[key])
		if err != nil {
			return nil, err
		}
		list = append(list, c)
	}
	list = append(list, caveat.ExpiresAt(d.options.Now().Add(d.options.Lifetime)))
	for i, c := range answer.Caveats {
		c, err := restriction(c)
		if err != nil {
			return nil, fmt.Errorf("caveat %d: %w", i, err)
		}
		list = append(list, c)
	}
	return list, nil
}

// declaredKeys are the keys to be declared, those that were asked for first.
func declaredKeys(asked []string, declared map[string]string) []string {
	keys := slices.Clone(asked)
	for _, key := range slices.Sorted(maps.Keys(declared)) {
		if !slices.Contains(asked, key) {
			keys = append(keys, key)
		}
	}
	return keys
}

// declaredName is the name of the condition that declares an attribute.
const declaredName = "declared"

// declaration is the caveat that declares an attribute. An empty value leaves the space before it, as in the bakery.
func declaration(key, value string) (macaroon.Caveat, error) {
	switch {
	case !validKey(key):
		return nil, fmt.Errorf("%s is not the key of an attribute", quote(key))
	case !isText(value):
		return nil, fmt.Errorf("the value of attribute %s is not text", quote(key))
	}
	return macaroon.Condition(declaredName + " " + key + " " + value), nil
}

// restriction is a caveat of the Answer, after it has been looked at.
func restriction(c macaroon.Caveat) (macaroon.Caveat, error) {
	switch c := c.(type) {
	case nil, macaroon.ThirdPartyCaveat:
		return c, nil // Attenuate refuses nil, and what attests
	}
	condition, err := c.Condition()
	if err != nil {
		return nil, err
	}
	if name, _, _ := strings.Cut(condition, " "); name == declaredName {
		return nil, errors.New("a declaration: use Answer.Declared")
	}
	return macaroon.Condition(condition), nil
}
