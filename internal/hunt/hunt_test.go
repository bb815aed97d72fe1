package hunt

import (
	"archive/zip"
	"bytes"
	"context"
	"crypto/sha256"
	"encoding/hex"
	"encoding/json"
	"errors"
	"fmt"
	"io"
	"os"
	"path/filepath"
	"slices"
	"strings"
	"sync"
	"testing"
	"time"

	"postern"
	"postern/internal/hunt/detect"
	"postern/internal/hunt/parse"
	parseall "postern/internal/hunt/parse/all"
	"postern/internal/hunt/source"
)

// start is when the window of the test campaign begins.
var start = time.Date(2021, 3, 1, 0, 0, 0, 0, time.UTC)

func dayOf(n int) time.Duration { return time.Duration(n) * 24 * time.Hour }

// window has two days of two needed logs.
func window() postern.Campaign {
	return postern.Campaign{Name: "flaw", Title: postern.Say("flaw"), Window: postern.Window{From: start, To: start.Add(dayOf(2))},
		Sources: []postern.Source{{Name: "iis", Required: true, QuietHours: 2}, {Name: "httpproxy", Required: true, QuietHours: 2}}}
}

// words are rules that find words: "knock" at level 1 and "entered" at level 5.
type words struct{ learned *[]string }

func (w words) Host() HostRules { return w }

type pass struct{}

func (pass) Pass([]byte) bool { return true }

func (words) Gate(*parse.Format, []string) parse.Gate { return pass{} }

func (words) Look(ev *postern.Event) (all []postern.Finding) {
	for word, level := range map[string]postern.Level{"knock": postern.Probed, "entered": postern.Used} {
		if !strings.Contains(ev.Raw, word) {
			continue
		}
		at := postern.Evidence{Path: ev.Place.Path, Line: ev.Place.Line, Offset: ev.Place.Offset, Excerpt: ev.Raw}
		all = append(all, postern.Finding{ID: postern.FindingID(word, at), Rule: word, Campaign: "flaw", Level: level, Confidence: postern.High,
			Title: postern.Say(word), Time: ev.Time, Evidence: []postern.Evidence{at}})
	}
	return all
}

func (w words) Learn(findings []postern.Finding) {
	for _, f := range findings {
		if w.learned != nil {
			*w.learned = append(*w.learned, f.Rule)
		}
	}
}

func (words) Sequences([]postern.Finding) []postern.Finding { return nil }

func (words) Once(findings []postern.Finding) []postern.Finding { return findings }

func (words) Channel(name string) *parse.Channel { return &parse.Channel{Source: name} }

func (w words) LookAtRecord(ev *postern.Event) []postern.Finding { return w.Look(ev) }

// pages is a detector of files that finds the word "dropped" in pages and logs.
type pages struct{}

func (pages) Wants(f *detect.File) bool {
	return strings.HasSuffix(f.Server, ".aspx") || strings.HasSuffix(f.Server, ".log")
}

func (pages) Look(f *detect.File) ([]postern.Finding, []postern.Problem, error) {
	r, err := f.Open()
	if err != nil {
		return nil, nil, err
	}
	defer r.Close()
	b, err := io.ReadAll(r)
	if err != nil {
		return nil, nil, err
	}
	if bytes.Contains(b, []byte("unreadable")) {
		return nil, nil, fmt.Errorf("look: %w", errors.New("made to fail"))
	}
	if !bytes.Contains(b, []byte("dropped")) {
		return nil, nil, nil
	}
	at := postern.Evidence{Path: f.Path}
	found := postern.Finding{ID: postern.FindingID("page", at), Rule: "page", Level: postern.Implanted, Confidence: postern.High,
		Title: postern.Say("page"), Evidence: []postern.Evidence{at}}
	found.Set(postern.File, f.Server)
	return []postern.Finding{found}, nil, nil
}

// settings is a detector of hosts that names the configurations in the order in
// which it is given them.
type settings struct{}

