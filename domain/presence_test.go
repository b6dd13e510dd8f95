package domain

import (
	"fmt"
	"strings"
	"testing"
	"time"

	"github.com/stretchr/testify/require"
	"pgregory.net/rapid"
)

var testLimits = PresenceLimits{Heartbeat: 90 * time.Second, Grace: 30 * time.Second}

// presenceSituations are the columns of the table, those in grace told apart.
// In each the agent was last seen at testStart, and lost the last socket then.
var presenceSituations = map[string]PresenceState{
	"ONLINE":                 {Sockets: 1, LastSeen: testStart},
	"ONLINE, two sockets":    {Sockets: 2, LastSeen: testStart},
	"ONLINE in grace":        {LostAt: testStart, LastSeen: testStart},
	"AWAY manual":            {Sockets: 1, ManualAway: true, LastSeen: testStart},
	"AWAY manual in grace":   {LostAt: testStart, ManualAway: true, LastSeen: testStart},
	"AWAY automatic":         {Sockets: 1, AutoAway: true, LastSeen: testStart},
	"AWAY automatic, grace":  {LostAt: testStart, AutoAway: true, LastSeen: testStart},
	"OFFLINE":                {LastSeen: testStart},
	"OFFLINE, never present": {},
}

// presenceCell is what an event makes of a situation.
type presenceCell struct {
	state   PresenceState
	changed bool
	release time.Time
}

func at(seconds int) time.Time { return testStart.Add(time.Duration(seconds) * time.Second) }

