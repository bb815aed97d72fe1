package clean

import (
	"bytes"
	"crypto/ed25519"
	"crypto/rand"
	"encoding/hex"
	"encoding/json"
	"errors"
	"fmt"
	"io"
	"io/fs"
	"os"
	"regexp"
	"slices"
	"strings"
	"time"

	"postern"
	"postern/internal/respond"
)

// Schema names the form of a manifest and its version.
const Schema = "postern.quarantine/1"

// Names in a quarantine.
const (
	manifestName = "manifest.json"
	lockName     = "lock"
	suffix       = ".quarantined"
	partSuffix   = ".part" // of a file that is on its way between two file systems
)

// State is where a file is.
type State string

// The states.
const (
	Planned   State = "planned"   // where it was
	Moving    State = "moving"    // on its way into the quarantine
	Moved     State = "moved"     // in the quarantine
	Restoring State = "restoring" // on its way back
	Restored  State = "restored"  // where it was, again
	Kept      State = "kept"      // where it was, because of Why
)

// Item is one file of a manifest.
type Item struct {
	N        int           `json:"n"`
	State    State         `json:"state"`
	Kind     Kind          `json:"kind"`
	Path     string        `json:"path"`
	Stored   string        `json:"stored"` // its name in the quarantine
	SHA256   string        `json:"sha256"`
	Size     int64         `json:"size"`
	Level    postern.Level `json:"level"`
	Rules    []string      `json:"rules"`
	Findings []string      `json:"findings"`

	// What it was like before it was moved.
	Mode       string     `json:"mode,omitempty"` // octal, with the bits above the permissions
	Modified   time.Time  `json:"modified"`
	Accessed   *time.Time `json:"accessed,omitempty"`
	UID        *int       `json:"uid,omitempty"`
	GID        *int       `json:"gid,omitempty"`
	Attributes string     `json:"attributes,omitempty"` // of Windows, hexadecimal
	// FolderModified is the time of its folder before the last move, which is put back after it.
	FolderModified time.Time `json:"folder_modified"`
	How            string    `json:"how,omitempty"` // rename or copy
	MovedAt        time.Time `json:"moved_at"`
	RestoredAt     time.Time `json:"restored_at"`
	Why            string    `json:"why,omitempty"` // of a file that was kept: the key of the sentence
}

// Preserved says what keeps the evidence of what is moved, or why nothing does.
type Preserved struct {
	Bundle string `json:"bundle,omitempty"` // its random name
	Seal   string `json:"seal,omitempty"`   // SHA-256 of its seal
	Signer string `json:"signer,omitempty"`
	File   string `json:"file,omitempty"`
	// Refused is why somebody cleaned without.
	Refused string `json:"refused,omitempty"`
}

// Facts are what a manifest says besides its files.
type Facts struct {
	Host      string    `json:"host"`
	Root      string    `json:"root"`
	Hunt      string    `json:"hunt_sha256"` // of the document that named the files
	Tool      string    `json:"tool"`
	Version   string    `json:"version"`
	Who       string    `json:"who"`
	Machine   string    `json:"machine"` // that this was done on
	Preserved Preserved `json:"preserved"`
}

// Manifest says what one run moved and what it left.
type Manifest struct {
	Facts
	Run     string    `json:"run"`
	Created time.Time `json:"created"`
	Changed time.Time `json:"changed"`
	Items   []*Item   `json:"items"`
	Left    []Left    `json:"left"`
}

// Pending says whether something of it is neither here nor there.
func (m *Manifest) Pending() bool {
	return slices.ContainsFunc(m.Items, func(i *Item) bool { return i.State == Moving || i.State == Restoring })
}

// Count gives how many files are in a state.
func (m *Manifest) Count(s State) int {
	n := 0
	for _, i := range m.Items {
		if i.State == s {
			n++
		}
	}
	return n
}

// Keeper moves files between a root and a quarantine.
type Keeper struct {
	Root   *os.Root // of the server
	Folder *os.Root // of the quarantine
	Key    ed25519.PrivateKey
	Now    func() time.Time
	// step is asked before every step that changes something on disk; an error of it is
	// what a full disk or a locked file gives. Tests fail there, one step after the other.
	step func(string) error
}

func (k *Keeper) at(step string) error {
	if k.step == nil {
		return nil
	}
	return k.step(step)
}

var runName = regexp.MustCompile(`^\d{8}T\d{6}Z-[0-9a-f]{8}$`)

// begin makes the folder of a run.
func (k *Keeper) begin() (string, error) {
	var r [4]byte
	if _, err := rand.Read(r[:]); err != nil {
		return "", err
	}
	name := k.Now().UTC().Format("20060102T150405Z") + "-" + hex.EncodeToString(r[:])
	if err := k.at("begin"); err != nil {
		return "", err
	}
	if err := k.Folder.Mkdir(name, 0o700); err != nil {
		return "", err
	}
	return name, nil
}

