package domain

import "slices"

// This file decides about the files that customers' messages bring: the
// platform keeps them only for a while, so each is fetched.

// MediaSettled says what became of a file of a message: it is here, or it is
// not to be had.
type MediaSettled struct {
	File    Attachment // of one that failed, the key and the message alone
	Failure FileFailure
}

// FileFailure is the stable name of why a file couldn't be had; empty: it is
// here.
type FileFailure string

// Why a file couldn't be had.
const (
	FileTooLarge    FileFailure = "too_large"
	FileWrongType   FileFailure = "wrong_type"
	FileExpired     FileFailure = "expired"       // the platform doesn't have it any more
	FileForbidden   FileFailure = "forbidden"     // its address isn't one of the platform's
	FileDamaged     FileFailure = "damaged"       // what came isn't what was announced
	FileUnavailable FileFailure = "not_available" // the platform didn't give it, however often it was asked
)

func (MediaSettled) command() {}

// expectMedia gives each file of a message that is to be fetched its id. The
// files are the command's, which may be decided again: they are copied.
func (d *decision) expectMedia(files []Media) []Media {
	if len(files) == 0 {
		return files
	}
	files = slices.Clone(files)
	for i := range files {
		if files[i].ID != "" || files[i].URL != "" {
			files[i].Attachment = AttachmentID(d.newID())
		}
	}
	return files
}

// mediaSettled notes on the message what became of its file. Said again it
// changes nothing: what a file has come to is final.
func (d *decision) mediaSettled(cmd MediaSettled) error {
	m, found := d.known.message(cmd.File.Message)
	if !found {
		return ErrNoTarget
	}
	at := slices.IndexFunc(m.Metadata.Media, func(f Media) bool { return f.Attachment == cmd.File.Attachment })
	if at < 0 {
		return ErrNoTarget
	}
	if m.Metadata.Media[at].State != "" {
		return nil
	}
	files := slices.Clone(m.Metadata.Media)
	file := &files[at]
	settled := cmd.File
	settled.Organization = d.c.Organization // whoever asks: a file is its conversation's
	if file.State, file.Failure = AttachmentStored, cmd.Failure; cmd.Failure != "" {
		file.State = AttachmentFailed
	} else if m.Attachment.IsZero() {
		m.Attachment, m.MediaType = settled.Attachment, settled.MimeType
	}
	m.Metadata.Media = files
	d.change.Files = append(d.change.Files, SettledFile{Attachment: settled, State: file.State})
	d.update(m)
	return nil
}

// SettledFile is a file and what it has come to.
type SettledFile struct {
	Attachment
	State AttachmentState
}
