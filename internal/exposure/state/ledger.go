package state

import (
	"encoding/binary"
	"errors"
	"hash/crc32"
	"hash/maphash"
	"io"
	"net/netip"
	"os"
	"path/filepath"
	"strings"
	"sync"
	"time"
)

// The ledger says how many requests each host has had, over all runs and, where its
// folder is shared, over all machines. Its folder holds one file for each machine,
// process and day, NAME-N.DAY.requests, of entries that are only ever appended:
//
//	16 bytes  address, IPv4 in its IPv6 form
//	 4 bytes  seconds since 1970
//	 1 byte   1 a request; 2 the host wants to be left alone until that time
//	 3 bytes  CRC-32 of the 21 before, its lower bytes
//
// all big endian. A request is written down before it is sent, and then the other
// files are read on: of two machines that write at the same moment at least one sees
// both entries. An entry that is damaged is skipped.
const (
	entryBytes  = 24
	kindRequest = 1
	kindHold    = 2
)

// The share of a host is counted in bins of four hours. Seven of them, the present one
// included, cover 24 hours and up to four more: the count errs to the host's good.
const (
	binSeconds = 4 * 60 * 60
	binsKept   = 8
	binsCount  = 7
	binBits    = 3 // up to 7 in one bin; the share is 6
)

// tally is the requests of one host: the number of the newest bin, modulo 256, in the
// lowest byte, and above it eight counts of three bits, newest first.
type tally uint32

// at moves the bins so that the newest one is bin.
func (t tally) at(bin uint8) tally {
	age := bin - uint8(t)
	if age >= binsKept {
		return tally(bin)
	}
	return tally(bin) | (t>>8<<(binBits*uint32(age)))<<8
}

func (t tally) sum() (n int) {
	for i := range binsCount {
		n += int(t>>(8+binBits*i)) & (1<<binBits - 1)
	}
	return n
}

// plus adds one to the newest bin.
func (t tally) plus() tally {
	if t>>8&(1<<binBits-1) == 1<<binBits-1 {
		return t
	}
	return t + 1<<8
}

// Ledger counts requests. It is safe for use by several goroutines.
type Ledger struct {
	dir   string // "" keeps nothing on disk
	share int
	now   func() time.Time

	mu     sync.Mutex
	seed   maphash.Seed
	spent  *Table // a tally for each address
	held   map[netip.Addr]time.Time
	bin    int64 // the newest seen: the clock never goes back
	own    *os.File
	name   string // of the own file, without day and ending
	day    string
	locked *os.File
	others map[string]int64 // how far the other files have been read
	gained int64            // bytes read of them in all
	listed time.Time        // modification time of the folder when it was listed
}

// maxHeld bounds the hosts that asked for patience and are remembered.
const maxHeld = 1 << 16

// maxProcesses bounds the processes of one machine that write to one folder.
const maxProcesses = 64

// OpenLedger opens the ledger of a folder, made if it is not there; dir "" keeps
// nothing beyond this run. Share is how many requests a host gets in 24 hours, at
// most 7. Scratch is a folder of this process alone for what would fill the memory, "" if
// there is none.
func OpenLedger(dir, scratch string, share int, now func() time.Time) (*Ledger, error) {
	if now == nil {
		now = time.Now
	}
	l := &Ledger{dir: dir, share: min(share, 1<<binBits-1), now: now, seed: maphash.MakeSeed(), spent: NewTable(scratch),
		held: map[netip.Addr]time.Time{}, others: map[string]int64{}}
	if dir == "" {
		return l, nil
	}
	if err := os.MkdirAll(dir, 0o700); err != nil {
		return nil, err
	}
	if err := l.claim(); err != nil {
		return nil, err
	}
	l.prune()
	if err := l.refresh(); err != nil {
		return nil, errors.Join(err, l.Close())
	}
	return l, nil
}

// claim takes a name for the own file that no other process has.
func (l *Ledger) claim() error {
	host, err := os.Hostname()
	if err != nil || host == "" {
		host = "machine"
	}
	host = strings.Map(func(r rune) rune {
		if r >= 'a' && r <= 'z' || r >= '0' && r <= '9' || r == '-' {
			return r
		}
		return '_'
	}, strings.ToLower(host))
	for n := range maxProcesses {
		name := host[:min(len(host), 60)] + "-" + string(rune('a'+n/26)) + string(rune('a'+n%26))
		f, err := os.OpenFile(filepath.Join(l.dir, name+".lock"), os.O_RDWR|os.O_CREATE, 0o600)
		if err != nil {
			return err
		}
		if lock(f) == nil {
			l.name, l.locked = name, f
			return nil
		}
		f.Close()
	}
	return ErrBusy
}

