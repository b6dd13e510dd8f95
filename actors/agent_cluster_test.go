package actors

import (
	"testing"
	"testing/synctest"
	"time"

	"github.com/stretchr/testify/require"

	"github.com/chatopshub/chatopshub/domain"
)

func TestSocketsOnThreeNodesAreOneAgent(t *testing.T) {
	t.Parallel()
	inBranches(t, func(t *testing.T, bs *branches) {
		for _, addr := range bs.nodes {
			bs.offices[addr].open(t, "tab "+addr)
		}
		require.Equal(t, domain.Online, bs.status())
		require.Equal(t, 1, bs.actors())
		require.Equal(t, []domain.UserID{bs.any().ada}, bs.roster().Available(bs.any().org))
		require.NoError(t, bs.offices["b"].SetPresence(bs.any().tab("tab b"), domain.Away))
		require.Equal(t, domain.Away, bs.status())
		bs.offices["a"].shut("tab a")
		bs.offices["c"].shut("tab c")
		<-time.After(time.Minute)
		require.Equal(t, domain.Away, bs.status())
		lost := time.Now()
		bs.offices["b"].shut("tab b")
		<-time.After(testGrace + time.Second)
		require.Equal(t, domain.Offline, bs.status())
		require.Equal(t, []string{"ONLINE", "AWAY", graceOver, "OFFLINE"}, bs.journal.all())
		require.True(t, lost.Equal(bs.journal.releases()[0].TakenBy))
		require.Zero(t, bs.actors())
	}, "a", "b", "c")
}

// TestDrainedOwnerTakesNothingAway moves an agent's actor from node to node,
// while tabs come and go.
func TestDrainedOwnerTakesNothingAway(t *testing.T) {
	t.Parallel()
	inBranches(t, func(t *testing.T, bs *branches) {
		bs.any().open(t, "tab")
		require.NoError(t, bs.any().SetPresence(bs.any().tab("tab"), domain.Away))
		synctest.Wait()
		for round := range 12 {
			home := bs.home()
			name := "tab " + string(rune('A'+round))
			bs.other(home).open(t, name)
			bs.drain(home)
			bs.any().Heartbeat(bs.any().tab("tab"))
			bs.offices["d"].open(t, "second "+name)
			require.Equal(t, domain.Away, bs.status())
			for _, b := range bs.offices {
				b.shut(name, "second "+name)
			}
			<-time.After(time.Duration(round) * 5 * time.Second)
			bs.change(testView{Nodes: append(bs.without(home), home.home())})
			require.Equal(t, domain.Away, bs.status())
			require.Equal(t, 1, bs.actors())
		}
		require.Equal(t, []string{"ONLINE", "AWAY"}, bs.journal.all())
		require.Len(t, bs.home().rows.stored, 25)
	}, "a", "b", "c", "d")
}

func TestGraceGoesOnElsewhere(t *testing.T) {
	t.Parallel()
	inBranches(t, func(t *testing.T, bs *branches) {
		bs.any().open(t, "tab")
		lost := time.Now()
		bs.any().shut("tab")
		<-time.After(10 * time.Second)
		was := bs.home()
		bs.drain(was)
		<-time.After(testGrace - 11*time.Second)
		require.Equal(t, domain.Online, bs.status())
		require.NotEqual(t, was.home(), bs.home().home())
		require.Equal(t, []string{"ONLINE"}, bs.journal.all())
		<-time.After(1200 * time.Millisecond)
		require.Equal(t, domain.Offline, bs.status())
		require.Equal(t, []string{"ONLINE", graceOver, "OFFLINE"}, bs.journal.all())
		require.True(t, lost.Equal(bs.journal.releases()[0].TakenBy))
		require.Equal(t, domain.Offline, bs.rows.of("tab").Status)
	}, "a", "b", "c")
}

// TestLogoutEndsAGraceThatMoved: every node hears of it, and one minds.
func TestLogoutEndsAGraceThatMoved(t *testing.T) {
	t.Parallel()
	inBranches(t, func(t *testing.T, bs *branches) {
		bs.any().open(t, "tab")
		bs.any().shut("tab")
		<-time.After(time.Second)
		was := bs.home()
		bs.drain(was)
		<-time.After(time.Second)
		for _, b := range bs.offices {
			b.endLogin("tab")
		}
		<-time.After(time.Second)
		require.Equal(t, []string{"ONLINE", "AGENT_DISCONNECTED session_revoked", "OFFLINE"}, bs.journal.all())
		for _, b := range bs.offices {
			b.inGrace.Range(func(any, any) bool { t.Error("a login is remembered"); return true })
		}
	}, "a", "b", "c")
}

