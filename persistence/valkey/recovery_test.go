package valkey

import (
	"bytes"
	"log/slog"
	"testing"
	"time"

	"github.com/alicebob/miniredis/v2"
	"github.com/redis/go-redis/v9"
	"github.com/stretchr/testify/require"

	"github.com/chatopshub/chatopshub/domain"
)

var lostSocket = domain.RecoveryKey{
	PID: "a-secret", Organization: domain.OrganizationID{1}, User: domain.UserID{2}, Session: domain.SessionID{3},
}

var lostRecord = domain.RecoveryRecord{SID: "public", Rooms: []domain.RoomSince{{Room: "org:1"}, {Room: "conversation:2", Since: 17}}}

func newRecoveries(t *testing.T, addr string, log *slog.Logger) *Recoveries {
	client := redis.NewClient(&redis.Options{Addr: addr, ContextTimeoutEnabled: true, MaxRetries: -1})
	t.Cleanup(func() { require.NoError(t, client.Close()) })
	r := NewRecoveries(client, log, time.Now)
	r.patience = 10 * time.Second // the machine may be busy
	return r
}

func TestRecoveryIsTakenOnceByItsOwner(t *testing.T) {
	t.Parallel()
	server := miniredis.RunT(t)
	here, there := newRecoveries(t, server.Addr(), slog.New(slog.DiscardHandler)), newRecoveries(t, server.Addr(), slog.New(slog.DiscardHandler))
	here.Save(t.Context(), lostSocket, lostRecord, time.Minute)
	for _, key := range server.Keys() {
		require.NotContains(t, key, lostSocket.PID)
	}
	for _, change := range []func(*domain.RecoveryKey){
		func(k *domain.RecoveryKey) { k.PID = "a-secreT" },
		func(k *domain.RecoveryKey) { k.Organization[0]++ },
		func(k *domain.RecoveryKey) { k.User[0]++ },
		func(k *domain.RecoveryKey) { k.Session[0]++ },
	} {
		stranger := lostSocket
		change(&stranger)
		_, found := there.Take(t.Context(), stranger)
		require.False(t, found)
	}
	record, found := there.Take(t.Context(), lostSocket)
	require.True(t, found, "a stranger's try takes nothing away")
	require.Equal(t, lostRecord, record)
	_, found = here.Take(t.Context(), lostSocket)
	require.False(t, found, "once")

	here.Save(t.Context(), lostSocket, lostRecord, time.Minute)
	server.FastForward(time.Minute)
	_, found = here.Take(t.Context(), lostSocket)
	require.False(t, found, "too late")
}

func TestRecoveryWithoutValkey(t *testing.T) {
	t.Parallel()
	server := miniredis.RunT(t)
	var log bytes.Buffer
	r := newRecoveries(t, server.Addr(), slog.New(slog.NewTextHandler(&log, nil)))
	server.Close()
	r.Save(t.Context(), lostSocket, lostRecord, time.Minute)
	require.False(t, r.outage.over(), "not asked again at once")
	_, found := r.Take(t.Context(), lostSocket)
	require.False(t, found)
	require.Contains(t, log.String(), "start afresh")
	require.NotContains(t, log.String(), lostSocket.PID)
}

func TestRecoveryOfARecordThatIsNone(t *testing.T) {
	t.Parallel()
	server := miniredis.RunT(t)
	r := newRecoveries(t, server.Addr(), slog.New(slog.DiscardHandler))
	require.NoError(t, server.Set(recoveryName(lostSocket), "{"))
	_, found := r.Take(t.Context(), lostSocket)
	require.False(t, found)
}
