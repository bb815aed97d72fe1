package clean

import (
	"errors"
	"fmt"
	"io"
	"io/fs"
	"os"
	"path"
	"strconv"
	"syscall"
	"time"

	"postern"
)

// Lock keeps other runs away from the quarantine until it is released, at the latest
// by the system when the process ends.
func (k *Keeper) Lock() (release func(), err error) {
	f, err := k.Folder.OpenFile(lockName, os.O_RDWR|os.O_CREATE, 0o600)
	if err != nil {
		return nil, diskError(err)
	}
	if err := lock(f); err != nil {
		f.Close()
		return nil, refuse(err, postern.Say("clean.no.running"))
	}
	return func() { f.Close() }, nil
}

// Apply moves the files of a plan. What cannot be moved as it was planned is kept, and
// said in the manifest; an error is one of the quarantine itself, and what was moved
// before it is in the manifest too, which is nil only if nothing was.
func (k *Keeper) Apply(p *Plan, facts Facts) (*Manifest, error) {
	run, err := k.begin()
	if err != nil {
		return nil, diskError(err)
	}
	m := &Manifest{Facts: facts, Run: run, Created: k.Now().UTC(), Left: p.Left}
	for n, x := range p.Moves {
		m.Items = append(m.Items, &Item{N: n + 1, State: Planned, Kind: x.Kind, Path: x.Path, SHA256: x.SHA256, Size: x.Size,
			Level: x.Level, Rules: x.Rules, Findings: x.Findings, Stored: fmt.Sprintf("%05d-%.12s%s", n+1, x.SHA256, suffix)})
	}
	if err := k.save(m); err != nil {
		return nil, err
	}
	for _, i := range m.Items {
		err := k.put(m, i)
		var stop *halt
		var why *Refusal
		if !errors.As(err, &stop) && errors.As(err, &why) {
			i.State, i.Why = Kept, why.Why.Key
			m.Left = append(m.Left, Left{Path: i.Path, Kind: i.Kind, Why: why.Why})
			err = k.save(m)
		}
		if err != nil {
			return m, err
		}
	}
	return m, nil
}

// put moves one file into the quarantine. A Refusal leaves it where it was.
func (k *Keeper) put(m *Manifest, i *Item) error {
	dir, err := k.folderOf(i.Path)
	if err != nil {
		return err
	}
	defer dir.Close()
	name := path.Base(i.Path)
	info, err := k.check(dir, name, i)
	if err != nil {
		return err
	}
	i.note(info)
	if i.FolderModified, err = modified(dir); err != nil {
		return refuse(err, postern.Say("clean.left.unreadable", "reason", innermost(err)))
	}
	i.State, i.MovedAt = Moving, k.Now().UTC()
	if err := k.save(m); err != nil {
		i.State = Planned
		return err
	}
	box, err := k.Folder.OpenRoot(m.Run)
	if err != nil {
		return diskError(err)
	}
	defer box.Close()
	i.How = "rename"
	if err = k.at("move"); err == nil {
		err = rename(dir, name, box, i.Stored)
	}
	if err != nil && elsewhere(err) {
		i.How = "copy"
		err = k.carry(dir, name, box, i)
	}
	var stop *halt
	if errors.As(err, &stop) {
		return err
	}
	if err != nil {
		i.State, i.How, i.MovedAt = Planned, "", time.Time{}
		return moveError(err)
	}
	// Whoever held the file open can have written to it until now.
	if sum, err := hashOf(box, i.Stored); err != nil || sum != i.SHA256 {
		if back := rename(box, i.Stored, dir, name); back == nil {
			return refuse(err, postern.Say("clean.left.changed", "was", i.SHA256, "is", sum))
		}
		return &halt{fmt.Errorf("%s changed while it was moved and is now %s/%s: %w", i.Path, m.Run, i.Stored, errors.Join(err, errCopy))}
	}
	return k.settled(m, i, dir, box)
}

// settled finishes a move into the quarantine: the file cannot be opened by accident,
// its folder has the time that it had.
func (k *Keeper) settled(m *Manifest, i *Item, dir, box *os.Root) error {
	disarm(box, i.Stored)
	if dir != nil {
		_ = dir.Chtimes(".", time.Time{}, i.FolderModified) // it is evidence; the system may not permit it
		syncFolder(dir, ".")
	}
	syncFolder(box, ".")
	i.State = Moved
	return k.save(m)
}

// disarm takes all permissions away. Where that is not permitted the name alone keeps
// the file from being run.
func disarm(box *os.Root, name string) { _ = box.Chmod(name, 0) }

// folderOf opens the folder of a file, through no link.
func (k *Keeper) folderOf(name string) (*os.Root, error) {
	dir := path.Dir(name)
	if dir != "." {
		info, err := lookAt(k.Root, dir)
		if err != nil {
			return nil, fileError(err)
		}
		if !info.IsDir() {
			return nil, refuse(nil, postern.Say("clean.left.gone"))
		}
	}
	root, err := k.Root.OpenRoot(dir)
	if err != nil {
		return nil, fileError(err)
	}
	return root, nil
}

