package clean

import (
	"errors"
	"fmt"
	"io/fs"
	"os"
	"path"
	"time"

	"postern"
)

// Settle finds out where the files are that a run was moving when it was killed, and
// says so in its manifest.
func (k *Keeper) Settle(m *Manifest) error {
	if !m.Pending() {
		return nil
	}
	box, err := k.Folder.OpenRoot(m.Run)
	if err != nil {
		return err
	}
	defer box.Close()
	for _, i := range m.Items {
		if i.State != Moving && i.State != Restoring {
			continue
		}
		if err := k.settle(m, i, box); err != nil {
			return err
		}
	}
	return nil
}

// settle decides about one file. While a file is between two file systems its copy in
// the quarantine has a name of its own, and counts only when the file itself is gone.
func (k *Keeper) settle(m *Manifest, i *Item, box *os.Root) error {
	part := i.Stored + partSuffix
	dir, err := k.folderOf(i.Path)
	if err != nil {
		dir = nil // the folder is gone, so the file is not in it
	} else {
		defer dir.Close()
	}
	here := false
	if dir != nil {
		_, err := dir.Lstat(path.Base(i.Path))
		here = err == nil
	}
	switch {
	case isFile(box, i.Stored):
		if dir != nil && i.State == Restoring {
			if err := ignoreMissing(dir.Remove(i.incoming())); err != nil {
				return err
			}
		}
		return k.settled(m, i, dir, box)
	case here && i.State == Moving:
		if err := ignoreMissing(box.Remove(part)); err != nil {
			return err
		}
		i.State = Planned
		return k.save(m)
	case here:
		if err := ignoreMissing(box.Remove(part)); err != nil {
			return err
		}
		return k.restored(m, i, dir)
	case isFile(box, part):
		_ = box.Chmod(part, 0o600)
		if sum, err := hashOf(box, part); err != nil || sum != i.SHA256 {
			return fmt.Errorf("%s: somebody took it away while it was copied, and the copy is not whole: %w", i.Path, errors.Join(err, errCopy))
		}
		if err := box.Rename(part, i.Stored); err != nil {
			return err
		}
		if dir != nil && i.State == Restoring {
			if err := ignoreMissing(dir.Remove(i.incoming())); err != nil {
				return err
			}
		}
		return k.settled(m, i, dir, box)
	}
	return refuse(nil, postern.Say("clean.no.lost", "path", i.Path, "stored", m.Run+"/"+i.Stored))
}

func isFile(box *os.Root, name string) bool {
	info, err := box.Lstat(name)
	return err == nil && info.Mode().IsRegular()
}

// incoming is the name under which a file comes back from another file system; no web
// server runs what is called so.
func (i *Item) incoming() string { return ".postern-" + i.Stored + partSuffix }

// CheckRestore says why a run cannot be restored: nothing is changed.
func (k *Keeper) CheckRestore(m *Manifest) error {
	box, err := k.Folder.OpenRoot(m.Run)
	if err != nil {
		return err
	}
	defer box.Close()
	for _, i := range m.Items {
		if i.State != Moved {
			continue
		}
		if !isFile(box, i.Stored) {
			return refuse(nil, postern.Say("clean.no.lost", "path", i.Path, "stored", m.Run+"/"+i.Stored))
		}
		dir, err := k.folderOf(i.Path)
		if err != nil {
			return refuse(err, postern.Say("clean.no.folder", "path", i.Path))
		}
		_, err = dir.Lstat(path.Base(i.Path))
		dir.Close()
		if !errors.Is(err, fs.ErrNotExist) {
			return refuse(err, postern.Say("clean.no.again", "path", i.Path))
		}
		if err := sound(box, i); err != nil {
			return err
		}
	}
	return nil
}

// sound says whether a file in the quarantine is what was put there. It has no
// permissions, which have to be given to read it and are taken again.
func sound(box *os.Root, i *Item) error {
	_ = box.Chmod(i.Stored, 0o600)
	sum, err := hashOf(box, i.Stored)
	disarm(box, i.Stored)
	if err != nil {
		return refuse(err, postern.Say("clean.no.stored", "path", i.Path, "reason", innermost(err)))
	}
	if sum != i.SHA256 {
		return refuse(nil, postern.Say("clean.no.altered", "path", i.Path, "was", i.SHA256, "is", sum))
	}
	return nil
}