func (settings) Name() string              { return "config" }
func (settings) Wants(f *detect.File) bool { return strings.HasSuffix(f.Server, ".config") }
func (settings) Read(f *detect.File) (any, []postern.Problem, error) {
	return f.Path, nil, nil
}

func (settings) Judge(parts []any) detect.Judgement {
	f := postern.Finding{ID: "config", Rule: "config", Title: postern.Verbatim(fmt.Sprint(parts...)), Evidence: []postern.Evidence{{Path: fmt.Sprint(parts[0])}}}
	return detect.Judgement{Findings: []postern.Finding{f}}
}

// result is a sink.
type result struct {
	mu       sync.Mutex
	problems []postern.Problem
	hosts    []postern.Host
	status   postern.Status
	stats    postern.Stats
	fail     error // what the sink answers
	onHost   func()
}

func (r *result) Problem(p postern.Problem) error {
	r.mu.Lock()
	defer r.mu.Unlock()
	r.problems = append(r.problems, p)
	return r.fail
}

func (r *result) Host(h postern.Host) error {
	r.hosts = append(r.hosts, h)
	if r.onHost != nil {
		r.onHost()
	}
	return r.fail
}

func (r *result) End(status postern.Status, stats postern.Stats) error {
	r.status, r.stats = status, stats
	return r.fail
}

func (r *result) names() (all []string) {
	for _, h := range r.hosts {
		all = append(all, h.Host)
	}
	return all
}

// host gives the one host of a name.
func (r *result) host(t *testing.T, name string) postern.Host {
	t.Helper()
	i := slices.IndexFunc(r.hosts, func(h postern.Host) bool { return h.Host == name })
	if i < 0 {
		t.Fatalf("hosts %q, want %s among them", r.names(), name)
	}
	return r.hosts[i]
}

func (r *result) rules(h postern.Host) (all []string) {
	for _, f := range h.Findings {
		all = append(all, f.Rule)
	}
	slices.Sort(all)
	return all
}

func options() Options {
	return Options{Campaigns: []postern.Campaign{window()}, Formats: parseall.Formats(), Rules: words{},
		Files: []detect.FileDetector{pages{}}, Hosts: []detect.HostDetector{settings{}}, Threads: 4}
}

func input(path string) Input {
	return Input{Name: path, Path: filepath.ToSlash(path), Open: func(ctx context.Context, tell func(postern.Problem)) (Evidence, error) {
		return source.Open(ctx, path, source.Options{Problem: tell})
	}}
}

func run(t *testing.T, opt Options, paths ...string) *result {
	t.Helper()
	var inputs []Input
	for _, p := range paths {
		inputs = append(inputs, input(p))
	}
	r := &result{}
	if err := Run(t.Context(), inputs, opt, r); err != nil {
		t.Fatal(err)
	}
	return r
}

// iisLog is a day of a web server: a row an hour, and the words where they are wanted.
func iisLog(day int, said ...string) string {
	var b strings.Builder
	b.WriteString("#Software: Microsoft Internet Information Services 10.0\r\n#Version: 1.0\r\n#Fields: date time s-ip cs-method cs-uri-stem cs-uri-query s-port cs-username c-ip cs(User-Agent) cs(Referer) sc-status sc-substatus sc-win32-status time-taken\r\n")
	for h := range 24 {
		word := "quiet"
		if h < len(said) {
			word = said[h]
		}
		fmt.Fprintf(&b, "%s 10.0.0.5 GET /%s/ - 443 - 198.51.100.7 Agent - 200 0 0 1\r\n", start.Add(dayOf(day)+time.Duration(h)*time.Hour).Format("2006-01-02 15:04:05"), word)
	}
	return b.String()
}

const proxyColumns = "DateTime,RequestId,MajorVersion,MinorVersion,BuildVersion,RevisionVersion,ClientRequestId,Protocol,UrlHost,UrlStem,ProtocolAction,AuthenticationType,IsAuthenticated,AuthenticatedUser,Organization,AnchorMailbox,UserAgent,ClientIpAddress,ServerHostName,HttpStatus,RoutingHint"

