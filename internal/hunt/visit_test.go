package hunt

import (
	"bytes"
	"compress/gzip"
	"errors"
	"fmt"
	"io"
	"slices"
	"strings"
	"testing"

	"postern"
	"postern/internal/hunt/detect"
	parseall "postern/internal/hunt/parse/all"
	"postern/internal/hunt/source"
)

// TestFileOfUnknownSize hunts a page of every size about the bounds of what is read at
// once, packed as a .gz, which does not say how long its content is.
func TestFileOfUnknownSize(t *testing.T) {
	t.Parallel()
	for _, size := range []int{7, 100, headSize - 1, headSize, headSize + 1, smallFile, smallFile + 1, wholeFile - 1, wholeFile, wholeFile + 1} {
		page := strings.Repeat("x", size-7) + "dropped"
		var packed bytes.Buffer
		w := gzip.NewWriter(&packed)
		io.WriteString(w, page)
		w.Close()
		for name, content := range map[string]string{"x.aspx": page, "x.aspx.gz": packed.String()} {
			r := run(t, options(), lay(t, map[string]string{"srv/C/inetpub/wwwroot/" + name: content}))
			if got := r.rules(r.hosts[0]); !slices.Contains(got, "page") {
				t.Errorf("%s with a page of %d bytes: findings %q, want page; problems %v", name, size, got, r.problems)
			}
		}
	}
}

// TestLongFirstEvent hunts events as JSON whose channel and id stand behind a value of any
// length about the bounds of what is read at once, plain and packed.
func TestLongFirstEvent(t *testing.T) {
	t.Parallel()
	const before, behind = `{"Event":{"EventData":{"ScriptBlockText":"`, `"},"System":{"Channel":"Security","Computer":"EX01","EventID":4104}}}`
	const next = "\n" + `{"Event":{"System":{"Channel":"Security","Computer":"EX01","EventID":4688}}}` + "\n"
	for _, size := range []int{200, headSize - 1, headSize, headSize + 1, 2 * headSize, smallFile - 1, smallFile, smallFile + 1, 2*smallFile - 1, 2 * smallFile, 3 * smallFile, wholeFile - 1} {
		for _, first := range []string{"", "\xef\xbb\xbf"} {
			log := first + before + strings.Repeat("a", size-len(first+before+behind)) + behind + next
			var packed bytes.Buffer
			w := gzip.NewWriter(&packed)
			io.WriteString(w, log)
			w.Close()
			for name, content := range map[string]string{"x.json": log, "x.json.gz": packed.String()} {
				opt := options()
				opt.Records, opt.Progress = parseall.Records(), &Progress{}
				r := run(t, opt, lay(t, map[string]string{name: content}))
				if n := opt.Progress.Records.Load(); n != 2 || len(r.hosts) != 1 || r.hosts[0].Host != "EX01" {
					t.Errorf("%s with a first event of %d bytes: %d events, want 2; hosts %+v; problems %v", name, size, n, r.hosts, r.problems)
				}
			}
		}
	}
}

// TestWhole asks that what is given of a file that is no log is its content, wherever its
// first line ends.
func TestWhole(t *testing.T) {
	t.Parallel()
	opt := options()
	opt.Records = parseall.Records()
	h := newHunt(opt, nil)
	buf := make([]byte, smallFile+1)
	pages := make(map[string]string)
	for _, size := range []int{7, headSize - 1, headSize, headSize + 1, 2 * headSize, smallFile, smallFile + 1, 2 * smallFile, 2*smallFile + 2, wholeFile - 1, wholeFile, wholeFile + 1} {
		for _, end := range []int{5, headSize + 3, smallFile + 3, wholeFile + 3} {
			page := []byte("{" + strings.Repeat("page", wholeFile/4+1))[:size]
			if end < size {
				page[end] = '\n'
			}
			pages[fmt.Sprintf("%d-%d.aspx", size, end)] = string(page)
		}
	}
	e, err := source.Open(t.Context(), lay(t, pages), source.Options{})
	if err != nil {
		t.Fatal(err)
	}
	defer e.Close()
	seen := 0
	err = e.Walk(t.Context(), func(f source.File) error {
		seen++
		page := pages[f.Path]
		for _, said := range []int64{f.Size, -1, f.Size + 1, f.Size - 1} {
			f := f
			f.Size = said
			_, whole, isLog := h.recognise(f, &buf)
			want := said == int64(len(page)) && len(page) <= wholeFile
			if isLog || (whole != nil) != want || want && string(whole) != page {
				t.Errorf("%s, said to have %d bytes: a log %v, %d bytes given", f.Path, said, isLog, len(whole))
			}
		}
		return nil
	})
	if err != nil || seen != len(pages) {
		t.Errorf("%d of %d pages, %v", seen, len(pages), err)
	}
}

