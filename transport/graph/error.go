package graph

import (
	"encoding/json"
	"fmt"
	"net/http"
	"strconv"
	"strings"
	"time"

	"github.com/chatopshub/chatopshub/domain"
)

// maxText bounds what agents are shown of an error, in code points.
const maxText = 500

// maxRetryAfter bounds how long a platform can tell us to wait.
const maxRetryAfter = 24 * time.Hour

// number is an integer that may come as a string.
type number struct {
	value int
	given bool
}

// UnmarshalJSON reads an integer, quoted or not; anything else counts as absent.
func (n *number) UnmarshalJSON(data []byte) error {
	v, err := strconv.Atoi(strings.Trim(string(data), `"`))
	*n = number{value: v, given: err == nil}
	return nil
}

// graphError is the error object of an answer.
type graphError struct {
	Message     string          `json:"message"`
	Code        number          `json:"code"`
	Subcode     number          `json:"error_subcode"`
	Data        json.RawMessage `json:"error_data"` // an object on WhatsApp, elsewhere anything
	UserMessage string          `json:"error_user_msg"`
	Transient   bool            `json:"is_transient"`
	TraceID     string          `json:"fbtrace_id"`
}

// text is the most useful of what the error says: WhatsApp's details, then
// what Meta means for people, then what it means for developers.
func (e graphError) text() string {
	var data struct {
		Details string `json:"details"`
	}
	if err := json.Unmarshal(e.Data, &data); err == nil && data.Details != "" {
		return data.Details // absent or of another form: no details
	}
	if e.UserMessage != "" {
		return e.UserMessage
	}
	return e.Message
}

// judge finds the failure in an answer, whatever its status: the API puts
// errors under 200 now and then. What has no error and isn't JSON comes from
// something between us and the platform.
func judge(a Account, r call, resp *http.Response, body []byte) error {
	var envelope struct {
		Error json.RawMessage `json:"error"`
	}
	if err := json.Unmarshal(body, &envelope); err != nil || len(body) > maxAnswer {
		return badAnswer(r, resp)
	}
	if len(envelope.Error) == 0 || string(envelope.Error) == "null" {
		if resp.StatusCode/100 != 2 {
			return badAnswer(r, resp)
		}
		return nil
	}
	var e graphError
	_ = json.Unmarshal(envelope.Error, &e) // it is JSON: all that can fail is a field of another type, which is left out
	if !e.Code.given {
		return badAnswer(r, resp) // Meta's errors are objects with a code
	}
	failed := &domain.CallError{
		Class: classOf(e, resp.StatusCode, r), Code: strconv.Itoa(e.Code.value), Subcode: e.Subcode.value,
		Text: a.scrub(readable(e.text())), TraceID: cut(e.TraceID, 100),
	}
	if failed.Text == "" {
		failed.Text = fmt.Sprintf("the platform answered HTTP %d without a reason", resp.StatusCode)
	}
	if failed.Class.Throttled() || failed.Class == domain.FailureTransient {
		failed.RetryAfter = retryAfter(resp.Header)
	}
	return failed
}

// badAnswer is the failure of an answer that isn't the platform's.
func badAnswer(r call, resp *http.Response) *domain.CallError {
	failed := &domain.CallError{
		Class: domain.FailureTransient, Code: domain.CallBadAnswer,
		Text: fmt.Sprintf("HTTP %d without an answer of the platform", resp.StatusCode),
	}
	switch status := resp.StatusCode; {
	case status == http.StatusTooManyRequests:
		failed.Class, failed.RetryAfter = domain.FailureThrottleChannel, retryAfter(resp.Header)
	case status/100 == 4:
		failed.Class = domain.FailurePermanent
	case status/100 == 3: // nothing was done there
	case r.once:
		failed.Class = domain.FailureUncertain
	}
	return failed
}

// unanswered is the failure of a call that got no answer, and says whether its
// request was written.
func unanswered(err error, r call, written bool) *domain.CallError {
	cause := withoutAddress(err)
	failed := &domain.CallError{
		Class: domain.FailureTransient, Code: domain.CallNotReached, Cause: cause,
		Text: "the platform can't be reached: " + readable(cause.Error()),
	}
	if written {
		failed.Code, failed.Text = domain.CallNoAnswer, "the request went out and no answer came: "+readable(cause.Error())
	}
	if written && r.once {
		failed.Class = domain.FailureUncertain
	}
	return failed
}

// unsendable is the failure of what we don't even ask the platform for.
func unsendable(cause error) *domain.CallError {
	return &domain.CallError{Class: domain.FailurePermanent, Code: domain.CallUnsendable, Text: cause.Error(), Cause: cause}
}

// retryAfter is how long the platform wants to be left alone: seconds or a
// date in Retry-After, else the minutes that Meta's usage header names. Zero:
// it doesn't say.
func retryAfter(h http.Header) time.Duration {
	wait := time.Duration(0)
	value := strings.TrimSpace(h.Get("Retry-After"))
	if seconds, err := strconv.Atoi(value); err == nil {
		wait = time.Duration(min(max(seconds, 0), int(maxRetryAfter/time.Second))) * time.Second
	} else if at, err := http.ParseTime(value); err == nil {
		wait = time.Until(at)
	} else {
		wait = regainAccess(h.Get("X-Business-Use-Case-Usage"))
	}
	return min(max(wait, 0), maxRetryAfter)
}

// regainAccess is the longest time until access is regained that the usage
// header names: by business, a list of uses, in minutes.
func regainAccess(usage string) time.Duration {
	var businesses map[string][]struct {
		Minutes number `json:"estimated_time_to_regain_access"`
	}
	if err := json.Unmarshal([]byte(usage), &businesses); err != nil {
		return 0
	}
	longest := 0
	for _, uses := range businesses {
		for _, use := range uses {
			longest = max(longest, min(use.Minutes.value, int(maxRetryAfter/time.Minute)))
		}
	}
	return time.Duration(longest) * time.Minute
}

// readable is s on one line, valid, and not too long.
func readable(s string) string {
	s = strings.Map(func(r rune) rune {
		if r < ' ' || r == 0x7f {
			return ' '
		}
		return r
	}, strings.ToValidUTF8(s, "\uFFFD"))
	return cut(s, maxText)
}

// cut shortens s to n code points.
func cut(s string, n int) string {
	for i := range s {
		if n == 0 {
			return s[:i] + "…"
		}
		n--
	}
	return s
}