const ending = ".requests"

// prune deletes files too old to count.
func (l *Ledger) prune() {
	names, _ := filepath.Glob(filepath.Join(l.dir, "*"+ending))
	oldest := l.now().UTC().AddDate(0, 0, -3).Format(dayForm)
	for _, n := range names {
		parts := strings.Split(strings.TrimSuffix(filepath.Base(n), ending), ".")
		if day := parts[len(parts)-1]; len(day) == len(dayForm) && day < oldest {
			_ = os.Remove(n) // another process may have been faster
		}
	}
}

const dayForm = "20060102"

// refresh reads what the other files have gained, and at first the own one.
func (l *Ledger) refresh() error {
	info, err := os.Stat(l.dir)
	if err != nil {
		return err
	}
	if !info.ModTime().Equal(l.listed) {
		names, err := filepath.Glob(filepath.Join(l.dir, "*"+ending))
		if err != nil {
			return err
		}
		for _, n := range names {
			if _, known := l.others[n]; !known && (l.own == nil || n != l.own.Name()) {
				l.others[n] = 0
			}
		}
		l.listed = info.ModTime()
	}
	for name, at := range l.others {
		info, err := os.Stat(name)
		if errors.Is(err, os.ErrNotExist) {
			delete(l.others, name)
			continue
		}
		if err != nil {
			return err
		}
		if info.Size()-at >= entryBytes {
			if err := l.readOn(name, at); err != nil {
				return err
			}
		}
	}
	return nil
}

// readOn reads the entries of a file from a place on.
func (l *Ledger) readOn(name string, at int64) error {
	f, err := os.Open(name)
	if err != nil {
		return err
	}
	defer f.Close()
	buf := make([]byte, entryBytes*2048)
	for {
		n, err := f.ReadAt(buf, at)
		whole := n - n%entryBytes
		for e := buf[:whole]; len(e) > 0; e = e[entryBytes:] {
			if err := l.take([entryBytes]byte(e[:entryBytes])); err != nil {
				return err
			}
		}
		at += int64(whole)
		l.gained += int64(whole)
		l.others[name] = at
		if err == io.EOF || whole == 0 {
			return nil
		}
		if err != nil {
			return err
		}
	}
}

// take counts one entry.
func (l *Ledger) take(e [entryBytes]byte) error {
	if check(&e) != [3]byte(e[21:]) {
		return nil
	}
	addr := netip.AddrFrom16([16]byte(e[:16])).Unmap()
	seconds := int64(binary.BigEndian.Uint32(e[16:20]))
	switch e[20] {
	case kindHold:
		l.hold(addr, time.Unix(seconds, 0))
	case kindRequest:
		now, err := l.newest()
		bin := seconds / binSeconds
		if err != nil || now-bin >= binsKept {
			return err
		}
		t, err := l.get(addr, now)
		if err != nil {
			return err
		}
		// Of an earlier bin: add it where it belongs.
		if shift := 8 + binBits*uint32(max(now-bin, 0)); t>>shift&(1<<binBits-1) < 1<<binBits-1 {
			t += 1 << shift
		}
		return l.set(addr, t)
	}
	return nil
}

func check(e *[entryBytes]byte) [3]byte {
	sum := crc32.ChecksumIEEE(e[:21])
	return [3]byte{byte(sum >> 16), byte(sum >> 8), byte(sum)}
}

// newest gives the number of the present bin, and forgets hosts whose requests no
// longer count when a new one begins.
func (l *Ledger) newest() (int64, error) {
	bin := l.now().Unix() / binSeconds
	if bin <= l.bin {
		return l.bin, nil
	}
	old := l.bin
	l.bin = bin
	if old == 0 {
		return bin, nil
	}
	return bin, l.spent.Keep(func(t uint32) bool { return tally(t).at(uint8(bin)).sum() > 0 })
}

// key hashes an address.
func (l *Ledger) key(a netip.Addr) uint64 {
	b := a.As16()
	return maphash.Bytes(l.seed, b[:])
}