func TestSuspensionIsHeardOfThreeTimes(t *testing.T) {
	t.Parallel()
	inBranches(t, func(t *testing.T, bs *branches) {
		bs.journal.held = true
		bs.any().open(t, "tab")
		synctest.Wait()
		for _, b := range bs.offices {
			b.CloseAgent(b.org, b.ada)
		}
		bs.any().Disconnected(bs.any().tab("tab"), true)
		require.Equal(t, []string{"ONLINE", "RELEASED suspended"}, bs.journal.all())
		was := bs.home()
		bs.drain(was)
		<-time.After(time.Second)
		require.Equal(t, 1, was.directory.Len(), "it stays until it has released")
		bs.journal.finish()
		<-time.After(time.Second)
		require.Equal(t, []string{"ONLINE", "RELEASED suspended", "OFFLINE"}, bs.journal.all())
		require.Zero(t, bs.actors())
	}, "a", "b", "c")
}

// TestRevokedSocketElsewhereHasEnded: its row may not say so yet.
func TestRevokedSocketElsewhereHasEnded(t *testing.T) {
	t.Parallel()
	inBranches(t, func(t *testing.T, bs *branches) {
		home := bs.home()
		bs.other(home).open(t, "far")
		home.open(t, "near")
		synctest.Wait()
		bs.other(home).Disconnected(home.tab("far"), true)
		synctest.Wait()
		home.Disconnected(home.tab("near"), true)
		require.Equal(t, []string{"far"}, bs.journal.releases()[0].Ended)
	}, "a", "b", "c")
}

func TestKilledOwnerIsMadeGoodByAnnouncements(t *testing.T) {
	t.Parallel()
	inBranches(t, func(t *testing.T, bs *branches) {
		home := bs.home()
		left := bs.other(home)
		left.open(t, "tab")
		bs.other(home, left).open(t, "tab 2")
		require.NoError(t, left.SetPresence(left.tab("tab"), domain.Away))
		require.Equal(t, domain.Away, bs.status())
		bs.kill(home)
		<-time.After(time.Second)
		require.Equal(t, domain.Away, bs.status(), "by choice, which is remembered where it was made")
		require.Equal(t, 1, bs.actors())
		left.shut("tab")
		<-time.After(2 * time.Minute)
		require.Equal(t, domain.Away, bs.status())
		bs.other(left).shut("tab 2")
		<-time.After(testGrace + time.Second)
		require.Equal(t, domain.Offline, bs.status())
		require.Len(t, bs.journal.releases(), 1)
	}, "a", "b", "c")
}

// TestSocketsDieWithTheirNode: the actor is elsewhere, and the agent doesn't
// come back.
func TestSocketsDieWithTheirNode(t *testing.T) {
	t.Parallel()
	for name, reconciled := range map[string]bool{"without conversations": false, "with conversations": true} {
		t.Run(name, func(t *testing.T) {
			t.Parallel()
			inBranches(t, func(t *testing.T, bs *branches) {
				home := bs.home()
				dies := bs.other(home)
				dies.open(t, "tab")
				require.Equal(t, domain.Online, bs.status())
				bs.kill(dies)
				died := time.Now()
				limit := unreachedMax + announceEvery + testGrace + time.Second
				if reconciled {
					l := &ledgerOfAbsence{}
					l.set(nil, home.lost(domain.Online, died))
					for _, addr := range bs.view.Nodes {
						defer bs.offices[addr].reconciling(t, l)()
					}
					limit = testGrace + 2*ReconcileEvery
				}
				for bs.status() != domain.Offline {
					require.Less(t, time.Since(died), limit)
					<-time.After(time.Second)
				}
				require.Equal(t, []string{"ONLINE", graceOver, "OFFLINE"}, bs.journal.all()[:3])
				require.True(t, bs.rows.of("tab").EndedAt.IsZero(), "that is for who knows of the node's death")
				require.Empty(t, bs.journal.releases()[0].Ended)
			}, "a", "b", "c")
		})
	}
}

// TestActorAndSocketsDieTogether: nobody is left who knows of the agent, but the
// roster.
func TestActorAndSocketsDieTogether(t *testing.T) {
	t.Parallel()
	inBranches(t, func(t *testing.T, bs *branches) {
		home := bs.home()
		for n := byte(0); bs.roster() == home; n++ { // an organization elsewhere
			for _, b := range bs.offices {
				b.org[15] = n
			}
		}
		home.open(t, "tab")
		require.Equal(t, domain.Online, bs.status())
		bs.kill(home)
		require.Equal(t, domain.Online, bs.status(), "the client may be on its way")
		<-time.After(rosterPatience + announceEvery + time.Second)
		require.Equal(t, domain.Offline, bs.status())
		require.Equal(t, []string{"ONLINE", "OFFLINE"}, bs.journal.all())
		require.Zero(t, bs.actors())
	}, "a", "b", "c")
}

