package jobs

import (
	"context"
	"errors"
	"fmt"
	"testing"
	"time"

	"github.com/stretchr/testify/require"

	"github.com/chatopshub/chatopshub/domain"
)

func TestWhatFollowsFromAnAttempt(t *testing.T) {
	t.Parallel()
	call := func(class domain.FailureClass, code string, after time.Duration) error {
		return fmt.Errorf("look up: %w", &domain.CallError{Class: class, Code: code, RetryAfter: after})
	}
	again := verdict{again: true}
	final := func(f domain.FileFailure) verdict { return verdict{failure: f} }
	pause := func(d time.Duration) verdict { return verdict{pause: d} }
	for name, c := range map[string]struct {
		err               error
		first, last, late verdict // late: not the last attempt, but the platform has dropped the file
	}{
		"it is here":       {nil, verdict{}, verdict{}, verdict{}},
		"too large":        {fmt.Errorf("x: %w", domain.ErrFileTooLarge), final("too_large"), final("too_large"), final("too_large")},
		"wrong type":       {domain.ErrFileType, final("wrong_type"), final("wrong_type"), final("wrong_type")},
		"forbidden":        {domain.ErrFileForbidden, final("forbidden"), final("forbidden"), final("forbidden")},
		"gone":             {domain.ErrFileGone, again, final("expired"), again},
		"damaged":          {errors.Join(domain.ErrFileDamaged, nil), again, final("damaged"), again},
		"unknown id":       {call(domain.FailureChannel, "100", 0), again, final("expired"), again},
		"platform fails":   {call(domain.FailureTransient, "2", 0), again, final("not_available"), again},
		"no answer":        {call(domain.FailureUncertain, domain.CallNoAnswer, 0), again, final("not_available"), again},
		"refused":          {call(domain.FailurePermanent, "551", 0), again, final("not_available"), again},
		"took too long":    {fmt.Errorf("x: %w", context.DeadlineExceeded), again, final("not_available"), again},
		"token is dead":    {call(domain.FailureChannel, "190", 0), pause(pauseChannel), pause(pauseChannel), final("not_available")},
		"throttled":        {call(domain.FailureThrottleApp, "4", 0), pause(pauseThrottle), pause(pauseThrottle), final("not_available")},
		"throttled longer": {call(domain.FailureThrottleChannel, "80007", time.Hour), pause(time.Hour), pause(time.Hour), final("not_available")},
		"our disk is full": {errors.New("no space left on device"), pause(pauseOurs), pause(pauseOurs), pause(pauseOurs)},
	} {
		require.Equal(t, c.first, judge(c.err, false, false), "%s, first", name)
		require.Equal(t, c.last, judge(c.err, true, false), "%s, last", name)
		require.Equal(t, c.late, judge(c.err, false, true), "%s, late", name)
	}
}