// TestPageThatBeginsLikeALog puts before a page what logs begin with: the page is looked
// at all the same.
func TestPageThatBeginsLikeALog(t *testing.T) {
	t.Parallel()
	opt := options()
	opt.Records = parseall.Records()
	for name, begins := range map[string]string{
		"nothing":   "",
		"event log": "ElfFile\x00" + strings.Repeat("\x00", 120),
		"events":    `{"EventTime":"2021-03-03T10:00:00Z","Channel":"Security","EventID":4688,"Computer":"EX01"}` + "\n",
		"rows":      iisLog(0),
	} {
		r := run(t, opt, lay(t, map[string]string{"srv/C/inetpub/wwwroot/x.aspx": begins + "\r\ndropped\r\n"}))
		var got []string
		for _, h := range r.hosts {
			got = append(got, r.rules(h)...)
		}
		if !slices.Contains(got, "page") {
			t.Errorf("a page behind %s: findings %q, want page", name, got)
		}
	}
}

// anyFile is a detector whose rules may be about logs too.
type anyFile struct{ pages }

func (anyFile) WantsLogs() bool { return true }

// TestLogDetector asks a detector about logs only where it says that it looks at them.
func TestLogDetector(t *testing.T) {
	t.Parallel()
	dir := lay(t, whole("EX01", "EX01"), map[string]string{
		"EX01/C/inetpub/logs/LogFiles/W3SVC1/u_ex210303.log": iisLog(2, "dropped"),
		"EX01/C/inetpub/logs/LogFiles/W3SVC1/u_ex210304.log": iisLog(3, "dropped"), // of a family that is known by then
		"EX01/C/inetpub/logs/LogFiles/W3SVC1/u_ex210305.log": "dropped",            // which has the name alone
	})
	opt := options()
	opt.Threads = 1
	if got := run(t, opt, dir).host(t, "EX01").Findings; slices.ContainsFunc(got, func(f postern.Finding) bool {
		return f.Rule == "page" && !strings.HasSuffix(f.Evidence[0].Path, "u_ex210305.log")
	}) {
		t.Error("a detector of pages was asked about a log")
	}
	opt.Files = []detect.FileDetector{anyFile{}}
	r := run(t, opt, dir)
	count := 0
	for _, f := range r.host(t, "EX01").Findings {
		if f.Rule == "page" {
			count++
		}
	}
	if count != 3 {
		t.Errorf("%d logs found by a detector that looks at logs, want 3; problems %v", count, r.problems)
	}
}

// stumbling is a detector that a file brings down.
type stumbling struct{ pages }

func (s stumbling) Look(f *detect.File) ([]postern.Finding, []postern.Problem, error) {
	if strings.HasSuffix(f.Path, "evil.aspx") {
		panic(errors.New("made to fail"))
	}
	return s.pages.Look(f)
}

// TestStumbling lets a file bring a detector down: it is named, and all others are looked
// at.
func TestStumbling(t *testing.T) {
	t.Parallel()
	opt := options()
	opt.Files = []detect.FileDetector{stumbling{}, pages{}}
	r := run(t, opt, lay(t, whole("EX01", "EX01"), map[string]string{
		"EX01/C/inetpub/wwwroot/aspnet_client/evil.aspx": "dropped", // which others see
		"EX01/C/inetpub/wwwroot/aspnet_client/next.aspx": "dropped",
	}))
	for _, name := range []string{"evil.aspx", "next.aspx"} {
		if !slices.ContainsFunc(r.host(t, "EX01").Findings, func(f postern.Finding) bool { return f.Rule == "page" && strings.HasSuffix(f.Evidence[0].Path, name) }) {
			t.Errorf("findings %q, want %s, which one detector stumbles on", r.rules(r.host(t, "EX01")), name)
		}
	}
	named := slices.ContainsFunc(r.problems, func(p postern.Problem) bool {
		return p.What == postern.Unreadable && p.Detail.Key == "hunt.stumbled" && strings.HasSuffix(p.Path, "aspnet_client/evil.aspx")
	})
	if !named || r.status != postern.PartialStatus {
		t.Errorf("problems %v, status %s: want hunt.stumbled for evil.aspx, and partial", r.problems, r.status)
	}
	if v := r.host(t, "EX01").Verdict; v.Conclusive && v.Level == 0 {
		t.Errorf("a clean verdict beside a file that was not looked at: %+v", v)
	}
}

// FuzzFile hunts one file of any content and name, plain and packed: nothing brings the
// hunt down.
func FuzzFile(f *testing.F) {
	names := []string{"inetpub/wwwroot/x.aspx", "inetpub/logs/LogFiles/W3SVC1/u_ex210303.log", "Windows/System32/winevt/Logs/Security.evtx", "x.jsonl", "applicationHost.config", "x.zip"}
	for i := range names {
		f.Add([]byte(iisLog(0, "knock")), uint8(i), false)
		f.Add([]byte(strings.Repeat("dropped", 1300)), uint8(i), true)
	}
	f.Fuzz(func(t *testing.T, content []byte, kind uint8, pack bool) {
		if len(content) > 1<<20 {
			return
		}
		name := "EX01/C/" + names[int(kind)%len(names)]
		if pack {
			var packed bytes.Buffer
			w := gzip.NewWriter(&packed)
			w.Write(content)
			w.Close()
			name, content = name+".gz", packed.Bytes()
		}
		opt := options()
		opt.Records = parseall.Records()
		r := run(t, opt, lay(t, map[string]string{name: string(content)}))
		for _, p := range r.problems {
			if p.Detail.Key == "hunt.stumbled" {
				t.Errorf("%s of %d bytes brings the hunt down", name, len(content))
			}
		}
	})
}
