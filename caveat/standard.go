package caveat

import (
	"context"
	"errors"
	"time"
)

// reserved are the names that a verifier relies on. No Registry gives them another meaning, and none lacks them.
// The verifier reads declared by itself, with [ParseDeclared]; to a Registry it is unknown.
var reserved = []string{"time-before", "time-after", "allow", "deny", "audience", "branch", "declared", "error"}

// The standard kinds.
var (
	timeBefore   = Define("time-before", Time, checkTimeBefore)
	timeAfter    = Define("time-after", Time, checkTimeAfter)
	allow        = Define("allow", operations, checkAllow)
	deny         = Define("deny", operations, checkDeny)
	audience     = Define("audience", someWords, checkAudience)
	httpMethod   = Define("http-method", methods, checkMethod)
	httpHost     = Define("http-host", hosts, checkHost)
	httpPath     = Define("http-path", pathPatterns, checkPath)
	grpcMethod   = Define("grpc-method", grpcPatterns, checkGRPCMethod)
	resource     = Define("resource", resourcePatterns, checkResource)
	clientIP     = Define("client-ip", &wordsCodec{aPrefix, validPrefix}, checkClientIP)
	clientIPAddr = Define("http:client-ip-addr", addrCodec{}, checkClientIPAddr)
	httpOrigin   = Define("http:origin", originCodec{}, checkOrigin)
	certSHA256   = Define("cert-sha256", hashCodec{encoding: base64URL}, checkCertificate)
	spkiSHA256   = Define("spki-sha256", hashCodec{encoding: base64URL}, checkKey)
	content      = Define("content-digest", hashCodec{"sha-256=:", ":", base64Std}, checkContent)
	branch       = Define("branch", branchCodec{}, checkBranch)
	never        = Define("error", Text, checkNever)
)

// standard lists them, those that every token has first: so near the front, looking from name to name beats a map. It
// is never written to.
var standard = list(timeBefore, inPlace{allow, listsOperation}, inPlace{audience, listsAudience}, inPlace{httpMethod, listsMethod},
	inPlace{httpPath, matchesPath}, inPlace{Kind: deny}, timeAfter, inPlace{httpHost, listsHost}, inPlace{Kind: grpcMethod},
	inPlace{Kind: resource}, clientIP, certSHA256, spkiSHA256, content, branch, clientIPAddr, httpOrigin, never)

// inPlace is a kind whose rule reads the whole argument itself, and refuses a malformed one, while it decides: to see
// before whether it is text and can be parsed would be to read it three times.
type inPlace struct {
	Kind[string]
	glance glance
}

func (k inPlace) check(ctx context.Context, req *Request, argument string) error {
	return k.rule(ctx, req, argument)
}

// glance is how a rule is seen to hold without anybody else's code. It is a number and not a function, so that the
// compiler sees what becomes of the request.
type glance uint8

const (
	noGlance glance = iota
	listsOperation
	listsAudience
	listsMethod
	listsHost
	matchesPath
)

// decides reports whether the rule holds for an argument that may be anything. It is the rule itself. False means
// nothing if there is no glance.
func (g glance) decides(req *Request, argument string) bool {
	var err error
	switch g {
	case listsOperation:
		err = checkAllow(context.Background(), req, argument)
	case listsAudience:
		err = checkAudience(context.Background(), req, argument)
	case listsMethod:
		err = checkMethod(context.Background(), req, argument)
	case listsHost:
		err = checkHost(context.Background(), req, argument)
	case matchesPath:
		err = checkPath(context.Background(), req, argument)
	default:
		return false
	}
	return err == nil
}

// holds is decides for an argument that is known to be well-formed.
//
// What is in a well-formed list is well-formed: a fact that is one of its words is, too. But for an operation, since
// what is listed may be a pattern.
func (g glance) holds(req *Request, argument string) bool {
	switch g {
	case listsOperation:
		return hasWord(argument, req.Operation) && req.Operation[len(req.Operation)-1] != '*'
	case listsAudience:
		return hasWord(argument, req.Audience)
	case listsMethod:
		return hasWord(argument, req.Method)
	case listsHost:
		return hasWord(argument, req.Host)
	case matchesPath:
		return pathHolds(req, argument)
	}
	return false
}

func pathHolds(req *Request, patterns string) bool {
	if !validPath(req.Path) {
		return false
	}
	for rest := patterns; ; {
		pattern, more := nextWord(rest)
		if matches(pattern, req.Path) {
			return true
		}
		if len(pattern) == len(rest) {
			return false
		}
		rest = more
	}
}

// hasWord reports whether word is one of the words of a well-formed list. None of them is empty.
func hasWord(list, word string) bool {
	for rest := list; ; {
		next, more := nextWord(rest)
		if next == word {
			return true
		}
		if len(next) == len(rest) {
			return false
		}
		rest = more
	}
}

type entry struct {
	name string
	Definition
	glance glance
}

// standardKind finds the standard kind that a condition is of, and its argument; nil if it is of none.
func standardKind(condition string) (kind *entry, argument string) {
	for i := range standard {
		if kind := &standard[i]; kind.begins(condition) {
			return kind, condition[len(kind.name)+1:]
		}
	}
	return nil, ""
}

