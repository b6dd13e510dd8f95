package main

import (
	"context"
	"crypto/x509"
	"io"
	"time"

	"github.com/chatopshub/chatopshub/actors"
	"github.com/chatopshub/chatopshub/domain"
	"github.com/chatopshub/chatopshub/jobs"
	"github.com/chatopshub/chatopshub/persistence"
	"github.com/chatopshub/chatopshub/transport/auth"
	"github.com/chatopshub/chatopshub/transport/graph"
)

// surroundings is what end-to-end tests replace. The zero value is the real
// world, and no variable sets any of it.
type surroundings struct {
	platformCAs *x509.CertPool // who vouches for the Graph API; nil: the system's
	jobPause    time.Duration  // before a job that failed is tried again; 0: the default
}

// jobConns is how many connections the jobs' queue has: one listens, the others
// fetch and settle jobs. None is held while a job works.
const jobConns = 4

// openFiles has the folder of files and what makes their addresses.
func (p *program) openFiles(context.Context) error {
	blobs, err := persistence.OpenBlobs(p.cfg.Storage.Path, time.Now())
	if err != nil {
		return err
	}
	p.onClose("files", func(context.Context) error { return blobs.Close() })
	p.blobs = blobs
	p.links = &auth.FileLinks{
		Key: auth.DeriveKey([]byte(p.cfg.Auth.Secret), auth.FileLinkLabel), Base: p.cfg.HTTP.PublicURL, Now: time.Now,
	}
	return nil
}

// link is the address of a file for agents' pages.
func (p *program) link(file domain.AttachmentID) string { return p.links.Link(file, auth.ShownFor) }

// linkedPublisher puts addresses of files into what agents are told.
type linkedPublisher struct {
	to   actors.Publisher
	link domain.Linker
}

// Publish implements actors.Publisher. The notices are the change's: they stay
// as they are.
func (l linkedPublisher) Publish(organization domain.OrganizationID, notices []domain.Notice) {
	linked := make([]domain.Notice, len(notices))
	for i, n := range notices {
		linked[i] = n.Linked(l.link)
	}
	l.to.Publish(organization, linked)
}

// openPlatform makes the client of the Graph API; it connects to nothing.
func (p *program) openPlatform(context.Context) error {
	client, err := graph.New(graph.Config{
		BaseURL: p.cfg.Meta.GraphURL, Version: p.cfg.Meta.GraphVersion, RootCAs: p.around.platformCAs,
	})
	if err != nil {
		return err
	}
	p.onClose("platform", func(context.Context) error { client.Close(); return nil })
	p.graph = client
	return nil
}

// openJobs begins the work in the background. It tells conversations, and reads
// and writes files, so it ends before them: after it nobody would tell a
// conversation that its file is here, and the file would be fetched again.
func (p *program) openJobs(ctx context.Context) error {
	pool, err := persistence.OpenPool(ctx, persistence.Config{
		URL: p.database, MaxConns: jobConns, StatementTimeout: 30 * time.Second,
	}, "chatopshub jobs")
	if err != nil {
		return err
	}
	p.onClose("jobs' connections", func(context.Context) error { pool.Close(); return nil })
	logger := p.logger.With("part", "jobs")
	client, err := jobs.New(jobs.Config{Pool: pool, Logger: logger}, jobs.NewMedia(jobs.MediaConfig{
		Files: p.store.attachments, Store: p.blobs, Platform: &mediaPlatform{p.graph}, Credentials: p.store.registry,
		Inbox: p.actors.inbox, Logger: logger, Now: time.Now, Pause: p.around.jobPause,
	}))
	if err != nil {
		return err
	}
	p.keep("jobs", client.Run)
	return nil
}

// mediaPlatform gives jobs the files that customers send.
type mediaPlatform struct{ client *graph.Client }

// LookUp implements jobs.Platform.
func (m *mediaPlatform) LookUp(ctx context.Context, as domain.Credentials, mediaID string) (domain.RemoteFile, error) {
	media, err := m.client.LookUpMedia(ctx, accountOf(as), mediaID)
	return domain.RemoteFile{URL: media.URL, SHA256: media.SHA256, Size: media.Size}, err
}

// Download implements jobs.Platform.
func (m *mediaPlatform) Download(ctx context.Context, as domain.Credentials, url string, limit int64) (io.ReadCloser, error) {
	download, err := m.client.Download(ctx, accountOf(as), url, limit)
	if err != nil {
		return nil, err
	}
	return download.Body, nil
}

// accountOf is a channel as its platform knows it.
func accountOf(as domain.Credentials) graph.Account {
	return graph.Account{Provider: as.Channel.Provider, ID: as.Channel.ExternalID, Token: graph.Secret(as.Token)}
}