// proxyLog is an hour or more of a front end that calls itself by a name.
func proxyLog(server string, from, hours int, said ...string) string {
	var b strings.Builder
	b.WriteString("\xef\xbb\xbf#Software: Microsoft Exchange Server\r\n#Version: 15.01.2176.002\r\n#Log-type: HttpProxy Logs\r\n#Fields: " + proxyColumns + "\r\n" + proxyColumns + "\r\n")
	for h := range hours {
		word := "quiet"
		if h < len(said) {
			word = said[h]
		}
		fmt.Fprintf(&b, "%s,3656c386-0000-4000-8000-000000000001,15,1,2176,2,,Ecp,mail,/ecp/%s,,FBA,false,,,,Agent,198.51.100.7,%s,200,\r\n",
			start.Add(time.Duration(from+h)*time.Hour).Format("2006-01-02T15:04:05.000Z"), word, server)
	}
	return b.String()
}

// whole is the evidence of a server that covers the window.
func whole(prefix, server string) map[string]string {
	return map[string]string{
		prefix + "/C/inetpub/logs/LogFiles/W3SVC1/u_ex210301.log":                                                  iisLog(0),
		prefix + "/C/inetpub/logs/LogFiles/W3SVC1/u_ex210302.log":                                                  iisLog(1),
		prefix + "/C/Program Files/Microsoft/Exchange Server/V15/Logging/HttpProxy/Ecp/HttpProxy_2021030100-1.LOG": proxyLog(server, 0, 24),
		prefix + "/C/Program Files/Microsoft/Exchange Server/V15/Logging/HttpProxy/Ecp/HttpProxy_2021030200-1.LOG": proxyLog(server, 24, 24),
		prefix + "/C/Program Files/Microsoft/Exchange Server/V15/FrontEnd/HttpProxy/owa/auth/logon.aspx":           "stock",
		prefix + "/C/Windows/System32/inetsrv/config/applicationHost.config":                                       "<configuration/>",
	}
}

func lay(t *testing.T, files ...map[string]string) string {
	t.Helper()
	dir := filepath.Join(t.TempDir(), "case")
	if err := os.Mkdir(dir, 0o755); err != nil {
		t.Fatal(err)
	}
	for _, set := range files {
		for name, content := range set {
			p := filepath.Join(dir, filepath.FromSlash(name))
			if err := os.MkdirAll(filepath.Dir(p), 0o755); err != nil {
				t.Fatal(err)
			}
			if err := os.WriteFile(p, []byte(content), 0o644); err != nil {
				t.Fatal(err)
			}
		}
	}
	return dir
}

func TestRiver(t *testing.T) {
	t.Parallel()
	bad := whole("b", "EX02")
	bad["b/C/inetpub/logs/LogFiles/W3SVC1/u_ex210302.log"] = iisLog(1, "quiet", "knock", "entered")
	bad["b/C/inetpub/wwwroot/aspnet_client/x.aspx"] = "dropped"
	r := run(t, options(), lay(t, whole("a", "EX01"), bad))
	if got := r.names(); !slices.Equal(got, []string{"EX01", "EX02"}) {
		t.Fatalf("hosts %q", got)
	}
	if v := r.hosts[0].Verdict; v.Level != postern.NotSeen || !v.Conclusive {
		t.Errorf("EX01: %+v", v)
	}
	if v := r.hosts[1].Verdict; v.Level != postern.Used || !v.Conclusive {
		t.Errorf("EX02: %+v", v)
	}
	if got := r.rules(r.hosts[1]); !slices.Equal(got, []string{"config", "entered", "knock", "page"}) {
		t.Errorf("EX02: findings of %q", got)
	}
	if r.hosts[1].Build != (postern.Build{15, 1, 2176, 2}) {
		t.Errorf("EX02: build %v", r.hosts[1].Build)
	}
	if r.status != postern.Complete || len(r.problems) > 0 {
		t.Errorf("status %v, problems %v", r.status, r.problems)
	}
	if r.stats.Files != 13 || r.stats.Records != 4*48 {
		t.Errorf("%d files, %d records, want 13 and %d", r.stats.Files, r.stats.Records, 4*48)
	}
	for _, f := range r.hosts[1].Findings {
		if f.Evidence[0].SHA256 == "" {
			t.Errorf("%s: no hash of %s", f.Rule, f.Evidence[0].Path)
		}
	}
	if got := len(r.hosts[0].Inputs); got != 1 { // the configuration that a finding of level 0 rests on
		t.Errorf("EX01: %d inputs hashed", got)
	}
}

