package graph

import (
	"net/http"

	"github.com/chatopshub/chatopshub/domain"
)

// Codes with a rule of their own.
const (
	codeMediaUpload = 131053 // the platform couldn't use or fetch the file
)

// pair is a code with a subcode that changes what it means.
type pair struct{ code, subcode int }

// pairs is looked up before codes.
var pairs = map[pair]domain.FailureClass{
	{1, 1357046}: domain.FailureUncertain, // "invalid JSON reply": messages may have been sent although an error came back

	{10, 2018278}: domain.FailurePermanent, // outside the reply window, three times
	{10, 2534022}: domain.FailurePermanent,
	{10, 2018065}: domain.FailurePermanent,
	{10, 2018108}: domain.FailurePermanent, // the person doesn't receive messages from us
	{10, 1893063}: domain.FailureChannel,   // the page is restricted for a while

	{100, 33}:      domain.FailureChannel,         // the number or page is unknown, or hidden from the token
	{100, 2018008}: domain.FailurePermanentOrOnce, // a linked file couldn't be fetched

	{200, 1545041}: domain.FailurePermanent, // the person isn't available
}

// codes has what each code of the platforms means for us. 200 to 299, which
// say that a permission is missing, are in classOf.
var codes = map[int]domain.FailureClass{
	1:    domain.FailureTransient, // also 1/99, which is often a missing permission
	2:    domain.FailureTransient,
	1200: domain.FailureTransient,

	4:     domain.FailureThrottleApp,
	17:    domain.FailureThrottleApp,
	341:   domain.FailureThrottleApp,
	613:   domain.FailureThrottleChannel,
	80006: domain.FailureThrottleChannel,
	80007: domain.FailureThrottleChannel,

	0:   domain.FailureChannel,
	3:   domain.FailureChannel,
	10:  domain.FailureChannel,
	33:  domain.FailureChannel,
	190: domain.FailureChannel,
	368: domain.FailureChannel,

	100:     domain.FailurePermanent,
	551:     domain.FailurePermanent,
	1545041: domain.FailurePermanent,

	130429: domain.FailureThrottleChannel,
	130472: domain.FailurePermanent,
	130497: domain.FailurePermanent,

	131000: domain.FailureTransient,
	131005: domain.FailureChannel,
	131008: domain.FailurePermanent,
	131009: domain.FailurePermanent,
	131016: domain.FailureTransient,
	131021: domain.FailurePermanent,
	131026: domain.FailurePermanent,
	131030: domain.FailurePermanent,
	131031: domain.FailureChannel,
	131037: domain.FailureChannel,
	131042: domain.FailureChannel,
	131045: domain.FailureChannel,
	131047: domain.FailurePermanent,
	131048: domain.FailureThrottleQuality,
	131049: domain.FailurePermanent,
	131050: domain.FailurePermanent,
	131051: domain.FailurePermanent,

	codeMediaUpload: domain.FailurePermanentOrOnce,

	131056: domain.FailureThrottleRecipient,
	131057: domain.FailureTransient,
	131062: domain.FailurePermanent,
	131063: domain.FailurePermanent,
	131064: domain.FailureChannel,

	132000: domain.FailurePermanent,
	132001: domain.FailurePermanent,
	132005: domain.FailurePermanent,
	132007: domain.FailurePermanent,
	132008: domain.FailurePermanent,
	132012: domain.FailurePermanent,
	132015: domain.FailurePermanent,
	132016: domain.FailurePermanent,
	132018: domain.FailurePermanent,
	132068: domain.FailurePermanent,
	132069: domain.FailurePermanent,

	133000: domain.FailureChannel,
	133004: domain.FailureTransient,
	133005: domain.FailureChannel,
	133006: domain.FailureChannel,
	133008: domain.FailureChannel,
	133009: domain.FailureChannel,
	133010: domain.FailureChannel,
	133015: domain.FailureChannel,
	133016: domain.FailureChannel,

	134011: domain.FailureChannel,
	135000: domain.FailurePermanent,
	137000: domain.FailurePermanent,
}

// Class is what a code of the platform means, as failed statuses carry them:
// there is no HTTP status, and what it doesn't know is permanent.
func Class(code int) domain.FailureClass {
	return classOf(graphError{Code: number{value: code, given: true}}, http.StatusBadRequest, call{})
}

// classOf decides by the code first, then by the status: rate limits are
// documented with 400 and seen with 429 and 403.
func classOf(e graphError, status int, r call) domain.FailureClass {
	code := e.Code.value
	class, known := pairs[pair{code, e.Subcode.value}]
	if !known {
		class, known = codes[code]
	}
	if !known && code >= 200 && code <= 299 {
		class, known = domain.FailureChannel, true
	}
	switch {
	case !known:
		return classOfStatus(e, status)
	case class == domain.FailurePermanentOrOnce && code == codeMediaUpload && !r.byLink:
		return domain.FailurePermanent // an uploaded file doesn't get better
	case class == domain.FailureUncertain && !r.once:
		return domain.FailureTransient
	}
	return class
}

func classOfStatus(e graphError, status int) domain.FailureClass {
	switch {
	case status == http.StatusTooManyRequests:
		return domain.FailureThrottleChannel
	case status >= 500, e.Transient:
		return domain.FailureTransient
	}
	return domain.FailurePermanent
}
