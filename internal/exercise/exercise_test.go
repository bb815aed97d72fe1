package exercise

import (
	"bytes"
	"context"
	"crypto/sha256"
	"encoding/binary"
	"encoding/csv"
	"encoding/hex"
	"errors"
	"fmt"
	"io"
	"io/fs"
	"os"
	"path/filepath"
	"regexp"
	"runtime"
	"slices"
	"strings"
	"testing"
	"time"
	"unicode/utf16"

	"postern"
	"postern/internal/catalogue"
)

// Two days, so that few files need to be made.
var shortFrom, shortTo = defaultFrom.AddDate(0, 0, 10), defaultFrom.AddDate(0, 0, 12)

// Each story is laid out and all that must be true of any is asked of it.
func TestStories(t *testing.T) {
	t.Parallel()
	for i, s := range Stories() {
		t.Run(s.Name, func(t *testing.T) {
			t.Parallel()
			variations := []Variation{VaryAll}
			if s.Name == "shell-used" {
				variations = append(variations, VaryNone, VarySome)
			}
			for _, variation := range variations {
				dir := t.TempDir()
				o := Options{
					Seed: uint64(100*int(variation) + i), Out: dir, Stories: []string{s.Name}, Variation: variation, Size: 1 << 20,
					From: shortFrom, To: shortTo, Window: Span{shortFrom, shortTo},
				}
				truth, err := Evidence(context.Background(), o)
				if err != nil {
					t.Fatal(err)
				}
				tree := &tree{t: t, dir: dir, files: map[string]*logText{}}
				h := truth.Hosts[0]
				tree.checkRows(h)
				tree.checkColumns()
				tree.checkInert(h)
				checkLevel(t, h)
				checkLeaves(t, h)
				checkCoverage(t, h)
				checkVariation(t, h, variation)
				read, err := ReadTruth(filepath.Join(dir, truthFile))
				if err != nil || fmt.Sprint(read.Hosts[0].Planted) != fmt.Sprint(h.Planted) {
					t.Errorf("truth.json does not read as it was told: %v", err)
				}
			}
		})
	}
}

// checkVariation: with VaryAll every row of the front end that carries the attack
// is unusual, with VaryNone none is.
func checkVariation(t *testing.T, h HostTruth, variation Variation) {
	for _, r := range h.Planted {
		varied := len(r.Vary) > 0
		if varied && variation == VaryNone || !varied && variation == VaryAll && strings.HasPrefix(r.Kind, "ssrf-") {
			t.Errorf("%s line %d: written in the ways %q", r.Kind, r.Line, r.Vary)
		}
	}
}

// tree reads what was laid out.
type tree struct {
	t     *testing.T
	dir   string
	files map[string]*logText
}

// logText is a log as text, with its lines.
type logText struct {
	stored []byte
	text   string
	lines  []string
	wide   bool
	bom    int64 // bytes
}

func (tr *tree) log(path string) *logText {
	if l := tr.files[path]; l != nil {
		return l
	}
	b, err := os.ReadFile(filepath.Join(tr.dir, path))
	if err != nil {
		tr.t.Fatal(err)
	}
	l := &logText{stored: b}
	switch {
	case bytes.HasPrefix(b, []byte{0xFF, 0xFE}):
		var units []uint16
		for i := 2; i+1 < len(b); i += 2 {
			units = append(units, uint16(b[i])|uint16(b[i+1])<<8)
		}
		l.text, l.wide = string(utf16.Decode(units)), true
	default:
		l.text = strings.TrimPrefix(string(b), "\ufeff")
		l.bom = int64(len(b) - len(l.text))
	}
	l.lines = strings.Split(l.text, "\r\n")
	tr.files[path] = l
	return l
}