func TestHash(t *testing.T) {
	t.Parallel()
	const page = "C/inetpub/wwwroot/aspnet_client/x.aspx"
	dir := lay(t, map[string]string{page: "dropped", "C/inetpub/wwwroot/y.txt": "other"})
	opt := options()
	for how, want := range map[Hashing]int{HashFound: 1, HashAll: 2, HashNone: 0, "": 1} {
		opt.Hash = how
		h := run(t, opt, dir).hosts[0]
		if len(h.Inputs) != want {
			t.Errorf("%q: %d hashed, want %d", how, len(h.Inputs), want)
		}
		sum := sha256.Sum256([]byte("dropped"))
		if got := h.Findings[0].Evidence[0].SHA256; want > 0 && got != hex.EncodeToString(sum[:]) || want == 0 && got != "" {
			t.Errorf("%q: hash %q", how, got)
		}
	}
	// Two inputs with other content at the same path: nobody knows whose it is.
	opt.Hash = HashFound
	opt.Host = "EX01"
	h := run(t, opt, dir, lay(t, map[string]string{page: "dropped again"})).hosts[0]
	if len(h.Inputs) != 2 {
		t.Errorf("%d inputs hashed, want both", len(h.Inputs))
	}
	for _, f := range h.Findings {
		if got := f.Evidence[0].SHA256; got != "" {
			t.Errorf("hash %q beside a path that two inputs have", got)
		}
	}
}

func TestNothingIsNotClean(t *testing.T) {
	t.Parallel()
	for _, c := range []struct {
		files map[string]string
		host  string
		want  string
	}{
		{nil, "", "case"},
		{map[string]string{"readme.txt": "hello", "a/b/c.bin": "\x00\x01"}, "", "case"},
		{map[string]string{"readme.txt": "hello"}, "MAIL", "MAIL"},
		{map[string]string{"x.log": ""}, "", "case"},
	} {
		opt := options()
		opt.Host = c.host
		r := run(t, opt, lay(t, c.files))
		if got := r.names(); !slices.Equal(got, []string{c.want}) {
			t.Errorf("%v: hosts %q, want %q", c.files, got, c.want)
			continue
		}
		if v := r.hosts[0].Verdict; v.Level != postern.NotSeen || v.Conclusive || v.Confidence != postern.Low {
			t.Errorf("%v: %+v", c.files, v)
		}
	}
}

func TestSingleFileAndImageRoot(t *testing.T) {
	t.Parallel()
	dir := lay(t, map[string]string{"u_ex210301.log": iisLog(0, "entered")})
	r := run(t, options(), filepath.Join(dir, "u_ex210301.log"))
	if v := r.host(t, "u_ex210301.log").Verdict; v.Level != postern.Used {
		t.Errorf("a single log: %+v", v)
	}
	files := make(map[string]string)
	for name, content := range whole("x", "EX07") {
		files[strings.TrimPrefix(name, "x/C/")] = content
	}
	files["inetpub/wwwroot/aspnet_client/x.aspx"] = "dropped"
	r = run(t, options(), lay(t, files))
	if h := r.host(t, "EX07"); len(r.hosts) != 1 || h.Verdict.Level != postern.Implanted || h.Findings[len(h.Findings)-1].Entities[postern.File] != "inetpub/wwwroot/aspnet_client/x.aspx" {
		t.Errorf("the root of an image: hosts %q, %+v", r.names(), h.Findings)
	}
}