// The table "Presence" of docs/rules.md, every cell, ten seconds after the
// agent was last seen unless the event says otherwise.
var presenceTable = map[string]struct {
	event PresenceEvent
	cells map[string]presenceCell
}{
	"socket opened": {SocketOpened{at(10)}, map[string]presenceCell{
		"ONLINE":                 {state: PresenceState{Sockets: 2, LastSeen: at(10)}},
		"ONLINE, two sockets":    {state: PresenceState{Sockets: 3, LastSeen: at(10)}},
		"ONLINE in grace":        {state: PresenceState{Sockets: 1, LastSeen: at(10)}},
		"AWAY manual":            {state: PresenceState{Sockets: 2, ManualAway: true, LastSeen: at(10)}},
		"AWAY manual in grace":   {state: PresenceState{Sockets: 1, ManualAway: true, LastSeen: at(10)}},
		"AWAY automatic":         {state: PresenceState{Sockets: 2, AutoAway: true, LastSeen: at(10)}},
		"AWAY automatic, grace":  {state: PresenceState{Sockets: 1, AutoAway: true, LastSeen: at(10)}},
		"OFFLINE":                {state: PresenceState{Sockets: 1, LastSeen: at(10)}, changed: true},
		"OFFLINE, never present": {state: PresenceState{Sockets: 1, LastSeen: at(10)}, changed: true},
	}},
	"socket closed": {SocketClosed{at(10)}, map[string]presenceCell{
		"ONLINE":                 {state: PresenceState{LostAt: at(10), LastSeen: at(0)}},
		"ONLINE, two sockets":    {state: PresenceState{Sockets: 1, LastSeen: at(0)}},
		"ONLINE in grace":        {state: PresenceState{LostAt: at(0), LastSeen: at(0)}},
		"AWAY manual":            {state: PresenceState{LostAt: at(10), ManualAway: true, LastSeen: at(0)}},
		"AWAY manual in grace":   {state: PresenceState{LostAt: at(0), ManualAway: true, LastSeen: at(0)}},
		"AWAY automatic":         {state: PresenceState{LostAt: at(10), AutoAway: true, LastSeen: at(0)}},
		"AWAY automatic, grace":  {state: PresenceState{LostAt: at(0), AutoAway: true, LastSeen: at(0)}},
		"OFFLINE":                {state: PresenceState{LastSeen: at(0)}},
		"OFFLINE, never present": {},
	}},
	"set AWAY": {PresenceSet{at(10), Away}, map[string]presenceCell{
		"ONLINE":                 {state: PresenceState{Sockets: 1, ManualAway: true, LastSeen: at(10)}, changed: true},
		"ONLINE, two sockets":    {state: PresenceState{Sockets: 2, ManualAway: true, LastSeen: at(10)}, changed: true},
		"ONLINE in grace":        {state: PresenceState{LostAt: at(0), ManualAway: true, LastSeen: at(10)}, changed: true},
		"AWAY manual":            {state: PresenceState{Sockets: 1, ManualAway: true, LastSeen: at(10)}},
		"AWAY manual in grace":   {state: PresenceState{LostAt: at(0), ManualAway: true, LastSeen: at(10)}},
		"AWAY automatic":         {state: PresenceState{Sockets: 1, ManualAway: true, LastSeen: at(10)}},
		"AWAY automatic, grace":  {state: PresenceState{LostAt: at(0), ManualAway: true, LastSeen: at(10)}},
		"OFFLINE":                {state: PresenceState{LastSeen: at(0)}},
		"OFFLINE, never present": {},
	}},
	"set ONLINE": {PresenceSet{at(10), Online}, map[string]presenceCell{
		"ONLINE":                 {state: PresenceState{Sockets: 1, LastSeen: at(10)}},
		"ONLINE, two sockets":    {state: PresenceState{Sockets: 2, LastSeen: at(10)}},
		"ONLINE in grace":        {state: PresenceState{LostAt: at(0), LastSeen: at(10)}},
		"AWAY manual":            {state: PresenceState{Sockets: 1, LastSeen: at(10)}, changed: true},
		"AWAY manual in grace":   {state: PresenceState{LostAt: at(0), LastSeen: at(10)}, changed: true},
		"AWAY automatic":         {state: PresenceState{Sockets: 1, LastSeen: at(10)}, changed: true},
		"AWAY automatic, grace":  {state: PresenceState{LostAt: at(0), LastSeen: at(10)}, changed: true},
		"OFFLINE":                {state: PresenceState{LastSeen: at(0)}},
		"OFFLINE, never present": {},
	}},
	"heartbeat": {Heartbeat{at(10)}, map[string]presenceCell{
		"ONLINE":                 {state: PresenceState{Sockets: 1, LastSeen: at(10)}},
		"ONLINE, two sockets":    {state: PresenceState{Sockets: 2, LastSeen: at(10)}},
		"ONLINE in grace":        {state: PresenceState{LostAt: at(0), LastSeen: at(0)}},
		"AWAY manual":            {state: PresenceState{Sockets: 1, ManualAway: true, LastSeen: at(10)}},
		"AWAY manual in grace":   {state: PresenceState{LostAt: at(0), ManualAway: true, LastSeen: at(0)}},
		"AWAY automatic":         {state: PresenceState{Sockets: 1, LastSeen: at(10)}, changed: true},
		"AWAY automatic, grace":  {state: PresenceState{LostAt: at(0), AutoAway: true, LastSeen: at(0)}},
		"OFFLINE":                {state: PresenceState{LastSeen: at(0)}},
		"OFFLINE, never present": {},
	}},
	"tick before anything is due": {PresenceTick{at(29)}, map[string]presenceCell{
		"ONLINE":                 {state: presenceSituations["ONLINE"]},
		"ONLINE, two sockets":    {state: presenceSituations["ONLINE, two sockets"]},
		"ONLINE in grace":        {state: presenceSituations["ONLINE in grace"]},
		"AWAY manual":            {state: presenceSituations["AWAY manual"]},
		"AWAY manual in grace":   {state: presenceSituations["AWAY manual in grace"]},
		"AWAY automatic":         {state: presenceSituations["AWAY automatic"]},
		"AWAY automatic, grace":  {state: presenceSituations["AWAY automatic, grace"]},
		"OFFLINE":                {state: presenceSituations["OFFLINE"]},
		"OFFLINE, never present": {},
	}},
	"no heartbeat for 90 s, grace over": {PresenceTick{at(90)}, map[string]presenceCell{
		"ONLINE":                 {state: PresenceState{Sockets: 1, AutoAway: true, LastSeen: at(0)}, changed: true},
		"ONLINE, two sockets":    {state: PresenceState{Sockets: 2, AutoAway: true, LastSeen: at(0)}, changed: true},
		"ONLINE in grace":        {state: PresenceState{LastSeen: at(0)}, changed: true, release: at(0)},
		"AWAY manual":            {state: presenceSituations["AWAY manual"]},
		"AWAY manual in grace":   {state: PresenceState{LastSeen: at(0)}, changed: true, release: at(0)},
		"AWAY automatic":         {state: presenceSituations["AWAY automatic"]},
		"AWAY automatic, grace":  {state: PresenceState{LastSeen: at(0)}, changed: true, release: at(0)},
		"OFFLINE":                {state: presenceSituations["OFFLINE"]},
		"OFFLINE, never present": {},
	}},
	"grace over": {PresenceTick{at(30)}, map[string]presenceCell{
		"ONLINE":                 {state: presenceSituations["ONLINE"]},
		"ONLINE, two sockets":    {state: presenceSituations["ONLINE, two sockets"]},
		"ONLINE in grace":        {state: PresenceState{LastSeen: at(0)}, changed: true, release: at(0)},
		"AWAY manual":            {state: presenceSituations["AWAY manual"]},
		"AWAY manual in grace":   {state: PresenceState{LastSeen: at(0)}, changed: true, release: at(0)},
		"AWAY automatic":         {state: presenceSituations["AWAY automatic"]},
		"AWAY automatic, grace":  {state: PresenceState{LastSeen: at(0)}, changed: true, release: at(0)},
		"OFFLINE":                {state: presenceSituations["OFFLINE"]},
		"OFFLINE, never present": {},
	}},
	"all sessions revoked": {SessionsRevoked{at(10), 0}, map[string]presenceCell{
		"ONLINE":                 {state: PresenceState{LastSeen: at(0)}, changed: true, release: at(10)},
		"ONLINE, two sockets":    {state: PresenceState{LastSeen: at(0)}, changed: true, release: at(10)},
		"ONLINE in grace":        {state: PresenceState{LastSeen: at(0)}, changed: true, release: at(10)},
		"AWAY manual":            {state: PresenceState{LastSeen: at(0)}, changed: true, release: at(10)},
		"AWAY manual in grace":   {state: PresenceState{LastSeen: at(0)}, changed: true, release: at(10)},
		"AWAY automatic":         {state: PresenceState{LastSeen: at(0)}, changed: true, release: at(10)},
		"AWAY automatic, grace":  {state: PresenceState{LastSeen: at(0)}, changed: true, release: at(10)},
		"OFFLINE":                {state: PresenceState{LastSeen: at(0)}},
		"OFFLINE, never present": {},
	}},
	"one session of two revoked": {SessionsRevoked{at(10), 1}, map[string]presenceCell{
		"ONLINE":                 {state: presenceSituations["ONLINE"]},
		"ONLINE, two sockets":    {state: PresenceState{Sockets: 1, LastSeen: at(0)}},
		"ONLINE in grace":        {state: presenceSituations["ONLINE in grace"]},
		"AWAY manual":            {state: presenceSituations["AWAY manual"]},
		"AWAY manual in grace":   {state: presenceSituations["AWAY manual in grace"]},
		"AWAY automatic":         {state: presenceSituations["AWAY automatic"]},
		"AWAY automatic, grace":  {state: presenceSituations["AWAY automatic, grace"]},
		"OFFLINE":                {state: presenceSituations["OFFLINE"]},
		"OFFLINE, never present": {},
	}},
	"suspended": {AgentSuspended{at(10)}, map[string]presenceCell{
		"ONLINE":                 {state: PresenceState{LastSeen: at(0)}, changed: true, release: at(10)},
		"ONLINE, two sockets":    {state: PresenceState{LastSeen: at(0)}, changed: true, release: at(10)},
		"ONLINE in grace":        {state: PresenceState{LastSeen: at(0)}, changed: true, release: at(10)},
		"AWAY manual":            {state: PresenceState{LastSeen: at(0)}, changed: true, release: at(10)},
		"AWAY manual in grace":   {state: PresenceState{LastSeen: at(0)}, changed: true, release: at(10)},
		"AWAY automatic":         {state: PresenceState{LastSeen: at(0)}, changed: true, release: at(10)},
		"AWAY automatic, grace":  {state: PresenceState{LastSeen: at(0)}, changed: true, release: at(10)},
		"OFFLINE":                {state: PresenceState{LastSeen: at(0)}, release: at(10)},
		"OFFLINE, never present": {release: at(10)},
	}},
}