// Restore puts the files of runs back, bit for bit. It ends at the first that it cannot.
// Pages come first: if it is killed, nothing is there that was compiled from a page in
// quarantine, which the next run that cleans would have to leave.
func (k *Keeper) Restore(runs ...*Manifest) error {
	for _, compiled := range []bool{false, true} {
		for _, m := range runs {
			if err := k.bringAllBack(m, compiled); err != nil {
				return err
			}
		}
	}
	return nil
}

// bringAllBack puts back what was compiled of a run, or all else of it.
func (k *Keeper) bringAllBack(m *Manifest, compiled bool) error {
	box, err := k.Folder.OpenRoot(m.Run)
	if err != nil {
		return err
	}
	defer box.Close()
	for _, i := range m.Items {
		if i.State != Moved || (i.Kind == Compiled) != compiled {
			continue
		}
		if err := k.bringBack(m, i, box); err != nil {
			return err
		}
	}
	return nil
}

func (k *Keeper) bringBack(m *Manifest, i *Item, box *os.Root) error {
	dir, err := k.folderOf(i.Path)
	if err != nil {
		return err
	}
	defer dir.Close()
	if err := sound(box, i); err != nil {
		return err
	}
	if i.FolderModified, err = modified(dir); err != nil {
		return err
	}
	i.State = Restoring
	if err := k.save(m); err != nil {
		i.State = Moved
		return err
	}
	name := path.Base(i.Path)
	err = i.dress(box, i.Stored)
	if err == nil {
		err = k.at("move back")
	}
	if err == nil {
		err = rename(box, i.Stored, dir, name)
	}
	if err != nil && elsewhere(err) {
		err = k.carryBack(i, box, dir, name)
	}
	if err != nil {
		if isFile(box, i.Stored) {
			disarm(box, i.Stored)
			i.State = Moved
			err = errors.Join(err, k.save(m))
		}
		return moveError(err)
	}
	return k.restored(m, i, dir)
}

// dress gives a file what it had besides its content.
func (i *Item) dress(dir *os.Root, name string) error {
	_ = dir.Chmod(name, 0o600) // without permissions its times cannot be set everywhere
	i.own(dir, name)           // before the mode: a change of owner takes bits of it away
	if err := dir.Chtimes(name, i.accessed(), i.Modified); err != nil {
		return err
	}
	return dir.Chmod(name, i.fileMode())
}

// carryBack is [Keeper.carry] in the other direction.
func (k *Keeper) carryBack(i *Item, box, dir *os.Root, name string) error {
	part, incoming := i.Stored+partSuffix, i.incoming()
	if err := k.at("copy back"); err != nil {
		return err
	}
	if err := ignoreMissing(dir.Remove(incoming)); err != nil {
		return err
	}
	_ = box.Chmod(i.Stored, 0o600)
	if err := copyFile(box, i.Stored, dir, incoming, i.SHA256); err != nil {
		return errors.Join(err, ignoreMissing(dir.Remove(incoming)))
	}
	if err := i.dress(dir, incoming); err != nil {
		return errors.Join(err, ignoreMissing(dir.Remove(incoming)))
	}
	// From here on the copy in the quarantine is no file of the quarantine any more.
	if err := box.Rename(i.Stored, part); err != nil {
		return errors.Join(err, ignoreMissing(dir.Remove(incoming)))
	}
	if err := rename(dir, incoming, dir, name); err != nil {
		return errors.Join(err, box.Rename(part, i.Stored), ignoreMissing(dir.Remove(incoming)))
	}
	syncFolder(dir, ".")
	return box.Remove(part)
}

// restored finishes a move back.
func (k *Keeper) restored(m *Manifest, i *Item, dir *os.Root) error {
	name := path.Base(i.Path)
	if err := i.dress(dir, name); err != nil {
		return fileError(err)
	}
	_ = dir.Chtimes(".", time.Time{}, i.FolderModified)
	syncFolder(dir, ".")
	i.State, i.RestoredAt = Restored, k.Now().UTC()
	return k.save(m)
}