func TestArchivesOfOneServer(t *testing.T) {
	t.Parallel()
	pack := func(files map[string]string) string {
		var b bytes.Buffer
		w := zip.NewWriter(&b)
		for name, content := range files {
			f, err := w.Create(name)
			if err == nil {
				_, err = f.Write([]byte(content))
			}
			if err != nil {
				t.Fatal(err)
			}
		}
		if err := w.Close(); err != nil {
			t.Fatal(err)
		}
		return b.String()
	}
	r := run(t, options(), lay(t, map[string]string{
		"logs.zip": pack(map[string]string{"Logging/HttpProxy/Ecp/HttpProxy_2021030100-1.LOG": proxyLog("EX01", 0, 48)}),
		"web.zip":  pack(map[string]string{"wwwroot/aspnet_client/x.aspx": "dropped"}),
		"iis.zip":  pack(map[string]string{"W3SVC1/u_ex210301.log": iisLog(0), "W3SVC1/u_ex210302.log": iisLog(1)}),
	}))
	if r.status != postern.Complete {
		t.Errorf("status %v, problems %v", r.status, r.problems)
	}
	h := r.host(t, "EX01")
	if h.Verdict.Level != postern.Implanted || h.Findings[0].Evidence[0].Path != "web.zip!/wwwroot/aspnet_client/x.aspx" {
		t.Errorf("%+v", h.Findings)
	}
	// IIS logs that say no name, collected in an archive of their own, could be another's.
	if got := r.names(); !slices.Equal(got, []string{"EX01", "iis"}) {
		t.Errorf("hosts %q", got)
	}

	opt := options()
	opt.Host = "EX01"
	if got := run(t, opt, lay(t, whole("a", "EX01"), whole("b", "EX02"))).names(); !slices.Equal(got, []string{"EX01"}) {
		t.Errorf("with one name given: hosts %q", got)
	}
}

func TestFamiliesLoseNothing(t *testing.T) {
	t.Parallel()
	// One thread meets the files in the order of their names: the first is looked at,
	// the others are taken for what it was.
	for _, threads := range []int{1, 4} {
		opt := options()
		opt.Threads = threads
		const dir = "C/inetpub/wwwroot/logs/"
		r := run(t, opt, lay(t, map[string]string{
			dir + "u_ex210301.log": iisLog(0, "knock"),
			dir + "u_ex210302.log": iisLog(1, "entered"),
			dir + "u_ex210303.log": "no log at all, but dropped here",
			dir + "u_ex210304.log": proxyLog("EX01", 0, 3, "entered"), // another log under that name
			dir + "u_ex210305.log": "",
			dir + "u_ex210306.log": "#Software: Micro",
			// A page that begins like a log is looked at as a page.
			"C/inetpub/wwwroot/aspnet_client/x.aspx": iisLog(0) + "dropped",
		}))
		if len(r.hosts) != 1 {
			t.Fatalf("%d threads: hosts %q", threads, r.names())
		}
		h := r.hosts[0]
		if got := r.rules(h); !slices.Equal(got, []string{"entered", "entered", "knock", "page", "page"}) {
			t.Errorf("%d threads: findings of %q", threads, got)
		}
		for _, c := range h.Coverage {
			if want := map[string]int64{"iis": 3 * 24, "httpproxy": 3}[c.Source]; want > 0 && c.Records != want && c.Records != want+1 {
				t.Errorf("%d threads: %d rows of %s, want %d", threads, c.Records, c.Source, want)
			}
		}
	}
}

func TestFamilyOfAFileWithoutRows(t *testing.T) {
	t.Parallel()
	const dir = "Logging/HttpProxy/Ecp/HttpProxy_"
	opt := options()
	opt.Threads = 1
	r := run(t, opt, lay(t, map[string]string{
		dir + "2021030100-1.LOG": proxyLog("EX01", 0, 0), // a header, as a restart leaves it
		dir + "2021030101-1.LOG": proxyLog("EX01", 1, 1, "knock"),
		dir + "2021030102-1.LOG": proxyLog("EX01", 2, 1),
	}))
	if got := r.names(); !slices.Equal(got, []string{"EX01"}) {
		t.Errorf("hosts %q", got)
	}
}