// TestGhostsEnd: a connection that the actor believes in, and that isn't there.
func TestGhostsEnd(t *testing.T) {
	t.Parallel()
	for name, haunt := range map[string]func(bs *branches, b *branch){
		"its end was lost": func(bs *branches, b *branch) {
			n := bs.net.nodes[b.Agents.home()]
			n.cutTo(bs.home().home(), true)
			b.shut("tab")
			n.cutTo(bs.home().home(), false)
		},
		"its end came first": func(bs *branches, b *branch) {
			b.shut("tab")
			synctest.Wait()
			require.NoError(bs.t, b.directory.Tell(b.ada, connected{b.tab("tab"), time.Now(), b.home()}))
		},
	} {
		t.Run(name, func(t *testing.T) {
			t.Parallel()
			inBranches(t, func(t *testing.T, bs *branches) {
				b := bs.other(bs.home())
				b.open(t, "tab")
				require.Equal(t, domain.Online, bs.status())
				haunt(bs, b)
				<-time.After(unheardMax - announceEvery)
				require.Equal(t, domain.Online, bs.status())
				<-time.After(2*announceEvery + testGrace)
				require.Equal(t, domain.Offline, bs.status())
				require.False(t, bs.rows.of("tab").EndedAt.IsZero())
				require.Equal(t, []string{"ONLINE", graceOver, "OFFLINE"}, bs.journal.all())
			}, "a", "b", "c")
		})
	}
}

// TestCutLinkIsMadeGood: what was lost is announced, and nobody who is there
// appears to have gone.
func TestCutLinkIsMadeGood(t *testing.T) {
	t.Parallel()
	inBranches(t, func(t *testing.T, bs *branches) {
		home := bs.home()
		b := bs.other(home)
		n := bs.net.nodes[b.home()]
		b.open(t, "tab 1")
		require.Equal(t, domain.Online, bs.status())
		n.cutTo(home.home(), true)
		require.ErrorIs(t, b.Connected(b.tab("tab 2")), domain.ErrUnavailable)
		<-time.After(20 * time.Second)
		n.cutTo(home.home(), false)
		<-time.After(announceEvery + time.Second)
		b.shut("tab 1")
		<-time.After(testGrace + time.Second)
		require.Equal(t, domain.Online, bs.status(), "the second tab is known")
		require.Equal(t, []string{"ONLINE"}, bs.journal.all())
	}, "a", "b", "c")
}

// TestLostChoiceIsMadeGood: it was acknowledged, and didn't arrive.
func TestLostChoiceIsMadeGood(t *testing.T) {
	t.Parallel()
	inBranches(t, func(t *testing.T, bs *branches) {
		b := bs.other(bs.home())
		b.open(t, "tab")
		require.Equal(t, domain.Online, bs.status())
		b.announcer.chosen(b.tab("tab"), domain.Away, time.Now())
		bs.net.nodes[b.Agents.home()].lost(bs.home().home())
		<-time.After(time.Second)
		require.Equal(t, domain.Away, bs.status())
		require.NoError(t, b.SetPresence(b.tab("tab"), domain.Online))
		<-time.After(announceEvery + time.Second)
		require.Equal(t, []string{"ONLINE", "AWAY", "ONLINE"}, bs.journal.all())
	}, "a", "b", "c")
}

// TestNobodyElsesAbsence: each node's reconciler tells the agents that the node
// owns.
func TestNobodyElsesAbsence(t *testing.T) {
	t.Parallel()
	inBranches(t, func(t *testing.T, bs *branches) {
		l := &ledgerOfAbsence{}
		l.set(nil, bs.any().lost(domain.Online, time.Now()))
		for _, b := range bs.offices {
			require.NoError(t, b.reconcile(t.Context(), l, time.Now()))
		}
		require.Equal(t, 1, bs.actors())
		require.Equal(t, domain.Online, bs.status())
		<-time.After(testGrace + time.Second)
		require.Equal(t, []string{"ONLINE", graceOver, "OFFLINE"}, bs.journal.all())
	}, "a", "b", "c")
}

// TestANodeThatCouldNotSaySoIsntTaken: the database knows of no connection, as
// the node that has it couldn't say that it runs.
func TestRowsOfTheLivingAreStoredAgain(t *testing.T) {
	t.Parallel()
	inBranches(t, func(t *testing.T, bs *branches) {
		b := bs.other(bs.home())
		b.open(t, "tab")
		require.Equal(t, domain.Online, bs.status())
		s := bs.rows.of("tab")
		s.EndedAt = time.Now()
		bs.rows.put(s)
		l := &ledgerOfAbsence{}
		l.set(nil, b.lost(domain.Online, time.Now()))
		require.NoError(t, bs.home().reconcile(t.Context(), l, time.Now()))
		require.True(t, bs.rows.of("tab").EndedAt.IsZero())
		<-time.After(time.Minute)
		require.Equal(t, []string{"ONLINE"}, bs.journal.all())
	}, "a", "b", "c")
}
