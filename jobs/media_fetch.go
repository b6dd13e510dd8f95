package jobs

import (
	"bytes"
	"context"
	"errors"
	"fmt"
	"time"

	"github.com/chatopshub/chatopshub/domain"
)

// fetch brings a file from its platform into the store.
func (m *Media) fetch(ctx context.Context, file domain.PendingFile) (domain.FileFacts, error) {
	as, err := m.cfg.Credentials.Credentials(file.Channel)
	if errors.Is(err, domain.ErrNotFound) {
		return domain.FileFacts{}, fmt.Errorf("its channel is gone: %w", domain.ErrFileGone)
	}
	if err != nil {
		return domain.FileFacts{}, err
	}
	announced := domain.Digest(file.Source.SHA256)
	if file.Source.URL != "" {
		facts, err := m.download(ctx, as, file, file.Source.URL, announced)
		if !errors.Is(err, domain.ErrFileGone) || file.Source.ID == "" {
			return facts, err
		}
	}
	if file.Source.ID == "" {
		return domain.FileFacts{}, domain.ErrFileGone
	}
	remote, err := m.cfg.Platform.LookUp(ctx, as, file.Source.ID)
	if err != nil {
		return domain.FileFacts{}, fmt.Errorf("look up the file: %w", err)
	}
	if remote.Size > domain.MaxFile {
		return domain.FileFacts{}, fmt.Errorf("the platform tells of %d bytes: %w", remote.Size, domain.ErrFileTooLarge)
	}
	if announced == nil {
		announced = remote.SHA256
	}
	return m.download(ctx, as, file, remote.URL, announced)
}

func (m *Media) download(ctx context.Context, as domain.Credentials, file domain.PendingFile, url string, announced []byte) (domain.FileFacts, error) {
	content, err := m.cfg.Platform.Download(ctx, as, url, domain.MaxFile)
	if err != nil {
		return domain.FileFacts{}, err
	}
	defer content.Close()
	facts, err := m.cfg.Store.Put(ctx, file.FileKey, content, domain.InboundFileLimit(as.Channel.Provider, file.Type))
	if err != nil {
		return facts, err
	}
	if announced != nil && !bytes.Equal(announced, facts.SHA256) {
		return facts, errors.Join(domain.ErrFileDamaged, m.cfg.Store.Delete(ctx, file.FileKey))
	}
	return facts, nil
}

// verdict is what follows from an attempt: a failure that is final, another
// attempt, or one after a pause that costs none. The zero verdict: it is here.
type verdict struct {
	failure domain.FileFailure
	again   bool
	pause   time.Duration
}

// judge says what follows from err. last: there is no further attempt; over: the
// platform doesn't keep the file any longer.
func judge(err error, last, over bool) verdict {
	retry := func(failure domain.FileFailure) verdict {
		if last {
			return verdict{failure: failure}
		}
		return verdict{again: true}
	}
	var call *domain.CallError
	switch {
	case err == nil:
		return verdict{}
	case errors.Is(err, domain.ErrFileTooLarge):
		return verdict{failure: domain.FileTooLarge}
	case errors.Is(err, domain.ErrFileType):
		return verdict{failure: domain.FileWrongType}
	case errors.Is(err, domain.ErrFileForbidden):
		return verdict{failure: domain.FileForbidden}
	case errors.Is(err, domain.ErrFileGone):
		return retry(domain.FileExpired)
	case errors.Is(err, domain.ErrFileDamaged):
		return retry(domain.FileDamaged)
	case errors.As(err, &call):
		return judgeCall(call, retry, over)
	case errors.Is(err, context.DeadlineExceeded): // the transfer took too long
		return retry(domain.FileUnavailable)
	}
	return verdict{pause: pauseOurs} // disk, database: not the file's fault
}

func judgeCall(call *domain.CallError, retry func(domain.FileFailure) verdict, over bool) verdict {
	pause := time.Duration(0)
	switch {
	case call.Code == "100": // an id that the platform doesn't know any more, or doesn't show to us
		return retry(domain.FileExpired)
	case call.Class.Throttled():
		pause = max(call.RetryAfter, pauseThrottle)
	case call.Class == domain.FailureChannel:
		pause = pauseChannel
	default:
		return retry(domain.FileUnavailable)
	}
	if over {
		return verdict{failure: domain.FileUnavailable}
	}
	return verdict{pause: pause}
}