func TestShare(t *testing.T) {
	t.Parallel()
	for _, threads := range []int{1, 8} {
		opt := options()
		opt.Threads = threads
		files := make(map[string]string)
		for _, name := range []string{"EX01", "EX02", "EX03"} {
			for day := range 2 {
				word := "quiet"
				if name == "EX02" {
					word = "entered"
				}
				files[fmt.Sprintf("httpproxy/%s-HttpProxy_2021030%d00-1.LOG", name, day+1)] = proxyLog(name, 24*day, 24, word)
				files[fmt.Sprintf("w3svc1/%s/u_ex21030%d.log", name, day+1)] = iisLog(day)
			}
		}
		r := run(t, opt, lay(t, files))
		if got := r.names(); !slices.Equal(got, []string{"EX01", "EX02", "EX03"}) {
			t.Fatalf("%d threads: hosts %q", threads, got)
		}
		for i, want := range []postern.Level{0, postern.Used, 0} {
			if v := r.hosts[i].Verdict; v.Level != want || !v.Conclusive {
				t.Errorf("%d threads: %s: %+v", threads, r.hosts[i].Host, v)
			}
		}
	}
}

func TestUnreadableIsNotEmpty(t *testing.T) {
	t.Parallel()
	if os.Getuid() == 0 {
		t.Log("as root everything can be read: a file that a detector fails on stands for it")
	}
	files := whole("a", "EX01")
	files["a/C/inetpub/wwwroot/aspnet_client/x.aspx"] = "unreadable"
	r := run(t, options(), lay(t, files, whole("b", "EX02")))
	if r.status != postern.PartialStatus || len(r.problems) != 1 || r.problems[0].What != postern.Unreadable {
		t.Fatalf("status %v, problems %v", r.status, r.problems)
	}
	if got := r.problems[0].Detail; got.Key != "hunt.unreadable" || got.Args["reason"] != "made to fail" {
		t.Errorf("told %v", got)
	}
	if v := r.host(t, "EX01").Verdict; v.Conclusive || v.Summary.Key != "correlate.summary.0.unread" {
		t.Errorf("EX01: %+v", v)
	}
	if v := r.host(t, "EX02").Verdict; !v.Conclusive {
		t.Errorf("EX02, where nothing was lost: %+v", v)
	}
}

func TestLosslessProblems(t *testing.T) {
	t.Parallel()
	files := whole("a", "EX01")
	const log = "a/C/inetpub/logs/LogFiles/W3SVC1/u_ex210302.log"
	files[log] += "2021-03-02 23:30:00 10.0." // cut, as a live log always is
	r := run(t, options(), lay(t, files))
	if len(r.problems) != 1 || r.problems[0].Path != log || r.status != postern.Complete || !r.hosts[0].Verdict.Conclusive {
		t.Errorf("a cut last row: status %v, problems %v, %+v", r.status, r.problems, r.hosts[0].Verdict)
	}

	files[log] = iisLog(1) + "2021-03-02 23:30:00 " + strings.Repeat("x", 2*parse.MaxLine) + "\r\n"
	r = run(t, options(), lay(t, files))
	if len(r.problems) != 1 || r.problems[0].Path != log || r.status != postern.PartialStatus || r.hosts[0].Verdict.Conclusive {
		t.Errorf("a line too long: status %v, problems %v, %+v", r.status, r.problems, r.hosts[0].Verdict)
	}
}

// vanishing is evidence without files, in whose walk those of other evidence go.
type vanishing struct {
	Evidence
	spoil func() error
}

func (v vanishing) Walk(ctx context.Context, visit func(source.File) error) error {
	return errors.Join(v.spoil(), v.Evidence.Walk(ctx, visit))
}

