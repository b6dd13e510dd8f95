package main

import (
	"context"
	"log/slog"
	"time"

	"github.com/chatopshub/chatopshub/jobs"
	"github.com/chatopshub/chatopshub/persistence"
)

// upkeep is what is done at fixed times.
func (p *program) upkeep(logger *slog.Logger) *jobs.Upkeep {
	retention := time.Duration(p.cfg.Inbox.RetentionDays) * 24 * time.Hour
	return jobs.NewUpkeep(jobs.UpkeepConfig{
		Figures: p.store.figures, Erasures: p.store.erasures, Logger: logger, Now: time.Now,
		Cleaner: cleaner{persistence.NewCleanup(p.store.reads, p.blobs, time.Now, retention)},
	})
}

// cleaner cleans up and says what it did.
type cleaner struct{ cleanup *persistence.Cleanup }

// Clean implements jobs.Cleaner.
func (c cleaner) Clean(ctx context.Context, logger *slog.Logger) error {
	done, err := c.cleanup.Run(ctx)
	logger.InfoContext(ctx, "cleaned up", "messages", done.Messages, "files", done.Files,
		"agentSessions", done.AgentSessions, "sessions", done.Sessions, "deadLetters", done.DeadLetters)
	return err
}
