package evtx

import (
	"bytes"
	"context"
	"encoding/base64"
	"encoding/json"
	"errors"
	"fmt"
	"io"
	"io/fs"
	"maps"
	"os"
	"os/exec"
	"path/filepath"
	"regexp"
	"slices"
	"strconv"
	"strings"
	"testing"
)

// TestOracle compares every record of every log in a folder with what another reader
// makes of it: POSTERN_EVTX is the folder, POSTERN_DUMPEVTX the binary of
// www.velocidex.com/golang/evtx/cmd. That reader writes bytes in Base64, times as
// seconds, keeps attributes that name a namespace or the only value, and knows fewer types
// of values: such differences are counted and shown, others fail.
func TestOracle(t *testing.T) {
	dir, dump := os.Getenv("POSTERN_EVTX"), os.Getenv("POSTERN_DUMPEVTX")
	if dir == "" || dump == "" {
		t.Skip("POSTERN_EVTX and POSTERN_DUMPEVTX are not set: they name a folder of event logs and the other reader")
	}
	files, records := 0, 0
	known := make(map[string]int)
	err := filepath.WalkDir(dir, func(path string, d fs.DirEntry, err error) error {
		if err != nil || d.IsDir() || !strings.EqualFold(filepath.Ext(path), ".evtx") {
			return err
		}
		files++
		out, err := exec.Command(dump, "parse", path).Output()
		if err != nil {
			return fmt.Errorf("%s: %w", path, err)
		}
		theirs := json.NewDecoder(bytes.NewReader(out))
		theirs.UseNumber()
		f, err := os.Open(path)
		if err != nil {
			return err
		}
		defer f.Close()
		_, err = Read(context.Background(), f, path, func(r *Record) error {
			records++
			var o map[string]any
			if err := theirs.Decode(&o); err != nil {
				return fmt.Errorf("record %d: %w", r.Number, err)
			}
			compare(t, fmt.Sprintf("%s record %d", path, r.Number), r, o, known)
			return nil
		})
		if err != nil {
			return fmt.Errorf("%s: %w", path, err)
		}
		if err := theirs.Decode(new(any)); !errors.Is(err, io.EOF) {
			t.Errorf("%s: the other reader has more records", path)
		}
		return nil
	})
	if err != nil {
		t.Fatal(err)
	}
	t.Logf("%d files, %d records; differences of form:", files, records)
	for _, k := range slices.Sorted(maps.Keys(known)) {
		t.Logf("  %s: %d", k, known[k])
	}
}

func compare(t *testing.T, where string, r *Record, o map[string]any, known map[string]int) {
	system, _ := o["System"].(map[string]any)
	delete(o, "System")
	delete(o, "Message")
	for name, pair := range map[string][2]string{
		"EventRecordID": {fmt.Sprint(r.Number), fmt.Sprint(system["EventRecordID"])}, "Channel": {r.Channel, text(system["Channel"])},
		"Computer": {r.Computer, text(system["Computer"])}, "EventID": {fmt.Sprint(r.EventID), text(system["EventID"])},
	} {
		switch {
		case pair[0] == pair[1]:
		case name == "Channel" && pair[0] == "": // a trace turned into a log has none
			known["channel where the template has none"]++
		default:
			t.Errorf("%s: %s is %q, the other reader has %q", where, name, pair[0], pair[1])
		}
	}
	ours := make(map[string]int)
	for _, f := range append(r.Data, r.System...) {
		if v := form(f.Value); v != "" {
			ours[v]++
		}
	}
	leaves(o, func(v string) {
		v = form(v)
		if v == "" {
			return
		}
		if ours[v] > 0 {
			ours[v]--
			return
		}
		kind := difference(v, ours)
		if slices.ContainsFunc(r.Data, func(f Field) bool { return f.Name == v }) {
			kind = "name of the only value as a value"
		}
		if kind == "" {
			t.Errorf("%s: the other reader has %.200q", where, v)
			return
		}
		known[kind]++
	})
}

// text gives a value of the system's part, which may be wrapped.
func text(v any) string {
	if m, ok := v.(map[string]any); ok {
		v = m["Value"]
	}
	return fmt.Sprint(v)
}

func leaves(v any, visit func(string)) {
	switch v := v.(type) {
	case map[string]any:
		for _, k := range slices.Sorted(maps.Keys(v)) {
			leaves(v[k], visit)
		}
	case []any:
		for _, e := range v {
			leaves(e, visit)
		}
	case nil:
	default:
		visit(fmt.Sprint(v))
	}
}

var guid = regexp.MustCompile(`^\{[0-9A-F-]{36}\}$`)

// form gives a value as both write it.
func form(v string) string {
	if n, err := strconv.ParseUint(strings.TrimPrefix(v, "0x"), 16, 64); err == nil && strings.HasPrefix(v, "0x") {
		return strconv.FormatUint(n, 10)
	}
	if guid.MatchString(v) {
		return v[1 : len(v)-1]
	}
	return strings.TrimSpace(strings.TrimRight(v, "\x00"))
}

// difference names a difference of form, "" for any other.
func difference(v string, ours map[string]int) string {
	if strings.HasPrefix(v, "http://") || strings.HasPrefix(v, "Event_NS") {
		return "namespace"
	}
	if b, err := base64.StdEncoding.DecodeString(v); err == nil && ours[fmt.Sprintf("%X", b)] > 0 {
		return "bytes in Base64"
	}
	if f, err := strconv.ParseFloat(v, 64); err == nil && (f < -1e10 || f > 1e8) {
		return "time in seconds"
	}
	if len(v) <= 4 && strings.ContainsFunc(v, func(r rune) bool { return r < ' ' }) {
		return "number as bytes"
	}
	return ""
}