func TestPresence(t *testing.T) {
	t.Parallel()
	for name, row := range presenceTable {
		require.Len(t, row.cells, len(presenceSituations), "%s: every cell", name)
		for situation, before := range presenceSituations {
			t.Run(name+"/"+situation, func(t *testing.T) {
				t.Parallel()
				cell, ok := row.cells[situation]
				require.True(t, ok)
				state, effect := DecidePresence(before, row.event, testLimits)
				require.Equal(t, cell.state, state)
				require.Equal(t, PresenceEffect{Changed: cell.changed, Release: cell.release}, effect)
			})
		}
	}
}

func TestPresenceStatus(t *testing.T) {
	t.Parallel()
	for situation, s := range presenceSituations {
		require.True(t, strings.HasPrefix(situation, string(s.Status())), situation)
	}
}

func TestPresenceDeadline(t *testing.T) {
	t.Parallel()
	for situation, want := range map[string]time.Time{
		"ONLINE": at(90), "ONLINE in grace": at(30), "AWAY manual": {}, "AWAY manual in grace": at(30),
		"AWAY automatic": {}, "AWAY automatic, grace": at(30), "OFFLINE": {}, "OFFLINE, never present": {},
	} {
		require.Equal(t, want, presenceSituations[situation].Deadline(testLimits), situation)
	}
}

