package main

import (
	"context"
	"crypto/x509"
	"errors"
	"fmt"
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

// checkFolder proves that this node of a cluster has the folder of files that
// the others have.
func (p *program) checkFolder(ctx context.Context) error {
	if p.cfg.Cluster.Addr == "" {
		return nil
	}
	err := p.blobs.CheckShared(ctx, p.store.reads)
	if errors.Is(err, persistence.ErrOtherFolder) {
		return fmt.Errorf("STORAGE_PATH: got %s, takes the folder that all nodes share, mounted on each: %w", quote(p.cfg.Storage.Path), err)
	}
	return err
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
	media := jobs.NewMedia(jobs.MediaConfig{
		Files: p.store.attachments, Store: p.blobs, Platform: mediaPlatform{p.platform}, Credentials: p.store.registry,
		Inbox: p.actors.inbox, Logger: logger, Now: time.Now, Pause: p.around.jobPause,
	})
	client, err := jobs.New(jobs.Config{Pool: pool, Logger: logger, Registerer: p.metrics, Now: time.Now}, media, p.upkeep(logger))
	if err != nil {
		return err
	}
	p.keep("jobs", client.Run)
	return nil
}

// mediaPlatform gives jobs the files that customers send.
type mediaPlatform struct{ *platform }

// LookUp implements jobs.Platform.
func (m mediaPlatform) LookUp(ctx context.Context, as domain.Credentials, mediaID string) (domain.RemoteFile, error) {
	media, err := m.client.LookUpMedia(ctx, accountOf(as), mediaID)
	return domain.RemoteFile{URL: media.URL, SHA256: media.SHA256, Size: media.Size}, err
}

// Download implements jobs.Platform.
func (m mediaPlatform) Download(ctx context.Context, as domain.Credentials, url string, limit int64) (io.ReadCloser, error) {
	download, err := m.client.Download(ctx, accountOf(as), url, limit)
	if err != nil {
		return nil, err
	}
	return download.Body, nil
}

// bring uploads a file of ours to the platform that it is sent by. Nothing has
// been sent then, so whatever fails may be tried again.
func (p *platform) bring(ctx context.Context, as graph.Account, ch domain.Channel, content domain.Content) (*domain.File, error) {
	file := *content.File
	stored, err := p.attachments.Get(ctx, ch.Organization, file.Attachment)
	if err != nil {
		return nil, unbrought(err)
	}
	data, err := p.blobs.Open(ctx, stored.FileKey)
	if err != nil {
		return nil, unbrought(err)
	}
	defer data.Close()
	id, err := p.client.Upload(ctx, as, graph.Upload{
		Type: content.Type, Name: stored.Name, MimeType: stored.MimeType, Size: stored.Size, Data: data,
	})
	if err != nil {
		return nil, err
	}
	return &domain.File{ID: id, Name: stored.Name, MimeType: stored.MimeType, Size: stored.Size}, nil
}

// unbrought is why a message can't go out whose file we can't read.
func unbrought(err error) error {
	if errors.Is(err, domain.ErrNotFound) {
		return &domain.CallError{Class: domain.FailurePermanent, Code: domain.CallUnsendable, Text: "the file isn't there any more", Cause: err}
	}
	return &domain.CallError{Class: domain.FailureTransient, Code: domain.CallNotReached, Text: "the file can't be read", Cause: err}
}
