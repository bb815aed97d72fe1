package preserve

import (
	"context"
	"crypto/ed25519"
	"crypto/rand"
	"crypto/sha256"
	"errors"
	"fmt"
	"io"
	"os"
	"path/filepath"

	"postern/internal/bundle"
)

func bytesRead(n int64) string { return fmt.Sprintf("%d bytes read", n) }

// seal finishes the bundle and gives it its name. Until then nothing claims that it
// is whole; when writing fails here, the next run seals it again.
func (s *state) seal(ctx context.Context) (*Result, error) {
	key := s.opt.Key
	if key == nil {
		var err error
		if _, key, err = ed25519.GenerateKey(rand.Reader); err != nil {
			return nil, err
		}
	}
	r := &Result{Bundle: s.opt.Out, ID: s.id, Segments: s.totals.Segments, Files: s.totals.Files, Bytes: s.totals.Bytes,
		Troubles: s.totals.Troubles, Told: s.totals.Told, Resumed: s.resumed,
		PublicKey: bundle.PublicKey(key.Public().(ed25519.PublicKey))}
	err := s.settle()
	if err == nil {
		err = s.finish(ctx, key, r)
	}
	if err != nil {
		if ctx.Err() != nil {
			return nil, ctx.Err()
		}
		return nil, s.broken(err)
	}
	return r, nil
}

func (s *state) finish(ctx context.Context, key ed25519.PrivateKey, r *Result) error {
	if err := s.note("seal", fmt.Sprintf("%d files, %d bytes, %d segments", r.Files, r.Bytes, r.Segments)); err != nil {
		return err
	}
	if _, err := s.custody.Seek(0, io.SeekStart); err != nil {
		return err
	}
	custody, err := io.ReadAll(s.custody)
	if err != nil {
		return err
	}
	if err := s.part(bundle.CustodyPart, custody); err != nil {
		return err
	}
	seal, err := bundle.Encode(bundle.Seal{Schema: bundle.SealSchema, Bundle: s.id, Time: s.opt.Now().UTC(), Parts: s.parts,
		Custody: bundle.Hash(s.chain), Files: r.Files, Bytes: r.Bytes, Troubles: r.Troubles})
	if err != nil {
		return err
	}
	r.Seal = bundle.Hash(seal)
	if err := s.part(bundle.SealPart, seal); err != nil {
		return err
	}
	var stamp []byte
	if s.opt.Stamp != nil {
		if stamp, r.NoStamp = s.opt.Stamp(ctx, sha256.Sum256(seal)); r.NoStamp != nil {
			stamp = nil
		} else if err := s.part(bundle.TimestampPart, stamp); err != nil {
			return err
		}
	}
	if err := ctx.Err(); err != nil {
		return err
	}
	sig, err := bundle.Encode(bundle.Sign(key, seal, stamp))
	if err != nil {
		return err
	}
	if err := s.part(bundle.SignaturePart, sig); err != nil {
		return err
	}
	if _, err := s.bundle.WriteAt(make([]byte, bundle.EndLen), s.end); err != nil {
		return err
	}
	r.Size = s.end + bundle.EndLen
	return s.publish()
}

// publish gives the bundle its name. A file of that name that appeared meanwhile
// is not written over.
func (s *state) publish() error {
	if err := s.bundle.Sync(); err != nil {
		return err
	}
	err := errors.Join(s.bundle.Close(), s.journal.Close(), s.custody.Close())
	s.bundle, s.journal, s.custody = nil, nil, nil
	if err != nil {
		return err
	}
	if _, err := os.Lstat(s.opt.Out); err == nil {
		return fmt.Errorf("%s: %w", s.opt.Out, ErrExists)
	}
	if err := os.Rename(filepath.Join(s.dir, bundleName), s.opt.Out); err != nil {
		return err
	}
	syncFolder(filepath.Dir(s.opt.Out))
	s.unlock() // Windows removes no file that is open
	// What is left are names of files and what was done; a folder that stays hurts nobody.
	_ = os.RemoveAll(s.dir)
	return nil
}