// check says what a file is like if it is still the one that was named.
func (k *Keeper) check(dir *os.Root, name string, i *Item) (fs.FileInfo, error) {
	info, err := lookAt(dir, name)
	if err != nil {
		return nil, fileError(err)
	}
	if !info.Mode().IsRegular() {
		return nil, refuse(nil, postern.Say("clean.left.special"))
	}
	sum, err := hashOf(dir, name)
	if err != nil {
		return nil, fileError(err)
	}
	if sum != i.SHA256 {
		return nil, refuse(nil, postern.Say("clean.left.changed", "was", i.SHA256, "is", sum))
	}
	return info, nil
}

// note keeps what a file is like, to put it back so.
func (i *Item) note(info fs.FileInfo) {
	i.Mode = strconv.FormatUint(uint64(modeBits(info.Mode())), 8)
	i.Modified = info.ModTime().UTC()
	i.describe(info)
}

// modeBits gives the bits of a mode as Unix writes them.
func modeBits(m fs.FileMode) uint32 {
	bits := uint32(m.Perm())
	for flag, bit := range map[fs.FileMode]uint32{fs.ModeSetuid: 0o4000, fs.ModeSetgid: 0o2000, fs.ModeSticky: 0o1000} {
		if m&flag != 0 {
			bits |= bit
		}
	}
	return bits
}

func (i *Item) fileMode() fs.FileMode {
	bits, err := strconv.ParseUint(i.Mode, 8, 16)
	if err != nil {
		return 0o600
	}
	m := fs.FileMode(bits & 0o777)
	for flag, bit := range map[fs.FileMode]uint64{fs.ModeSetuid: 0o4000, fs.ModeSetgid: 0o2000, fs.ModeSticky: 0o1000} {
		if bits&bit != 0 {
			m |= flag
		}
	}
	return m
}

func modified(dir *os.Root) (time.Time, error) {
	info, err := dir.Stat(".")
	if err != nil {
		return time.Time{}, err
	}
	return info.ModTime().UTC(), nil
}

// carry moves a file to another file system: the copy is complete, on the disk and
// compared before the file is taken away.
func (k *Keeper) carry(dir *os.Root, name string, box *os.Root, i *Item) error {
	part := i.Stored + partSuffix
	if err := k.at("copy"); err != nil {
		return err
	}
	if err := copyFile(dir, name, box, part, i.SHA256); err != nil {
		return errors.Join(err, ignoreMissing(box.Remove(part)))
	}
	if err := box.Chtimes(part, i.accessed(), i.Modified); err != nil {
		return errors.Join(err, ignoreMissing(box.Remove(part)))
	}
	syncFolder(box, ".")
	if err := dir.Remove(name); err != nil {
		return errors.Join(err, ignoreMissing(box.Remove(part)))
	}
	if err := box.Rename(part, i.Stored); err != nil {
		return &halt{diskError(err)}
	}
	return nil
}

var errCopy = errors.New("the copy is not like the file")

// copyFile copies a file to a name that must not exist, and reads the copy again.
func copyFile(from *os.Root, name string, to *os.Root, as, sha256 string) error {
	in, err := from.Open(name)
	if err != nil {
		return err
	}
	defer in.Close()
	out, err := to.OpenFile(as, os.O_WRONLY|os.O_CREATE|os.O_EXCL, 0o600)
	if err != nil {
		return err
	}
	_, err = io.Copy(out, in)
	if err = errors.Join(err, out.Sync(), out.Close()); err != nil {
		return err
	}
	sum, err := hashOf(to, as)
	if err == nil && sum != sha256 {
		err = errCopy
	}
	return err
}

func (i *Item) accessed() time.Time {
	if i.Accessed == nil {
		return i.Modified
	}
	return *i.Accessed
}

// diskError puts what is wrong with the quarantine into words.
func diskError(err error) error {
	switch {
	case isFull(err):
		return refuse(err, postern.Say("clean.no.full"))
	case errors.Is(err, fs.ErrPermission), errors.Is(err, syscall.EROFS):
		return refuse(err, postern.Say("clean.no.permission"))
	}
	return fmt.Errorf("quarantine: %w", err)
}

// moveError puts into words why a file could not be moved; it is where it was.
func moveError(err error) error {
	switch {
	case isFull(err):
		return refuse(err, postern.Say("clean.no.full"))
	case errors.Is(err, errCopy):
		return refuse(err, postern.Say("clean.left.copy"))
	case isLocked(err):
		return refuse(err, postern.Say("clean.left.locked"))
	case errors.Is(err, fs.ErrPermission), errors.Is(err, syscall.EROFS):
		return refuse(err, postern.Say("clean.left.permission"))
	}
	return refuse(err, postern.Say("clean.left.move", "reason", innermost(err)))
}

// fileError puts into words why a file cannot be looked at.
func fileError(err error) error {
	var why *Refusal
	switch {
	case errors.As(err, &why):
		return err
	case errors.Is(err, fs.ErrNotExist):
		return refuse(err, postern.Say("clean.left.gone"))
	case isLocked(err):
		return refuse(err, postern.Say("clean.left.locked"))
	case errors.Is(err, fs.ErrPermission):
		return refuse(err, postern.Say("clean.left.permission"))
	}
	return refuse(err, postern.Say("clean.left.unreadable", "reason", innermost(err)))
}
