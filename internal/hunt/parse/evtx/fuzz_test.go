package evtx

import (
	"bytes"
	"context"
	"encoding/binary"
	"strings"
	"testing"

	"postern"
	"postern/internal/exercise/eventlog"
	"postern/internal/hunt/parse"
)

// FuzzScan asks of any bytes: that every record is inside of the file, that a gate
// is shown the text of every value in which a literal could be looked for, and
// that a hunt that wants everything sees what a reader sees.
func FuzzScan(f *testing.F) {
	plain := eventlog.Event{Time: noon, Channel: "Application", Provider: "p", ID: 7, Computer: "c", Data: []eventlog.Value{{Value: "unnamed"}, {Value: []string{"a", "b"}}}}
	nested := process(1)
	nested.Nested = true
	user := nested
	user.UserData = "Info"
	seed := logOf(f, process(0), plain, nested, user)[fileHeader:]
	f.Add(seed[chunkHeader:binary.LittleEndian.Uint32(seed[48:])])
	f.Add(seed[chunkHeader : chunkHeader+1000])
	f.Fuzz(func(t *testing.T, records []byte) {
		if len(records) > 8<<10 {
			return
		}
		data := make([]byte, chunkHeader, chunkSize)
		copy(data, chunkMagic)
		binary.LittleEndian.PutUint32(data[48:], uint32(chunkHeader+len(records)))
		binary.LittleEndian.PutUint32(data[124:], headerSum(data))
		data = append(data, records...)
		fresh := newFile("x", parse.RecordOptions{})
		count := 0
		err := fresh.read(context.Background(), bytes.NewReader(data), func(r *raw) error {
			count++
			if r.at < 0 || r.end > len(fresh.data) {
				t.Fatalf("record from %d to %d of %d bytes", r.at, r.end, len(fresh.data))
			}
			var text, whole string
			all, allWhole := true, true
			if fresh.locate(r) {
				b, ok := fresh.folded(nil, false)
				text, all = string(b), ok
				b, ok = fresh.folded(nil, true)
				whole, allWhole = string(b), ok
			}
			rec := fresh.decode(r)
			for _, field := range append(rec.Data, rec.System...) {
				folded := string(appendFoldedASCII(nil, field.Value))
				for _, word := range strings.FieldsFunc(folded, func(r rune) bool { return r >= 0x80 || r == 0 }) {
					if all && parse.OnlyText(word) && !strings.Contains(text, word) {
						t.Fatalf("the gate does not see %q of %s = %q in %q", word, field.Name, field.Value, text)
					}
				}
				ascii := !strings.ContainsFunc(field.Value, func(r rune) bool { return r >= 0x80 })
				if allWhole && ascii && folded != "" && !strings.Contains(folded, "-") && !strings.Contains(whole, "\x00"+folded+"\x00") {
					t.Fatalf("the gate does not see %s = %q as a whole in %q", field.Name, field.Value, whole)
				}
			}
			return nil
		})
		if err != nil {
			t.Fatal(err)
		}
		var booked int64
		yielded := 0
		results, err := Scan(context.Background(), bytes.NewReader(data), "x", parse.RecordOptions{Yield: func(ev *postern.Event) { yielded++ }})
		if err != nil || len(results) == 0 {
			t.Fatalf("Scan: %v, %d results", err, len(results))
		}
		for _, r := range results {
			booked += r.Records
		}
		if booked > int64(count) || int64(yielded) != booked {
			t.Fatalf("%d records, %d booked, %d yielded", count, booked, yielded)
		}
	})
}
