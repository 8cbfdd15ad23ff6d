package grpcauth

import (
	"encoding/base64"
	"strings"
	"time"

	"google.golang.org/genproto/googleapis/rpc/errdetails"
	"google.golang.org/grpc/codes"
	"google.golang.org/grpc/status"
	"google.golang.org/protobuf/protoadapt"
	"google.golang.org/protobuf/types/known/durationpb"

	"github.com/amaretti-go/amaretti/macaroon"
	"github.com/amaretti-go/amaretti/verifier"
)

// Domain is the domain of the google.rpc.ErrorInfo in a refusal.
const Domain = "github.com/amaretti-go/amaretti"

// The reasons in the google.rpc.ErrorInfo. They don't change. The package documentation
// has the table.
const (
	ReasonTokenRequired     = "TOKEN_REQUIRED"
	ReasonInvalidRequest    = "INVALID_REQUEST"
	ReasonInvalidToken      = "INVALID_TOKEN"
	ReasonDischargeRequired = "DISCHARGE_REQUIRED"
	ReasonInsufficientScope = "INSUFFICIENT_SCOPE"
	ReasonUndecided         = "UNDECIDED"
)

// row is one of the answers to a refusal. Whatever a peer is told hangs on the row and
// on nothing else about the refusal.
type row struct {
	code    codes.Code
	reason  string
	message string
}

func rowOf(refusal *verifier.Error) row {
	switch {
	case refusal.Reason == verifier.NothingPresented:
		return row{codes.Unauthenticated, ReasonTokenRequired, "a token is required"}
	case refusal.Reason == verifier.InvalidRequest:
		return row{codes.Unauthenticated, ReasonInvalidRequest, "the metadata must have one scheme and one token"}
	case refusal.Is(verifier.ErrMissingDischarge):
		return row{codes.Unauthenticated, ReasonDischargeRequired, "the token needs the discharges listed"}
	case refusal.Class() == verifier.Unauthenticated:
		return row{codes.Unauthenticated, ReasonInvalidToken, "the token is not valid"}
	case refusal.Class() == verifier.Denied:
		return row{codes.PermissionDenied, ReasonInsufficientScope, "the token does not allow this"}
	}
	return row{codes.Unavailable, ReasonUndecided, "it could not be decided whether the token allows this: try again"}
}

const retryAfter = time.Second

// refused is a refusal as gRPC wants it. Middleware around finds the refusal itself by
// [errors.As]; the peer gets the status and nothing else.
type refused struct {
	refusal *verifier.Error
	status  *status.Status
}

func newRefused(refusal *verifier.Error) *refused {
	row := rowOf(refusal)
	details := []protoadapt.MessageV1{&errdetails.ErrorInfo{
		Reason:   row.reason,
		Domain:   Domain,
		Metadata: map[string]string{"instance": refusal.Instance},
	}}
	switch row.reason {
	case ReasonDischargeRequired:
		details = append(details, missing(refusal.Missing))
	case ReasonUndecided:
		details = append(details, &errdetails.RetryInfo{RetryDelay: durationpb.New(retryAfter)})
	}
	plain := status.New(row.code, row.message)
	detailed, err := plain.WithDetails(details...)
	if err != nil { // there is no text in them that could not be written
		detailed = plain
	}
	return &refused{refusal, detailed}
}

func (r *refused) Error() string              { return r.refusal.Error() }
func (r *refused) Unwrap() error              { return r.refusal }
func (r *refused) GRPCStatus() *status.Status { return r.status }

// violationType is the type of a violation that is a missing discharge.
const violationType = "MISSING_DISCHARGE"

// missing lists discharges for a peer. Locations are anybody's bytes, and protobuf's
// strings are not.
func missing(list []macaroon.MissingDischarge) *errdetails.PreconditionFailure {
	failure := &errdetails.PreconditionFailure{}
	for _, m := range list {
		failure.Violations = append(failure.Violations, &errdetails.PreconditionFailure_Violation{
			Type:        violationType,
			Subject:     strings.ToValidUTF8(m.Location, "\uFFFD"),
			Description: base64.RawURLEncoding.EncodeToString([]byte(m.CaveatID)),
		})
	}
	return failure
}

// detailOf finds a detail of its type in the error of a call; nil if there is none that has.
func detailOf[T any](err error, has func(T) bool) (found T) {
	for _, detail := range status.Convert(err).Details() {
		if d, ok := detail.(T); ok && has(d) {
			return d
		}
	}
	return found
}

// refusalIn gives what the error of a call says of a refusal of this package; nil if it is
// none.
func refusalIn(err error) *errdetails.ErrorInfo {
	return detailOf(err, func(info *errdetails.ErrorInfo) bool { return info.GetDomain() == Domain })
}

// MissingDischarges reads from the error of a call which caveats of the token that was
// sent still have to be discharged, if the service refused the call for that. Where the
// third parties are is a hint that nobody has authenticated.
func MissingDischarges(err error) (list []macaroon.MissingDischarge) {
	if refusalIn(err).GetReason() != ReasonDischargeRequired {
		return nil
	}
	failure := detailOf(err, func(*errdetails.PreconditionFailure) bool { return true })
	for _, v := range failure.GetViolations() {
		id, err := base64.RawURLEncoding.DecodeString(v.GetDescription())
		if err == nil && v.GetType() == violationType {
			list = append(list, macaroon.MissingDischarge{Location: v.GetSubject(), CaveatID: string(id)})
		}
	}
	return list
}
