package alert

import (
	"bufio"
	"bytes"
	"encoding/binary"
	"encoding/hex"
	"encoding/json"
	"errors"
	"fmt"
	"hash/crc32"
	"io"
	"io/fs"
	"os"
	"path/filepath"
	"sync"
	"time"

	"postern"
)

// Bounds of a queue.
const (
	// DefaultQueue is how much may wait for a receiver, in bytes: some ten thousand
	// alerts, which is days of what is raised one by one.
	DefaultQueue = 64 << 20
	// reserved is the part of it, one in so many, that only back doors and worse may use:
	// somebody who knocks until it is full must not keep them out.
	reserved = 4
	// maxMessage is the longest message that is taken.
	maxMessage = 256 << 10
	// arrivedMost is how much may lie in the file that has arrived.
	arrivedMost = 1 << 20
	// unwritten is how much is kept in memory while the disk takes nothing.
	unwritten = 1 << 20
)

// queue is the messages that wait, in a file of lines: each has a checksum (CRC-32C of
// the rest, eight hex digits), a blank and one JSON object. The first names the
// generation of the file. Beside it lies a file of one such line that says how far the
// messages of which generation have arrived, and how many were dropped: a file that does
// not belong to the other counts from the beginning, so that a message can come twice.
type queue struct {
	mu    sync.Mutex
	path  string
	max   int64
	f     *os.File
	size  int64 // of the file
	at    int64 // where the first message that has not arrived begins
	gen   int64
	count int // messages from there on

	buffer []byte // put and not yet written
	held   int    // messages in it
	drops  Drops
}

// Drops counts messages that were lost.
type Drops struct {
	Full    [postern.PostExploitation + 1]int64 `json:"full"`    // there was no room, by level
	Refused int64                               `json:"refused"` // the receiver would not have them
	Damaged int64                               `json:"damaged"` // what stood in the queue was no message any more
	First   time.Time                           `json:"first"`
	Last    time.Time                           `json:"last"`
}

// Total is the number of messages that were lost.
func (d Drops) Total() (n int64) {
	for _, c := range d.Full {
		n += c
	}
	return n + d.Refused + d.Damaged
}

func (d *Drops) at(t time.Time) {
	if d.First.IsZero() {
		d.First = t
	}
	d.Last = t
}

type (
	headLine   struct{ Queue int64 }
	cursorLine struct {
		Queue int64
		At    int64
		Drops Drops
	}
)

var castagnoli = crc32.MakeTable(crc32.Castagnoli)

func line(v any) []byte {
	body, _ := json.Marshal(v) // of plain values
	return fmt.Appendf(nil, "%08x %s\n", crc32.Checksum(body, castagnoli), body)
}

func unline(b []byte, to any) bool {
	sum, body, found := bytes.Cut(bytes.TrimSuffix(b, []byte{'\n'}), []byte{' '})
	var want [4]byte
	if !found || len(sum) != 8 {
		return false
	}
	if _, err := hex.Decode(want[:], sum); err != nil || binary.BigEndian.Uint32(want[:]) != crc32.Checksum(body, castagnoli) {
		return false
	}
	return json.Unmarshal(body, to) == nil
}

// openQueue opens a queue, which is made if it is not there.
func openQueue(dir, name string, most int64) (*queue, error) {
	q := &queue{path: filepath.Join(dir, "queue-"+name), max: most}
	var cursor cursorLine
	if b, err := os.ReadFile(q.path + ".at"); err == nil && len(b) < maxMessage {
		unline(b, &cursor)
	}
	q.drops, q.gen = cursor.Drops, cursor.Queue
	f, err := os.OpenFile(q.path, os.O_RDWR|os.O_APPEND, 0o600)
	switch {
	case errors.Is(err, fs.ErrNotExist):
		return q, q.anew()
	case err != nil:
		return nil, fmt.Errorf("queue: %w", err)
	}
	q.f = f
	if err := q.take(cursor); err != nil {
		f.Close()
		return nil, fmt.Errorf("queue: %w", err)
	}
	return q, nil
}

// take finds out what waits in a file. The last line may be cut off: then it was never
// committed.
func (q *queue) take(cursor cursorLine) error {
	b := bufio.NewReaderSize(q.f, 64<<10)
	var h headLine
	for first := true; ; first = false {
		raw, length, err := readLine(b)
		if errors.Is(err, io.EOF) {
			break
		}
		if err != nil {
			return err
		}
		here := q.size
		q.size += length
		switch {
		case first:
			q.at = q.size
			if q.gen++; unline(raw, &h) && h.Queue == cursor.Queue {
				q.gen, q.at = h.Queue, max(q.at, cursor.At)
			}
		case here >= q.at:
			q.count++ // what is no message any more is counted when its turn comes
		case q.size > q.at: // no message begins there
			q.at = here
			q.count++
		}
	}
	if q.at > q.size || q.size == 0 || h.Queue != q.gen {
		q.at = min(q.at, q.size)
		return q.anew()
	}
	return q.f.Truncate(q.size)
}

// readLine reads a line to its end and says how long it is. Of one that is longer than any
// message, as where a machine that failed has left zeros, it gives the beginning, which is
// no message.
func readLine(b *bufio.Reader) (line []byte, length int64, err error) {
	for {
		part, err := b.ReadSlice('\n')
		length += int64(len(part))
		if len(line) <= 4*maxMessage {
			line = append(line, part...)
		}
		if !errors.Is(err, bufio.ErrBufferFull) {
			return line, length, err
		}
	}
}