func TestVanishingAndShrinking(t *testing.T) {
	t.Parallel()
	const log = "b/C/inetpub/logs/LogFiles/W3SVC1/u_ex210301.log"
	for name, spoil := range map[string]func(path string) error{
		"gone":   os.Remove,
		"folder": func(p string) error { return errors.Join(os.Remove(p), os.Mkdir(p, 0o755)) },
	} {
		dir := lay(t, whole("a", "EX01"), whole("b", "EX02"))
		// The walk of a second, empty input comes when that of the first is over, its workers
		// included, and before the logs are read.
		second := input(lay(t))
		open := second.Open
		second.Open = func(ctx context.Context, tell func(postern.Problem)) (Evidence, error) {
			e, err := open(ctx, tell)
			return vanishing{e, func() error { return spoil(filepath.Join(dir, filepath.FromSlash(log))) }}, err
		}
		r := &result{}
		if err := Run(t.Context(), []Input{input(dir), second}, options(), r); err != nil {
			t.Fatal(err)
		}
		if r.status != postern.PartialStatus || len(r.problems) != 1 || r.problems[0].Path != log {
			t.Errorf("%s: status %v, problems %v", name, r.status, r.problems)
		}
		if v := r.host(t, "EX02").Verdict; v.Conclusive {
			t.Errorf("%s: EX02: %+v", name, v)
		}
		if v := r.host(t, "EX01").Verdict; !v.Conclusive {
			t.Errorf("%s: EX01: %+v", name, v)
		}
	}
}

func TestDamagedMember(t *testing.T) {
	t.Parallel()
	var b bytes.Buffer
	w := zip.NewWriter(&b)
	for name, content := range whole("a", "EX01") {
		f, err := w.CreateHeader(&zip.FileHeader{Name: name, Method: zip.Store})
		if err == nil {
			_, err = f.Write([]byte(content))
		}
		if err != nil {
			t.Fatal(err)
		}
	}
	if err := w.Close(); err != nil {
		t.Fatal(err)
	}
	spoiled := bytes.Replace(b.Bytes(), []byte("2021-03-02 13:00:00 10.0.0.5"), []byte("2021-03-02 13:00:00 10.9.9.9"), 1)
	r := run(t, options(), lay(t, map[string]string{"EX01.zip": string(spoiled)}))
	if r.status != postern.PartialStatus || len(r.problems) != 1 {
		t.Errorf("status %v, problems %v", r.status, r.problems)
	}
	if v := r.host(t, "EX01").Verdict; v.Conclusive {
		t.Errorf("%+v: a member whose checksum is wrong was not read as it was packed", v)
	}
}

func TestManyProblems(t *testing.T) {
	t.Parallel()
	r := &result{}
	h := newHunt(options(), r)
	for i := range maxProblems + 7 {
		h.problem(0, postern.Problem{Path: fmt.Sprint(i), What: postern.Malformed, Detail: postern.Say("hunt.unreadable", "reason", i)})
	}
	h.problem(0, postern.Problem{Path: "x", What: postern.Limit, Detail: postern.Say("hunt.unreadable", "reason", "x")})
	if err := h.end(0); err != nil {
		t.Fatal(err)
	}
	if len(r.problems) != maxProblems+2 || r.status != postern.PartialStatus {
		t.Fatalf("%d problems told, status %v", len(r.problems), r.status)
	}
	if last := r.problems[len(r.problems)-1]; last.Detail.Key != "hunt.more-problems" || last.Detail.Args["count"] != "7" || last.What != postern.Malformed {
		t.Errorf("the last says %+v", last)
	}
}

func TestDroppedFindings(t *testing.T) {
	t.Parallel()
	var b strings.Builder
	b.WriteString(iisLog(0, "entered"))
	for range maxFindings + 3 {
		b.WriteString("2021-03-01 12:00:00 10.0.0.5 GET /knock/ - 443 - 198.51.100.7 Agent - 200 0 0 1\r\n")
	}
	r := run(t, options(), lay(t, map[string]string{"C/inetpub/logs/LogFiles/W3SVC1/u_ex210301.log": b.String()}))
	h := r.hosts[0]
	if len(h.Findings) != maxFindings+1 || h.Verdict.Level != postern.Used {
		t.Errorf("%d findings, verdict %v", len(h.Findings), h.Verdict.Level)
	}
	if len(r.problems) != 1 || r.problems[0].Detail.Args["count"] != "3" {
		t.Errorf("problems %v", r.problems)
	}
}