// contains are words that the row of a kind must have, after decoding.
var contains = map[string][]string{
	"ssrf-probe": {"serverinfo~localhost/"}, "ssrf-autodiscover": {"serverinfo~", "/autodiscover/autodiscover.xml", "exchangeservicesclient/0.0.0.0"},
	"ssrf-mapi": {"serverinfo~", "/mapi/emsmdb"}, "ssrf-proxylogon": {"serverinfo~", "/ecp/proxylogon.ecp"}, "ssrf-ews": {"/ews/exchange.asmx"},
	"ddi-getobject": {"/getobject?", "schema=oabvirtualdirectory"}, "ddi-setobject": {"/setobject?", "schema=oabvirtualdirectory"},
	"ddi-reset": {"/setobject?", "schema=resetoabvirtualdirectory"}, "iis-back-ddi-reset": {"schema=resetoabvirtualdirectory", "$"},
	"ecp-set-markup": {"set-oabvirtualdirectory", ".externalurl=''http://", "<script"}, "ecp-remove": {"remove-oabvirtualdirectory"},
	"ecp-tidy-up": {".externalurl=$null"}, "oab-temporary-file": {"download failed and temporary file", ".aspx"},
	"iis-back-ssrf-proxylogon": {"/ecp/proxylogon.ecp"}, "ews-as-other": {`nt authority\system`}, "hidden-virtual-directory": {`c:\programdata\`},
}

var escape = regexp.MustCompile("%[0-9a-fA-F]{2}")

// checkRows reads each row of the truth back.
func (tr *tree) checkRows(h HostTruth) {
	for _, r := range h.Planted {
		if r.Record > 0 {
			tr.record(r.Place)
			continue
		}
		line := tr.row(r.Place)
		if r.Kind != "hidden-virtual-directory" && !hasTime(line, r.Time) {
			tr.t.Errorf("%s: %s line %d has not the time %s: %.120q", r.Kind, r.Path, r.Line, r.Time, line)
		}
		plain := line
		for range 3 {
			plain = escape.ReplaceAllStringFunc(plain, func(s string) string {
				b, _ := hex.DecodeString(s[1:])
				return string(b)
			})
		}
		plain = strings.ToLower(strings.ReplaceAll(strings.ReplaceAll(plain, `\`, "/"), "//", "/"))
		for _, word := range contains[r.Kind] {
			word = strings.ReplaceAll(strings.ReplaceAll(word, `\`, "/"), "//", "/")
			if !strings.Contains(plain, word) {
				tr.t.Errorf("%s: %s line %d has no %q: %.300q", r.Kind, r.Path, r.Line, word, plain)
			}
		}
	}
	for _, n := range h.NearMisses {
		if n.Record > 0 {
			tr.record(n.Place)
			continue
		}
		if n.Line == 0 {
			if _, err := os.Stat(filepath.Join(tr.dir, n.Path)); err != nil {
				tr.t.Error(err)
			}
			continue
		}
		if tr.row(n.Place) == "" {
			tr.t.Errorf("near miss %q: %s line %d is empty", n.Why, n.Path, n.Line)
		}
	}
	for _, f := range h.Files {
		b, err := os.ReadFile(filepath.Join(tr.dir, f.Path))
		if err != nil {
			tr.t.Error(err)
			continue
		}
		if sum := sha256.Sum256(b); hex.EncodeToString(sum[:]) != f.SHA256 {
			tr.t.Errorf("%s: its hash is not that of the truth", f.Path)
		}
	}
	if len(h.NearMisses) < 30 {
		tr.t.Errorf("%d near misses, want at least 30 on every host", len(h.NearMisses))
	}
}

// record checks that an event log has the record: each begins with two stars, two
// zeros, its size and its number.
func (tr *tree) record(p Place) {
	b := tr.log(p.Path).stored
	number := binary.LittleEndian.AppendUint64(nil, uint64(p.Record))
	for at := 0; ; {
		i := bytes.Index(b[at:], []byte("**\x00\x00"))
		if i < 0 {
			tr.t.Errorf("%s has no record %d", p.Path, p.Record)
			return
		}
		if at += i; bytes.HasPrefix(b[at+8:], number) {
			return
		}
		at++
	}
}

// row gives the line at a place and checks that its offsets lead there too.
func (tr *tree) row(p Place) string {
	l := tr.log(p.Path)
	if p.Line < 1 || int(p.Line) > len(l.lines) {
		tr.t.Errorf("%s has %d lines, want line %d", p.Path, len(l.lines), p.Line)
		return ""
	}
	line := l.lines[p.Line-1]
	if at := p.Offset - l.bom; !strings.HasPrefix(l.text[at:], line) {
		tr.t.Errorf("%s line %d: at offset %d stands %.60q, want %.60q", p.Path, p.Line, p.Offset, l.text[at:], line)
	}
	first := []byte(line[:min(8, len(line))])
	if l.wide {
		first = appendUTF16(nil, first)
	}
	if !bytes.HasPrefix(l.stored[p.Stored:], first) {
		tr.t.Errorf("%s line %d: at byte %d stands %.20q, want %.20q", p.Path, p.Line, p.Stored, l.stored[p.Stored:], first)
	}
	return line
}

func hasTime(line string, at time.Time) bool {
	return strings.Contains(line, at.Format("2006-01-02T15:04:05.000Z")) ||
		strings.HasPrefix(line, at.Format("2006-01-02 15:04:05 ")) || strings.Contains(line, at.Format("15:04:05"))
}

// checkColumns reads every log and counts the cells of each row.
func (tr *tree) checkColumns() {
	logs := 0
	err := filepath.WalkDir(tr.dir, func(name string, d fs.DirEntry, err error) error {
		if err != nil || d.IsDir() || !strings.EqualFold(filepath.Ext(name), ".log") || strings.Contains(name, "msert") || strings.Contains(name, "OABGen") {
			return err
		}
		logs++
		path, _ := filepath.Rel(tr.dir, name)
		tr.countCells(filepath.ToSlash(path))
		return nil
	})
	if err != nil || logs < 40 {
		tr.t.Errorf("%d logs, %v", logs, err)
	}
}

func (tr *tree) countCells(path string) {
	var fields []string
	lines := tr.log(path).lines
	for i, line := range lines {
		line = strings.TrimLeft(line, "\x00")
		if after, ok := strings.CutPrefix(line, "#Fields: "); ok {
			if fields = strings.Split(after, ","); strings.Contains(path, "W3SVC") {
				fields = strings.Fields(after)
			}
		}
		if line == "" || line[0] == '#' || fields == nil || line == strings.Join(fields, ",") || i == len(lines)-1 {
			continue
		}
		n := len(strings.Split(line, " "))
		if !strings.Contains(path, "W3SVC") {
			cells, err := csv.NewReader(strings.NewReader(line)).Read()
			if err != nil {
				tr.t.Errorf("%s line %d: %v", path, i+1, err)
				return
			}
			n = len(cells)
		}
		if n != len(fields) {
			tr.t.Errorf("%s line %d: %d cells, want %d: %.200q", path, i+1, n, len(fields), line)
			return
		}
	}
}

// checkInert looks into everything that was laid out for what could run.
func (tr *tree) checkInert(h HostTruth) {
	dangerous := []string{
		"ev" + "al(", `language="js` + `cript"`, `language="c` + `#" runat`, "process" + ".start", "cmd" + ".exe", "saveas", "request[", "request.item", "system.diagnostics", "powershell -e", "<?php",
	}
	err := filepath.WalkDir(tr.dir, func(name string, d fs.DirEntry, err error) error {
		if err != nil || d.IsDir() {
			return err
		}
		b, err := os.ReadFile(name)
		lower := bytes.ToLower(bytes.ReplaceAll(b, []byte{0}, nil))
		for _, word := range dangerous {
			if word == "cmd"+".exe" && strings.HasSuffix(name, ".evtx") {
				continue // an event log says what ran; it does not run
			}
			if bytes.Contains(lower, []byte(word)) {
				tr.t.Errorf("%s holds %q", name, word)
			}
		}
		if bytes.HasPrefix(b, []byte("MZ")) && bytes.Contains(b, []byte("PE\x00\x00")) {
			tr.t.Errorf("%s has the header of a program", name)
		}
		return err
	})
	if err != nil {
		tr.t.Error(err)
	}
	for _, f := range h.Files {
		if f.Kind == "scanner-log" {
			continue
		}
		b, _ := os.ReadFile(filepath.Join(tr.dir, f.Path))
		marked := bytes.Contains(b, []byte("@@BODY@@")) || bytes.Contains(b, []byte("@@INERT@@")) || f.Kind == "compiled-page"
		if !marked || strings.HasPrefix(f.Kind, "shell") && !bytes.Contains(bytes.ToLower(b), []byte(`language="x-inert"`)) {
			tr.t.Errorf("%s: nothing in it says that it is inert", f.Path)
		}
	}
}

// levels are the verdicts of the stories.
var levels = map[string][]postern.Level{
	"clean": {postern.NotSeen}, "logs-rotated-away": {postern.NotSeen},
	"probe-only": {postern.Probed}, "mitigated": {postern.Probed}, "patched-in-time": {postern.Probed},
	"failed-chain": {postern.Probed, postern.Exploited}, "mail-theft": {postern.Exploited},
	"full-chain-with-tidy-up": {postern.Implanted}, "oab-write": {postern.Implanted}, "third-party-checks": {postern.Implanted},
	"behind-load-balancer": {postern.Implanted}, "other-drive": {postern.Implanted}, "patched-afterwards": {postern.Implanted},
	"shell-used": {postern.Used}, "post-exploitation": {postern.PostExploitation},
	"proxyshell-probe": {postern.Probed}, "proxyshell": {postern.Used}, "owassrf": {postern.PostExploitation}, "proxytoken": {postern.Privileged},
}

func checkLevel(t *testing.T, h HostTruth) {
	if e := h.Expect; !slices.Contains(levels[h.Story], e.Level) || e.Name != e.Level.String() {
		t.Errorf("expected verdict is %+v, want one of %v", e, levels[h.Story])
	}
	if got, want := h.Expect.Conclusive, h.Story != "logs-rotated-away"; got != want {
		t.Errorf("conclusive is %v, want %v: %+v", got, want, h.Coverage)
	}
	if got, want := h.Lost > 0, h.Story == "logs-rotated-away"; got != want {
		t.Errorf("%d rows of the story were lost", h.Lost)
	}
}

func checkCoverage(t *testing.T, h HostTruth) {
	if days := eras[h.Story]; !h.From.Equal(shortFrom.AddDate(0, 0, days)) || !h.To.Equal(shortTo.AddDate(0, 0, days)) {
		t.Errorf("logs from %s to %s, want %d days after the range that was asked for", h.From, h.To, days)
	}
	for _, c := range h.Coverage {
		if c.From.Before(h.From) || !c.To.Before(h.To) || c.Records == 0 {
			t.Errorf("coverage outside the range: %+v", c)
		}
	}
}

// eras are the days by which the stories of later campaigns come after the others.
var eras = map[string]int{"proxyshell-probe": 168, "proxyshell": 168, "owassrf": 651, "proxytoken": 191}

// leaves are kinds that a story must leave, beside its level.
var leaves = map[string][]string{
	"probe-only":              {"ssrf-probe", "ssrf-autodiscover", "iis-front-ssrf-probe"},
	"failed-chain":            {"ssrf-autodiscover", "ssrf-mapi", "ssrf-proxylogon"},
	"full-chain-with-tidy-up": {"ssrf-mapi", "ssrf-proxylogon", "ddi-getobject", "ddi-setobject", "ddi-reset", "ecp-set-markup", "ecp-remove", "ecp-new", "ecp-tidy-up", "iis-back-ddi-reset", "shell-vdir-dump"},
	"third-party-checks":      {"shell-sweep", "iis-front-shell-check", "scanner-log", "antivirus"},
	"shell-used":              {"iis-front-shell-use", "compiled-page", "compiled-library"},
	"post-exploitation":       {"staging-archive", "disguised-archive", "credential-dump", "hidden-virtual-directory", "hidden-page", "process-below-worker", "log-cleared"},
	"oab-write":               {"oab-temporary-file", "shell-page"},
	"patched-afterwards":      {"ddi-reset", "ssrf-refused"},
	"patched-in-time":         {"ssrf-refused"},
	"mail-theft":              {"ssrf-ews", "ews-as-other"},
	"mitigated":               {"ssrf-probe"},
	"proxyshell-probe":        {"confused-probe", "iis-front-confused-probe"},
	"proxyshell":              {"confused-mapi", "confused-mail", "confused-powershell", "iis-back-confused-powershell", "rps-token", "rps-export", "shell-export", "compiled-page", "iis-front-shell-use", "event-rps-export"},
	"owassrf":                 {"owa-probe", "owa-powershell", "iis-front-owa-powershell", "rps-client", "staging-archive"},
	"proxytoken":              {"token-settings", "token-rule", "ecp-inbox-rule", "token-refused"},
}

func checkLeaves(t *testing.T, h HostTruth) {
	var got []string
	for _, r := range h.Planted {
		got = append(got, r.Kind)
	}
	for _, f := range h.Files {
		got = append(got, f.Kind)
	}
	for _, kind := range leaves[h.Story] {
		if !slices.Contains(got, kind) {
			t.Errorf("no %s among %q", kind, got)
		}
	}
	if patched := strings.HasPrefix(h.Story, "patched"); patched && (h.Patched == nil || h.Build == h.BuildAfter) {
		t.Errorf("patched %v, build %s then %s", h.Patched, h.Build, h.BuildAfter)
	}
	if (h.Story == "mitigated") != (h.Mitigated != nil) {
		t.Errorf("mitigated %v", h.Mitigated)
	}
}

func TestTiny(t *testing.T) {
	t.Parallel()
	truth, err := Tiny(t.TempDir(), "probe-only", 7)
	if err != nil {
		t.Fatal(err)
	}
	if h := truth.Hosts[0]; h.NBytes > 2<<20 || h.Expect.Level != postern.Probed {
		t.Errorf("%d bytes, %+v", h.NBytes, h.Expect)
	}
	if _, err := Tiny(t.TempDir(), "none", 7); err == nil {
		t.Error("a story that does not exist: no error")
	}
}

// The same options give the same tree on any number of cores.
func TestSameSeedSameTree(t *testing.T) {
	lay := func(seed uint64, cores int) string {
		defer runtime.GOMAXPROCS(runtime.GOMAXPROCS(cores))
		dir := t.TempDir()
		if _, err := Evidence(context.Background(), Options{
			Seed: seed, Out: dir, Hosts: 2, Size: 2 << 20, From: shortFrom, To: shortTo,
		}); err != nil {
			t.Fatal(err)
		}
		return treeHash(t, dir)
	}
	first := lay(1, 1)
	if again := lay(1, 4); again != first {
		t.Error("the same seed gives another tree on more cores")
	}
	if other := lay(2, 4); other == first {
		t.Error("another seed gives the same tree")
	}
}

func treeHash(t *testing.T, dir string) string {
	sum := sha256.New()
	err := filepath.WalkDir(dir, func(name string, d fs.DirEntry, err error) error {
		if err != nil || d.IsDir() {
			return err
		}
		info, err := d.Info()
		if err != nil {
			return err
		}
		path, _ := filepath.Rel(dir, name)
		if path != truthFile { // its own time is that of the writing
			fmt.Fprintln(sum, path, info.Size(), info.ModTime().UnixMilli())
		}
		f, err := os.Open(name)
		if err != nil {
			return err
		}
		defer f.Close()
		_, err = io.Copy(sum, f)
		return err
	})
	if err != nil {
		t.Fatal(err)
	}
	return hex.EncodeToString(sum.Sum(nil))
}

// Logs are of the size that was asked for, and one host's plan does not change with it.
func TestSize(t *testing.T) {
	t.Parallel()
	var planned []string
	for _, size := range []int64{1 << 20, 8 << 20} {
		truth, err := Evidence(context.Background(), Options{
			Seed: 4, Out: t.TempDir(), Hosts: 1, Size: size, Stories: []string{"full-chain-with-tidy-up"},
			From: shortFrom, To: shortTo,
		})
		if err != nil {
			t.Fatal(err)
		}
		h := truth.Hosts[0]
		if off := float64(h.NBytes)/float64(size) - 1; off < -0.1 || off > 0.1 {
			t.Errorf("%d bytes, want %d within a tenth", h.NBytes, size)
		}
		var plan []string
		for _, r := range h.Planted {
			plan = append(plan, fmt.Sprint(r.Kind, r.Time, r.Vary))
		}
		planned = append(planned, strings.Join(plan, "\n"))
	}
	if planned[0] != planned[1] {
		t.Error("what is planted changes with the size")
	}
}

// A file that has met its limit is followed by one with the next number, and a
// busy day's file begins its header anew after a restart.
func TestRollAndRestart(t *testing.T) {
	t.Parallel()
	o, err := Options{Seed: 3, Out: t.TempDir(), Stories: []string{"clean"}, Size: 2 << 20, From: shortFrom, To: shortTo}.settled()
	if err != nil {
		t.Fatal(err)
	}
	root, err := openEmpty(o.Out)
	if err != nil {
		t.Fatal(err)
	}
	defer root.Close()
	h := newHost(&o, 0, root)
	for _, s := range h.proxy {
		s.limit = 8 << 10
	}
	if err := h.layOut(context.Background(), &watcher{o: &o}); err != nil {
		t.Fatal(err)
	}
	second, _ := filepath.Glob(filepath.Join(o.Out, "EX01/*/*/*/*/*/Logging/HttpProxy/*/*-2.LOG"))
	if len(second) == 0 {
		second, _ = filepath.Glob(filepath.Join(o.Out, "EX01/D/*/*/Logging/HttpProxy/*/*-2.LOG"))
	}
	if len(second) == 0 {
		t.Error("no file with the number 2")
	}
	headers := 0
	logs, _ := filepath.Glob(filepath.Join(o.Out, "EX01/C/inetpub/logs/LogFiles/W3SVC1/*.log"))
	for _, name := range logs {
		b, err := os.ReadFile(name)
		if err != nil {
			t.Fatal(err)
		}
		headers += bytes.Count(b, []byte("#Fields:"))
	}
	if want := len(logs) + len(h.restarts); headers != want {
		t.Errorf("%d header blocks in %d logs with %d restarts, want %d", headers, len(logs), len(h.restarts), want)
	}
}

// Exchange's own logs are kept for 30 days, those of the web server longer.
func TestRetention(t *testing.T) {
	t.Parallel()
	o, err := Options{Seed: 5, Out: t.TempDir(), Hosts: 1, Size: 14 << 20, From: defaultTo.AddDate(0, 0, -45), To: defaultTo}.settled()
	if err != nil {
		t.Fatal(err)
	}
	for _, s := range newHost(&o, 0, nil).streams {
		want := defaultTo.AddDate(0, 0, -30)
		if s.source == "iis" {
			want = o.From
		}
		if got := instant(s.keepFrom); !got.Equal(want) {
			t.Errorf("%s is kept from %s, want %s", s.dir, got, want)
		}
	}
}

func TestRefused(t *testing.T) {
	t.Parallel()
	full := t.TempDir()
	if err := os.WriteFile(filepath.Join(full, "x"), nil, 0o644); err != nil {
		t.Fatal(err)
	}
	for name, o := range map[string]Options{
		"unknown story": {Out: t.TempDir(), Stories: []string{"nothing"}},
		"no folder":     {},
		"full folder":   {Out: full},
		"too many":      {Out: t.TempDir(), Hosts: MaxHosts + 1},
		"too small":     {Out: t.TempDir(), Size: 1000},
		"half a range":  {Out: t.TempDir(), From: shortFrom},
		"short range":   {Out: t.TempDir(), From: defaultFrom, To: defaultFrom.Add(time.Hour)},
		"long range":    {Out: t.TempDir(), Size: 2 << 20, Hosts: 1, From: defaultFrom, To: defaultFrom.AddDate(0, 3, 0)},
	} {
		if _, err := Evidence(context.Background(), o); err == nil {
			t.Errorf("%s: no error", name)
		}
	}
}

func TestCancelled(t *testing.T) {
	t.Parallel()
	ctx, cancel := context.WithCancel(context.Background())
	cancel()
	dir := t.TempDir()
	if _, err := Evidence(ctx, Options{Out: dir, Hosts: 2}); !errors.Is(err, context.Canceled) {
		t.Errorf("got %v, want %v", err, context.Canceled)
	}
	if _, err := os.Stat(filepath.Join(dir, truthFile)); err == nil {
		t.Error("there is a truth of a cancelled run")
	}
}

func TestProgress(t *testing.T) {
	t.Parallel()
	var last Progress
	truth, err := Evidence(context.Background(), Options{Out: t.TempDir(), Hosts: 2, Size: 2 << 20, From: shortFrom, To: shortTo, Progress: func(p Progress) { last = p }})
	if err != nil {
		t.Fatal(err)
	}
	if want := truth.Hosts[0].NBytes + truth.Hosts[1].NBytes; last.Bytes != want || last.HostsDone != 2 || last.Hosts != 2 {
		t.Errorf("at the end %+v, want %d bytes of 2 hosts", last, want)
	}
}

// Each story has its sentence in every language, and the mix has every story.
func TestStoryNames(t *testing.T) {
	t.Parallel()
	var names []string
	for _, s := range Stories() {
		names = append(names, s.Name)
		for _, lang := range catalogue.Languages {
			c, err := catalogue.Load(lang)
			if err != nil {
				t.Fatal(err)
			}
			if !c.Has(s.Text.Key) {
				t.Errorf("%s: no message %s", lang, s.Text.Key)
			}
		}
	}
	mixed := slices.Clone(mix)
	slices.Sort(mixed)
	slices.Sort(names)
	if !slices.Equal(mixed, names) {
		t.Errorf("the mix is %q, the stories are %q", mixed, names)
	}
}

func TestLayoutsHaveAPlaceForEachColumn(t *testing.T) {
	t.Parallel()
	for _, layoutOf := range builds {
		l := proxyLayout(layoutOf.before)
		names := strings.Split(l.fields, ",")
		if l.order != nil && len(l.order) != len(names) {
			t.Errorf("%v: %d columns and %d places", layoutOf.before, len(names), len(l.order))
		}
	}
}

func BenchmarkEvidence(b *testing.B) {
	const size = 64 << 20
	b.SetBytes(size)
	for i := range b.N {
		if _, err := Evidence(context.Background(), Options{Seed: uint64(i), Out: b.TempDir(), Hosts: 1, Size: size}); err != nil {
			b.Fatal(err)
		}
	}
}