// anew writes the file anew, with what waits still. If it cannot, the old one goes on.
func (q *queue) anew() error {
	head := line(headLine{q.gen + 1})
	f, err := os.OpenFile(q.path+".new", os.O_WRONLY|os.O_CREATE|os.O_TRUNC, 0o600)
	if err != nil {
		return fmt.Errorf("queue: %w", err)
	}
	_, err = f.Write(head)
	if q.f != nil && err == nil {
		_, err = io.Copy(f, io.NewSectionReader(q.f, q.at, q.size-q.at))
	}
	if err = errors.Join(err, f.Sync(), f.Close()); err != nil {
		return fmt.Errorf("queue: %w", err)
	}
	if q.f != nil { // Windows puts nothing in the place of an open file
		q.f.Close()
	}
	renamed := os.Rename(q.path+".new", q.path)
	q.f, err = os.OpenFile(q.path, os.O_RDWR|os.O_APPEND, 0o600)
	if err = errors.Join(renamed, err); err != nil {
		return fmt.Errorf("queue: %w", err)
	}
	q.gen++
	q.at, q.size = int64(len(head)), int64(len(head))+q.size-q.at
	return q.note()
}

// note writes how far messages have arrived.
func (q *queue) note() error {
	name := q.path + ".at"
	if err := os.WriteFile(name+".new", line(cursorLine{q.gen, q.at, q.drops}), 0o600); err != nil {
		return fmt.Errorf("queue: %w", err)
	}
	if err := os.Rename(name+".new", name); err != nil {
		return fmt.Errorf("queue: %w", err)
	}
	return nil
}

// put takes a message if there is room, and says whether there was.
func (q *queue) put(m Message) bool {
	q.mu.Lock()
	defer q.mu.Unlock()
	room := q.max
	if m.Level < postern.Implanted {
		room -= q.max / reserved
	}
	raw := line(m)
	if len(m.Body) > maxMessage || q.size-q.at+int64(len(q.buffer)+len(raw)) > room {
		if m.Level.Valid() {
			q.drops.Full[m.Level]++
		}
		q.drops.at(m.Time.UTC())
		return false
	}
	q.buffer = append(q.buffer, raw...)
	q.held++
	return true
}

// commit writes what was put. While the disk takes nothing, a little is kept in memory.
func (q *queue) commit() error {
	q.mu.Lock()
	defer q.mu.Unlock()
	if len(q.buffer) == 0 {
		return nil
	}
	n, err := q.f.Write(q.buffer)
	if err == nil {
		err = q.f.Sync()
	}
	if err != nil {
		if n > 0 {
			err = errors.Join(err, q.f.Truncate(q.size))
		}
		if len(q.buffer) > unwritten {
			for range q.held {
				q.drops.Full[0]++
			}
			q.drops.at(time.Now().UTC())
			q.buffer, q.held = nil, 0
		}
		return fmt.Errorf("queue: %w", err)
	}
	q.size += int64(len(q.buffer))
	q.count += q.held
	q.buffer, q.held = q.buffer[:0], 0
	return nil
}

// peek gives the first messages that wait, and where each of them ends.
func (q *queue) peek(n int) (messages []Message, ends []int64, err error) {
	q.mu.Lock()
	defer q.mu.Unlock()
	if q.count == 0 {
		return nil, nil, nil
	}
	b := bufio.NewReader(io.NewSectionReader(q.f, q.at, q.size-q.at))
	end := q.at
	for len(messages) < n {
		raw, length, err := readLine(b)
		if errors.Is(err, io.EOF) {
			break
		}
		if err != nil {
			return nil, nil, fmt.Errorf("queue: %w", err)
		}
		end += length
		var m Message
		if !unline(raw, &m) { // changed on disk since
			m = Message{}
		}
		messages, ends = append(messages, m), append(ends, end)
	}
	return messages, ends, nil
}

// arrived takes the first messages out.
func (q *queue) arrived(n int, end int64) error {
	q.mu.Lock()
	defer q.mu.Unlock()
	q.at = end
	q.count -= n
	if q.at > arrivedMost && q.at > q.size-q.at { // more has arrived than waits
		return q.anew()
	}
	return q.note()
}

// refuse counts a message that the receiver will never take.
func (q *queue) refuse(m Message) {
	q.mu.Lock()
	defer q.mu.Unlock()
	if len(m.Body) == 0 {
		q.drops.Damaged++
		q.drops.at(time.Now().UTC())
		return
	}
	q.drops.Refused++
	q.drops.at(m.Time.UTC())
}

// lost gives the count of what was dropped, if there is room again to say so.
func (q *queue) lost() (Drops, bool) {
	q.mu.Lock()
	defer q.mu.Unlock()
	return q.drops, q.drops.Total() > 0 && q.size-q.at+int64(len(q.buffer)) <= q.max/2
}

// owned takes out of the count what was said.
func (q *queue) owned(d Drops) {
	q.mu.Lock()
	defer q.mu.Unlock()
	for i := range q.drops.Full {
		q.drops.Full[i] -= d.Full[i]
	}
	q.drops.Refused -= d.Refused
	q.drops.Damaged -= d.Damaged
	q.drops.First = time.Time{}
	if q.drops.Total() > 0 {
		q.drops.First = d.Last
	}
}

// waits says how many messages have not arrived.
func (q *queue) waits() int {
	q.mu.Lock()
	defer q.mu.Unlock()
	return q.count + q.held
}

func (q *queue) close() error {
	q.mu.Lock()
	defer q.mu.Unlock()
	return errors.Join(q.note(), q.f.Close())
}