// save replaces the manifest of a run by a newer one, whole or not at all.
func (k *Keeper) save(m *Manifest) error {
	m.Changed = k.Now().UTC()
	raw, err := respond.Sign(Schema, m, k.Key)
	if err != nil {
		return &halt{err}
	}
	name := m.Run + "/" + manifestName
	next := name + ".next"
	if err := k.at("save"); err != nil {
		return &halt{diskError(err)}
	}
	f, err := k.Folder.OpenFile(next, os.O_WRONLY|os.O_CREATE|os.O_TRUNC, 0o600)
	if err != nil {
		return &halt{diskError(err)}
	}
	_, err = f.Write(raw)
	if err = errors.Join(err, f.Sync(), f.Close()); err == nil {
		err = k.Folder.Rename(next, name)
	}
	if err != nil {
		return &halt{diskError(errors.Join(err, ignoreMissing(k.Folder.Remove(next))))}
	}
	syncFolder(k.Folder, m.Run)
	return nil
}

func ignoreMissing(err error) error {
	if errors.Is(err, fs.ErrNotExist) {
		return nil
	}
	return err
}

// Load reads the manifest of a run, which must be signed with the keeper's key.
func (k *Keeper) Load(run string) (*Manifest, error) {
	return Load(k.Folder, run, respond.PublicKey(k.Key))
}

// Load reads the manifest of a run. Signer may be "" for any.
func Load(folder *os.Root, run, signer string) (*Manifest, error) {
	f, err := folder.Open(run + "/" + manifestName)
	if err != nil {
		return nil, err
	}
	defer f.Close()
	raw, err := io.ReadAll(io.LimitReader(f, respond.MaxSigned+1))
	if err != nil {
		return nil, err
	}
	m, err := parse(raw, signer)
	switch {
	case errors.Is(err, respond.ErrSigner):
		return nil, refuse(err, postern.Say("clean.no.signer", "run", run))
	case errors.Is(err, respond.ErrSignature):
		return nil, refuse(err, postern.Say("clean.no.signature", "run", run))
	case err != nil || m.Run != run:
		return nil, refuse(err, postern.Say("clean.no.manifest", "run", run))
	}
	return m, nil
}

// parse reads a manifest and accepts only names that can be of files below a root and
// in a quarantine.
func parse(raw []byte, signer string) (*Manifest, error) {
	body, _, err := respond.Open(Schema, raw, signer)
	if err != nil {
		return nil, err
	}
	var m Manifest
	dec := json.NewDecoder(bytes.NewReader(body))
	if err := dec.Decode(&m); err != nil {
		return nil, fmt.Errorf("%w: %w", respond.ErrForm, err)
	}
	if len(m.Items) > 2*maxNamed || !runName.MatchString(m.Run) {
		return nil, respond.ErrForm
	}
	seen := make(map[string]bool)
	for _, i := range m.Items {
		known := i != nil && slices.Contains([]State{Planned, Moving, Moved, Restoring, Restored, Kept}, i.State)
		if !known || !fs.ValidPath(i.Path) || i.Path == "." || len(i.SHA256) != 64 || i.Size < 0 ||
			!strings.HasSuffix(i.Stored, suffix) || strings.ContainsAny(i.Stored, `/\:`) || seen[i.Stored] {
			return nil, respond.ErrForm
		}
		seen[i.Stored] = true
	}
	return &m, nil
}

// Runs gives the names of the runs in a quarantine, oldest first.
func Runs(folder *os.Root) ([]string, error) {
	d, err := folder.Open(".")
	if err != nil {
		return nil, err
	}
	defer d.Close()
	names, err := d.Readdirnames(-1)
	if err != nil {
		return nil, err
	}
	names = slices.DeleteFunc(names, func(n string) bool {
		if !runName.MatchString(n) {
			return true
		}
		_, err := folder.Lstat(n + "/" + manifestName)
		return errors.Is(err, fs.ErrNotExist) // killed before it had said anything, so before it did anything
	})
	slices.Sort(names)
	return names, nil
}

// StoredPaths gives where the files of a quarantine lie in it, for a hunt that is not
// to take them for new ones. Signer may be "" for any.
func StoredPaths(folder *os.Root, signer string) (map[string]string, error) {
	runs, err := Runs(folder)
	if err != nil {
		return nil, err
	}
	stored := make(map[string]string)
	for _, run := range runs {
		m, err := Load(folder, run, signer)
		if err != nil {
			return nil, err
		}
		for _, i := range m.Items {
			stored[run+"/"+i.Stored] = i.SHA256
		}
	}
	return stored, nil
}