// get gives what a host has had, as of a bin.
func (l *Ledger) get(a netip.Addr, bin int64) (tally, error) {
	t, _, err := l.spent.Get(l.key(a))
	return tally(t).at(uint8(bin)), err
}

func (l *Ledger) set(a netip.Addr, t tally) error {
	_, err := l.spent.Set(l.key(a), uint32(t))
	return err
}

// Spend allows one more request to a host and writes it down first. It is false if
// the host has had its share.
func (l *Ledger) Spend(a netip.Addr) (bool, error) {
	a = a.Unmap()
	l.mu.Lock()
	defer l.mu.Unlock()
	bin, err := l.newest()
	if err != nil {
		return false, err
	}
	t, err := l.get(a, bin)
	if err != nil || t.sum() >= l.share {
		return false, err
	}
	before := l.gained
	if err := l.write(a, l.now(), kindRequest); err != nil {
		return false, err
	}
	if l.gained != before { // another machine has just written something, perhaps about this host
		if t, err = l.get(a, bin); err != nil {
			return false, err
		}
	}
	t = t.plus()
	return t.sum() <= l.share, l.set(a, t)
}

// Spent says whether a host has had its share.
func (l *Ledger) Spent(a netip.Addr) (bool, error) {
	l.mu.Lock()
	defer l.mu.Unlock()
	bin, err := l.newest()
	if err != nil {
		return false, err
	}
	t, err := l.get(a.Unmap(), bin)
	return t.sum() >= l.share, err
}

// Hold remembers that a host wants to be left alone until then.
func (l *Ledger) Hold(a netip.Addr, until time.Time) error {
	l.mu.Lock()
	defer l.mu.Unlock()
	l.hold(a.Unmap(), until)
	return l.write(a.Unmap(), until, kindHold)
}

func (l *Ledger) hold(a netip.Addr, until time.Time) {
	if len(l.held) >= maxHeld {
		for other, t := range l.held {
			if !t.After(l.now()) {
				delete(l.held, other)
			}
		}
	}
	if len(l.held) < maxHeld && until.After(l.held[a]) {
		l.held[a] = until
	}
}

// Held gives the time until which a host wants to be left alone.
func (l *Ledger) Held(a netip.Addr) time.Time {
	l.mu.Lock()
	defer l.mu.Unlock()
	return l.held[a.Unmap()]
}

// write appends an entry to the own file and reads what others have appended.
func (l *Ledger) write(a netip.Addr, at time.Time, kind byte) error {
	if l.dir == "" {
		return nil
	}
	if day := l.now().UTC().Format(dayForm); day != l.day {
		if err := l.turn(day); err != nil {
			return err
		}
	}
	var e [entryBytes]byte
	b := a.As16()
	copy(e[:], b[:])
	binary.BigEndian.PutUint32(e[16:], uint32(at.Unix()))
	e[20] = kind
	sum := check(&e)
	copy(e[21:], sum[:])
	if _, err := l.own.Write(e[:]); err != nil {
		return err
	}
	return l.refresh()
}

// turn begins the file of a day.
func (l *Ledger) turn(day string) error {
	name := filepath.Join(l.dir, l.name+"."+day+ending)
	f, err := os.OpenFile(name, os.O_WRONLY|os.O_CREATE|os.O_APPEND, 0o600)
	if err != nil {
		return err
	}
	info, err := f.Stat()
	if err != nil {
		return errors.Join(err, f.Close())
	}
	if torn := info.Size() % entryBytes; torn != 0 { // cut by a crash: fill up, the check skips it
		if _, err := f.Write(make([]byte, entryBytes-torn)); err != nil {
			return errors.Join(err, f.Close())
		}
	}
	if l.own != nil {
		// Yesterday's file is counted already, to its end.
		if old, statErr := l.own.Stat(); statErr == nil {
			l.others[l.own.Name()] = old.Size()
		}
		err = l.own.Close()
	}
	// What an earlier process wrote under this name was read already.
	delete(l.others, name)
	l.own, l.day = f, day
	return err
}

// Close ends the work with the ledger.
func (l *Ledger) Close() error {
	l.mu.Lock()
	defer l.mu.Unlock()
	errs := []error{l.spent.Close()}
	if l.own != nil {
		errs = append(errs, l.own.Sync(), l.own.Close())
	}
	if l.locked != nil {
		errs = append(errs, l.locked.Close())
	}
	return errors.Join(errs...)
}