func TestLearnsBeforeRequests(t *testing.T) {
	t.Parallel()
	var learned []string
	opt := options()
	opt.Rules = words{&learned}
	files := whole("a", "EX01")
	files["a/C/inetpub/wwwroot/aspnet_client/x.aspx"] = "dropped"
	files["a/C/inetpub/logs/LogFiles/W3SVC1/u_ex210301.log"] = iisLog(0, "entered")
	files["a/Logging/ECP/Server/ECPServer20210301-1.LOG"] = "#Software: Microsoft Exchange Server\r\n#Version: 15.0.0.0\r\n#Log-type: ECP Server Log\r\n#Fields: TimeStamp,ServerName,EventId,EventData\r\n2021-03-01T10:00:00.000Z,EX01,ECP.Request,S:CMD=knock\r\n"
	r := run(t, opt, lay(t, files))
	slices.Sort(learned)
	if !slices.Equal(learned, []string{"knock", "page"}) {
		t.Errorf("learned %q before the requests were looked at, want the file and the other log's row", learned)
	}
	if got := r.rules(r.hosts[0]); !slices.Equal(got, []string{"config", "entered", "knock", "page"}) {
		t.Errorf("findings of %q", got)
	}
}

// TestThreads says that the hosts do not depend on who was first.
func TestThreads(t *testing.T) {
	t.Parallel()
	var sets []map[string]string
	for _, name := range []string{"a", "b", "c"} {
		files := whole(name, "EX0"+name)
		for i := range 30 {
			files[fmt.Sprintf("%s/C/inetpub/wwwroot/aspnet_client/%d.aspx", name, i)] = "dropped"
			files[fmt.Sprintf("%s/C/inetpub/wwwroot/%d/web.config", name, i)] = "<x/>"
			files[fmt.Sprintf("%s/C/Logging/HttpProxy/Owa/HttpProxy_20210301%02d-1.LOG", name, i%24)] = proxyLog("EX0"+name, i%24, 1, "knock")
		}
		sets = append(sets, files)
	}
	dir := lay(t, sets...)
	var first []byte
	for _, threads := range []int{1, 8, 3, 8} {
		opt := options()
		opt.Threads, opt.Hash = threads, HashAll
		got, err := json.Marshal(run(t, opt, dir).hosts)
		if err != nil {
			t.Fatal(err)
		}
		if first == nil {
			first = got
		}
		if !bytes.Equal(got, first) {
			t.Fatalf("%d threads tell another story than one", threads)
		}
	}
}

func TestCancel(t *testing.T) {
	t.Parallel()
	dir := lay(t, whole("a", "EX01"), whole("b", "EX02"))
	ctx, cancel := context.WithCancel(t.Context())
	cancel()
	r := &result{}
	if err := Run(ctx, []Input{input(dir)}, options(), r); !errors.Is(err, context.Canceled) || len(r.hosts) > 0 {
		t.Errorf("before the walk: %v, hosts %q", err, r.names())
	}
	ctx, cancel = context.WithCancel(t.Context())
	defer cancel()
	r = &result{onHost: cancel}
	if err := Run(ctx, []Input{input(dir)}, options(), r); !errors.Is(err, context.Canceled) || len(r.hosts) != 1 || r.status != "" {
		t.Errorf("after the first host: %v, hosts %q, status %q", err, r.names(), r.status)
	}
	full := errors.New("no room")
	r = &result{fail: full}
	if err := Run(t.Context(), []Input{input(dir)}, options(), r); !errors.Is(err, full) || len(r.hosts) != 1 {
		t.Errorf("a sink that is full: %v, hosts %q", err, r.names())
	}
}
