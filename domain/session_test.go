package domain

import (
	"testing"
	"time"

	"github.com/stretchr/testify/require"
	"pgregory.net/rapid"
)

var loggedInAt = time.Date(2026, 1, 31, 9, 15, 2, 0, time.UTC)

const week = 7 * 24 * time.Hour

func TestDecideRefresh(t *testing.T) {
	t.Parallel()
	fresh := RefreshState{ExpiresAt: loggedInAt.Add(week), User: UserActive}
	with := func(change func(*RefreshState)) RefreshState {
		s := fresh
		change(&s)
		return s
	}
	spent := with(func(s *RefreshState) { s.SpentAt = loggedInAt.Add(time.Hour) })
	tests := []struct {
		name    string
		state   RefreshState
		after   time.Duration
		verdict RefreshVerdict
		expires time.Duration // after the login
	}{
		{"a first use", fresh, time.Minute, RefreshRotate, week},
		{"a use just before a day is over", fresh, ExtendEvery - time.Nanosecond, RefreshRotate, week},
		{"a use a day later", fresh, ExtendEvery, RefreshRotate, week + ExtendEvery},
		{"a use after six days", fresh, 6 * 24 * time.Hour, RefreshRotate, 13 * 24 * time.Hour},
		{"a use in the last moment", fresh, week - time.Nanosecond, RefreshRotate, 2*week - time.Nanosecond},
		{"a use that is too late", fresh, week, RefreshOver, 0},
		{"a repeat at once", spent, time.Hour, RefreshRepeat, 0},
		{"a repeat by another clock", spent, time.Hour - time.Second, RefreshRepeat, 0},
		{"a repeat in the last moment", spent, time.Hour + RefreshLeeway, RefreshRepeat, 0},
		{"a repeat that is too late", spent, time.Hour + RefreshLeeway + time.Nanosecond, RefreshTheft, 0},
		{"a spent one of a session that is over by time", spent, week, RefreshOver, 0},
		{"of a session that has ended", with(func(s *RefreshState) { s.Ended = true }), time.Minute, RefreshOver, 0},
		{"a repeat in a session that has ended", with(func(s *RefreshState) { s.Ended, s.SpentAt = true, loggedInAt }), time.Second, RefreshOver, 0},
		{"of a suspended user", with(func(s *RefreshState) { s.User = UserSuspended }), time.Minute, RefreshOver, 0},
		{"of an inactive user", with(func(s *RefreshState) { s.User = UserInactive }), time.Minute, RefreshOver, 0},
	}
	for _, test := range tests {
		t.Run(test.name, func(t *testing.T) {
			t.Parallel()
			want := RefreshDecision{Verdict: test.verdict}
			if test.expires != 0 {
				want.ExpiresAt = loggedInAt.Add(test.expires)
			}
			require.Equal(t, want, DecideRefresh(test.state, loggedInAt.Add(test.after), week))
		})
	}
}

func TestAShortSessionIsNeverExtended(t *testing.T) {
	t.Parallel()
	s := RefreshState{ExpiresAt: loggedInAt.Add(time.Hour), User: UserActive}
	d := DecideRefresh(s, loggedInAt.Add(59*time.Minute), time.Hour)
	require.Equal(t, RefreshDecision{Verdict: RefreshRotate, ExpiresAt: s.ExpiresAt}, d)
}

// family is a login as the storage keeps it: its tokens by the order in which
// they were made.
type family struct {
	spentAt  []time.Time
	expires  time.Time
	extended []time.Time
	ended    bool
}

func (f *family) newest() int { return len(f.spentAt) - 1 }

// use uses a token and returns the one that came back, or -1.
func (f *family) use(token int, now time.Time) (RefreshVerdict, int) {
	state := RefreshState{SpentAt: f.spentAt[token], ExpiresAt: f.expires, Ended: f.ended, User: UserActive}
	d := DecideRefresh(state, now, week)
	switch d.Verdict {
	case RefreshRotate:
		f.spentAt[token] = now
		f.spentAt = append(f.spentAt, time.Time{})
		if !d.ExpiresAt.Equal(f.expires) {
			f.expires, f.extended = d.ExpiresAt, append(f.extended, now)
		}
		return d.Verdict, f.newest()
	case RefreshRepeat:
		return d.Verdict, f.newest()
	case RefreshTheft:
		f.ended = true
	}
	return d.Verdict, -1
}

func pauses(t *rapid.T, label string) time.Duration {
	return time.Duration(rapid.OneOf(
		rapid.Int64Range(0, int64(time.Minute)), rapid.Int64Range(0, int64(time.Hour)), rapid.Int64Range(0, int64(30*time.Hour)),
	).Draw(t, label))
}

// Tabs of one browser share what comes back a moment after it did, lose answers
// and come at the same time: that never ends their session.
func TestTabsDontEndTheirSession(t *testing.T) {
	t.Parallel()
	rapid.Check(t, func(t *rapid.T) {
		f := &family{spentAt: make([]time.Time, 1), expires: loggedInAt.Add(week)}
		now, stored := loggedInAt, 0
		for range rapid.IntRange(1, 40).Draw(t, "uses") {
			now = now.Add(pauses(t, "pause"))
			held := stored // by each of the tabs
			for range rapid.IntRange(1, 4).Draw(t, "tabs") {
				verdict, got := f.use(held, now)
				require.Contains(t, []RefreshVerdict{RefreshRotate, RefreshRepeat}, verdict)
				require.Zero(t, f.spentAt[got], "what comes back is unspent")
				stored = got
				now = now.Add(time.Duration(rapid.Int64Range(0, int64(RefreshLeeway/4)).Draw(t, "later")))
			}
		}
	})
}

// Whoever uses the tokens of one login, and when: at most one of them is
// unspent, the session lasts as long as it should, and after a theft nothing is
// good any more.
func TestAFamilyOfTokens(t *testing.T) {
	t.Parallel()
	rapid.Check(t, func(t *rapid.T) {
		f := &family{spentAt: make([]time.Time, 1), expires: loggedInAt.Add(week)}
		now := loggedInAt
		for range rapid.IntRange(1, 60).Draw(t, "uses") {
			now = now.Add(pauses(t, "pause"))
			token := max(0, f.newest()-rapid.IntRange(0, 3).Draw(t, "age"))
			before := *f
			spentAt := f.spentAt[token]
			verdict, _ := f.use(token, now)
			if before.ended {
				require.Equal(t, RefreshOver, verdict)
			}
			if spentAt.IsZero() {
				require.NotContains(t, []RefreshVerdict{RefreshRepeat, RefreshTheft}, verdict)
			} else {
				require.NotEqual(t, RefreshRotate, verdict, "a token is exchanged once")
				require.False(t, verdict == RefreshRepeat && now.Sub(spentAt) > RefreshLeeway)
			}
			for _, spent := range f.spentAt[:f.newest()] {
				require.NotZero(t, spent, "one token is unspent")
			}
			require.False(t, f.expires.Before(before.expires), "a use never shortens a session")
			require.False(t, f.expires.After(now.Add(week)) && !f.expires.Equal(before.expires))
		}
		for i := 1; i < len(f.extended); i++ {
			require.GreaterOrEqual(t, f.extended[i].Sub(f.extended[i-1]), ExtendEvery)
		}
	})
}