// What happens must not depend on whether the timer was punctual.
func TestGraceEndsWithoutItsTick(t *testing.T) {
	t.Parallel()
	state, effect := DecidePresence(presenceSituations["ONLINE in grace"], SocketOpened{at(31)}, testLimits)
	require.Equal(t, PresenceState{Sockets: 1, LastSeen: at(31)}, state)
	require.Equal(t, PresenceEffect{Release: at(0)}, effect, "released, though nobody saw OFFLINE")

	state, effect = DecidePresence(presenceSituations["AWAY manual in grace"], SocketOpened{at(31)}, testLimits)
	require.Equal(t, Online, state.Status(), "a first socket again")
	require.True(t, effect.Changed)

	_, effect = DecidePresence(presenceSituations["ONLINE in grace"], AgentSuspended{at(31)}, testLimits)
	require.Equal(t, at(31), effect.Release, "a suspension releases what was taken since, too")
}

func TestPresenceOfLateNews(t *testing.T) {
	t.Parallel()
	s := PresenceState{Sockets: 1, LastSeen: at(60)}
	s, _ = DecidePresence(s, Heartbeat{at(10)}, testLimits)
	require.Equal(t, at(60), s.LastSeen, "the last sign of life never goes back")
}

func TestRecoveredPresence(t *testing.T) {
	t.Parallel()
	for _, shown := range []Presence{Online, Away} {
		s := RecoveredPresence(shown, at(-600), at(0))
		require.Equal(t, shown, s.Status(), "shown unchanged")
		require.Equal(t, at(30), s.Deadline(testLimits), "grace counts from when sockets are accepted again")
		back, effect := DecidePresence(s, SocketOpened{at(29)}, testLimits)
		require.Zero(t, effect)
		back, _ = DecidePresence(back, Heartbeat{at(30)}, testLimits)
		require.Equal(t, Online, back.Status())
		gone, effect := DecidePresence(s, PresenceTick{at(30)}, testLimits)
		require.Equal(t, Offline, gone.Status())
		require.Equal(t, PresenceEffect{Changed: true, Release: at(0)}, effect)
	}
	offline := RecoveredPresence(Offline, at(-600), at(0))
	require.Equal(t, Offline, offline.Status())
	require.Zero(t, offline.Deadline(testLimits), "an agent without sockets has no grace")
}

// Any events, in the order of time or a little out of it.
func TestPresenceInvariants(t *testing.T) {
	t.Parallel()
	rapid.Check(t, func(t *rapid.T) {
		var s PresenceState
		now := testStart
		for i := range rapid.IntRange(1, 60).Draw(t, "events") {
			now = now.Add(time.Duration(rapid.IntRange(-2, 40).Draw(t, "seconds")) * time.Second)
			event := rapid.SampledFrom([]PresenceEvent{
				SocketOpened{now}, SocketOpened{now}, SocketClosed{now}, SocketClosed{now}, PresenceSet{now, Online},
				PresenceSet{now, Away}, Heartbeat{now}, PresenceTick{now}, SessionsRevoked{now, 0}, SessionsRevoked{now, 1},
				AgentSuspended{now},
			}).Draw(t, "event")
			before := s
			next, effect := DecidePresence(s, event, testLimits)
			again, effectAgain := DecidePresence(s, event, testLimits)
			require.Equal(t, next, again)
			require.Equal(t, effect, effectAgain)
			s = next
			where := fmt.Sprintf("event %d: %T", i, event)
			require.GreaterOrEqual(t, s.Sockets, 0, where)
			require.Equal(t, effect.Changed, s.Status() != before.Status(), where)
			require.False(t, s.Sockets > 0 && !s.LostAt.IsZero(), "%s: grace is for those without sockets", where)
			require.False(t, s.ManualAway && s.AutoAway, where)
			require.False(t, s.LastSeen.Before(before.LastSeen), where)
			if s.Status() == Offline {
				require.Equal(t, PresenceState{LastSeen: s.LastSeen}, s, "%s: OFFLINE keeps nothing else", where)
				require.True(t, before.Status() == Offline || !effect.Release.IsZero(), "%s: to OFFLINE is to release", where)
			}
			if due := s.Deadline(testLimits); !due.IsZero() {
				after, _ := DecidePresence(s, PresenceTick{due}, testLimits)
				require.NotEqual(t, s.Status(), after.Status(), "%s: a deadline means a change", where)
			}
		}
	})
}