// begins reports whether the condition is of this kind and has an argument. Most are of another, which its length
// already tells.
func (e *entry) begins(condition string) bool {
	n := len(e.name)
	return len(condition) > n && condition[n] == ' ' && condition[:n] == e.name
}

func list(kinds ...Definition) []entry {
	entries := make([]entry, len(kinds))
	for i, kind := range kinds {
		entries[i] = entry{name: kind.Name(), Definition: kind}
		if k, ok := kind.(inPlace); ok {
			entries[i].glance = k.glance
		}
	}
	return entries
}

// ofList makes a caveat of a list. Every word is looked at before they are joined: one that contains a space
// would become two.
func ofList(kind Kind[string], words []string) Caveat {
	argument, err := listCodec{}.Format(words) // by its type, which keeps words off the heap
	if err != nil {
		return invalid(kind.Name(), err)
	}
	return kind.Of(argument)
}

// ExpiresIn restricts a token to the time d from the moment in which it is minted or attenuated: the clock is read
// when the condition is written. A d that is not positive is an error.
func ExpiresIn(d time.Duration) Caveat {
	if d <= 0 {
		return invalid(timeBefore.Name(), errors.New("the lifetime is not positive"))
	}
	return Caveat{lifetime: d}
}

// ExpiresAt restricts a token to the time before t; at t it has expired. The zero time is an error.
func ExpiresAt(t time.Time) Caveat { return timeBefore.Of(t) }

// NotBefore restricts a token to the time from t on. The zero time is an error.
func NotBefore(t time.Time) Caveat { return timeAfter.Of(t) }

// Operations restricts a token to these operations, which may be patterns; see [OperationCovers]. In a caveat of its
// minter it is also what a token grants: "*" is full authority. No operation at all is an error.
func Operations(operations ...string) Caveat { return ofList(allow, operations) }

// Deny takes these operations, which may be patterns, from a token. No operation at all is an error.
func Deny(operations ...string) Caveat { return ofList(deny, operations) }

// Audience restricts a token to the services of these names. No name at all is an error.
func Audience(names ...string) Caveat { return ofList(audience, names) }

// Branch names a branch of delegation, so that it can be revoked without the rest: all that is derived from this
// token carries it. The id is 16 random bytes. It restricts nothing else. All zero is an error.
func Branch(id [16]byte) Caveat { return branch.Of(id) }

// ParseBranch reads the argument of a branch condition.
func ParseBranch(argument string) (id [16]byte, err error) { return branchCodec{}.Parse(argument) }

func checkTimeBefore(_ context.Context, req *Request, t time.Time) error {
	switch {
	case req.Now.IsZero():
		return absent("no time")
	case req.Now.Before(t.Add(req.Leeway)):
		return nil
	}
	return notMet("it is %s", req.Now.UTC().Format(time.RFC3339Nano))
}

func checkTimeAfter(_ context.Context, req *Request, t time.Time) error {
	switch {
	case req.Now.IsZero():
		return absent("no time")
	case !req.Now.Before(t.Add(-req.Leeway)):
		return nil
	}
	return notMet("it is %s", req.Now.UTC().Format(time.RFC3339Nano))
}

var operations = &wordsCodec{"an operation or a pattern of operations", validOperationPattern}

func checkAllow(_ context.Context, req *Request, patterns string) error {
	listed, err := operationListed(req.Operation, patterns)
	if err != nil || listed {
		return err
	}
	return notMet("operation %s is not listed", quote(req.Operation))
}

func checkDeny(_ context.Context, req *Request, patterns string) error {
	listed, err := operationListed(req.Operation, patterns)
	switch {
	case err != nil:
		return err
	case req.Operation == AnyOperation:
		return notMet("something is denied, and every operation is asked for")
	case listed:
		return notMet("operation %s is listed", quote(req.Operation))
	}
	return nil
}

func operationListed(operation, patterns string) (bool, error) {
	listed, err := operations.anyFits(patterns, operation, covers)
	if err == nil && operation != AnyOperation && !ValidOperation(operation) {
		return false, absentOr(operation, "operation")
	}
	return listed, err
}

func checkAudience(_ context.Context, req *Request, names string) error {
	return checkListed("audience", req.Audience, names, someWords)
}

func checkBranch(context.Context, *Request, [16]byte) error { return nil }

func checkNever(context.Context, *Request, string) error {
	return notMet("whoever wrote this wants it to fail")
}

// checkListed holds if the fact is one of the words. It is then as well-formed as they are.
func checkListed(what, fact, list string, words *wordsCodec) error {
	if list == fact && words.valid(list) {
		return nil // as most are, it is one word
	}
	listed, err := words.anyFits(list, fact, equal)
	switch {
	case err != nil || listed:
		return err
	case !words.valid(fact):
		return absentOr(fact, what)
	}
	return notMet("%s is %s", what, quote(fact))
}

// absentOr is the error for a fact that cannot be compared.
func absentOr(fact, what string) error {
	switch {
	case fact == "":
		return absent("no %s", what)
	case len(fact) > longestFact:
		return absent("%s has %d bytes, which is too long to be compared", what, len(fact))
	}
	return absent("%s %s is not in its normal form", what, quote(fact))
}
