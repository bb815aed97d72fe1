package hunt

import (
	"fmt"
	"slices"
	"strings"
	"testing"

	"postern"
	"postern/internal/hunt/parse"
	"postern/internal/hunt/source"
)

// grouped puts paths of logs, each with the name that its rows give the server,
// and of other files into groups as a walk does. "EX01 path" is a log, "- path" one
// that says nothing, "= path" another file.
func grouped(input int, lines ...string) []*group {
	gs := groups{byKey: make(map[groupKey]*group)}
	for _, line := range lines {
		name, p, _ := strings.Cut(line, " ")
		prefix, where, known := place(p)
		g := gs.at(input, prefix, known)
		switch name {
		case "=":
			if served(where) {
				g.web++
			}
		default:
			l := &logFile{file: source.File{Path: p}, kin: &kin{format: &parse.Format{Name: "iis"}}, input: int32(input)}
			if strings.HasSuffix(p, ".evtx") {
				l.kin.format, l.kin.records = nil, &parse.Records{Name: "evtx"}
				l.kin.server = name
				g.computers[strings.ToUpper(name)]++
			} else if name != "-" {
				l.kin.server = name
				g.servers[strings.ToUpper(name)]++
			}
			g.logs = append(g.logs, l)
		}
	}
	return gs.order
}

// told says which host has which logs and groups.
func told(found []*server) (all []string) {
	for _, s := range found {
		var logs, groups []string
		for _, l := range s.logs {
			logs = append(logs, l.file.Path)
		}
		for _, g := range s.groups {
			groups = append(groups, g.prefix)
		}
		slices.Sort(logs)
		all = append(all, fmt.Sprintf("%s: %s; %s", s.name, strings.Join(logs, " "), strings.Join(groups, " ")))
	}
	return all
}

// An event log remembers what its server was called before: other logs decide, and
// where there are none what most of the event logs of a machine say.
func TestEventLogsNameServers(t *testing.T) {
	t.Parallel()
	const logs = "C/Windows/System32/winevt/Logs/"
	for _, c := range []struct {
		name  string
		lines []string
		want  []string
	}{
		{"alone", []string{"EX01 " + logs + "a.evtx", "WIN-OLD " + logs + "b.evtx", "EX01 " + logs + "c.evtx"},
			[]string{"EX01: " + logs + "a.evtx " + logs + "b.evtx " + logs + "c.evtx; "}},
		{"beside other logs", []string{"WIN-OLD " + logs + "a.evtx", "EX01 C/inetpub/logs/LogFiles/W3SVC1/x.log"},
			[]string{"EX01: " + logs + "a.evtx C/inetpub/logs/LogFiles/W3SVC1/x.log; "}},
		{"in one folder with those of others", []string{"EX01 all/a.evtx", "EX02 all/b.evtx"}, []string{"EX01: all/a.evtx; ", "EX02: all/b.evtx; "}},
		{"beside logs of two servers", []string{"EX01 all/a.log", "EX02 all/b.log", "EX02 all/c.evtx", "DC01 all/d.evtx"},
			[]string{"DC01: all/d.evtx; ", "EX01: all/a.log; ", "EX02: all/b.log all/c.evtx; "}},
	} {
		if got := told(servers(grouped(0, c.lines...), []string{"ev"}, "")); !slices.Equal(got, c.want) {
			t.Errorf("%s: got\n%s\nwant\n%s", c.name, strings.Join(got, "\n"), strings.Join(c.want, "\n"))
		}
	}
}

func TestServers(t *testing.T) {
	t.Parallel()
	for _, c := range []struct {
		name   string
		groups []*group
		only   string
		want   []string
	}{
		{"nothing", nil, "", nil},
		{"stray files alone", grouped(0, "= readme.txt", "= notes/a.txt"), "", nil},
		{"one that says its name", grouped(0, "EX01 Logging/HttpProxy/Ecp/a.log", "- inetpub/logs/LogFiles/W3SVC1/b.log"), "",
			[]string{"EX01: Logging/HttpProxy/Ecp/a.log inetpub/logs/LogFiles/W3SVC1/b.log; "}},
		{"a name in any case", grouped(0, "ex01 C/Logging/a.log", "EX01 D/Logging/b.log"), "", []string{"EX01: C/Logging/a.log D/Logging/b.log; "}},
		{"top folders", grouped(0, "- a/C/inetpub/logs/x.log", "- b/C/inetpub/logs/x.log"), "",
			[]string{"a: a/C/inetpub/logs/x.log; a", "b: b/C/inetpub/logs/x.log; b"}},
		{"top folders, one of which has a name", grouped(0, "EX01 a/C/Logging/x.log", "- b/C/inetpub/logs/x.log"), "",
			[]string{"EX01: a/C/Logging/x.log; a", "b: b/C/inetpub/logs/x.log; b"}},
		{"a host without anything in it", grouped(0, "EX01 a/C/Logging/x.log", "= b/C/Windows/win.ini"), "",
			[]string{"EX01: a/C/Logging/x.log; a b"}},
		{"beside several, one without anything in it", grouped(0, "EX01 a/C/Logging/x.log", "EX02 b/C/Logging/x.log", "= c/C/Windows/win.ini", "= readme.txt"), "",
			[]string{"EX01: a/C/Logging/x.log; a", "EX02: b/C/Logging/x.log; b", "c: ; c"}},
		{"a folder of logs and one of pages", grouped(0, "EX01 logs/HttpProxy/a.log", "= web/wwwroot/aspnet_client/x.aspx", "- logs/W3SVC1/b.log"), "",
			[]string{"EX01: logs/HttpProxy/a.log logs/W3SVC1/b.log; "}},
		{"such folders under names of their own", grouped(0, "EX01 e-logs/HttpProxy/a.log", "= e-pages/wwwroot/aspnet_client/x.aspx"), "",
			[]string{"EX01: e-logs/HttpProxy/a.log; e-logs e-pages"}},
		{"archives of one server", grouped(0, "EX01 logs.zip!/HttpProxy/a.log", "EX01 more.7z!/Logging/b.log", "= web.tar.gz!/wwwroot/x.aspx"), "",
			[]string{"EX01: logs.zip!/HttpProxy/a.log more.7z!/Logging/b.log; logs.zip! more.7z! web.tar.gz!"}},
		{"archives of servers that say nothing", grouped(0, "- EX01.zip!/C/inetpub/logs/a.log", "- EX02.ZIP!/C/inetpub/logs/a.log"), "",
			[]string{"EX01: EX01.zip!/C/inetpub/logs/a.log; EX01.zip!", "EX02: EX02.ZIP!/C/inetpub/logs/a.log; EX02.ZIP!"}},
		{"pages under the names of hosts", grouped(0, "EX01 l1/HttpProxy/a.log", "EX02 l2/HttpProxy/a.log", "= web/EX01/wwwroot/x.aspx", "= web/ex02/wwwroot/x.aspx"), "",
			[]string{"EX01: l1/HttpProxy/a.log; l1 web/EX01", "EX02: l2/HttpProxy/a.log; l2 web/ex02"}},
		{"a part inside of a host's folder", grouped(0, "EX01 h1/C/Logging/a.log", "EX02 h2/C/Logging/a.log", "- h2/extra/W3SVC1/b.log", "= h1/notes/wwwroot/x.aspx"), "",
			[]string{"EX01: h1/C/Logging/a.log; h1 h1/notes", "EX02: h2/C/Logging/a.log h2/extra/W3SVC1/b.log; h2 h2/extra"}},
		{"a central share", grouped(0, "EX01 httpproxy/EX01-a.log", "EX02 httpproxy/EX02-a.log"), "",
			[]string{"EX01: httpproxy/EX01-a.log; ", "EX02: httpproxy/EX02-a.log; "}},
		{"a share with a folder for each", grouped(0, "EX01 httpproxy/one/a.log", "- httpproxy/one/headers.log", "EX02 httpproxy/two/a.log", "- w3svc1/ex02.contoso.example/u.log"), "",
			[]string{"EX01: httpproxy/one/a.log httpproxy/one/headers.log; ", "EX02: httpproxy/two/a.log w3svc1/ex02.contoso.example/u.log; "}},
		{"a share with what nobody claims", grouped(0, "EX01 httpproxy/a.log", "EX02 httpproxy/b.log", "- w3svc1/u.log"), "",
			[]string{"EX01: httpproxy/a.log; ", "EX02: httpproxy/b.log; ", "case: w3svc1/u.log; "}},
		{"the name that the user gives", grouped(0, "EX01 a/C/Logging/x.log", "EX02 b/C/Logging/x.log", "= c.txt"), "MAIL",
			[]string{"MAIL: a/C/Logging/x.log b/C/Logging/x.log;  a b"}},
		{"the evidence's name", grouped(0, "- inetpub/logs/LogFiles/W3SVC1/a.log"), "", []string{"case: inetpub/logs/LogFiles/W3SVC1/a.log; "}},
		{"inputs", slices.Concat(grouped(0, "- C/inetpub/logs/a.log"), grouped(1, "- C/inetpub/logs/a.log")), "",
			[]string{"case: C/inetpub/logs/a.log; ", "other: C/inetpub/logs/a.log; "}},
		{"inputs of one server", slices.Concat(grouped(0, "EX01 Logging/a.log"), grouped(1, "- W3SVC1/a.log")), "", []string{"EX01: Logging/a.log W3SVC1/a.log;  "}},
	} {
		got := told(servers(c.groups, []string{`C:\work\case\`, "other.zip"}, c.only))
		if !slices.Equal(got, c.want) {
			t.Errorf("%s:\n got %q\nwant %q", c.name, got, c.want)
		}
		slices.Reverse(c.groups)
		if again := told(servers(c.groups, []string{`C:\work\case\`, "other.zip"}, c.only)); !slices.Equal(again, got) {
			t.Errorf("%s: the order of the walk matters:\n got %q\nthen %q", c.name, got, again)
		}
	}
}

func TestBlame(t *testing.T) {
	t.Parallel()
	two := []string{"EX01 cases/a/C/Logging/x.log", "EX02 cases/b/C/Logging/x.log"}
	for _, c := range []struct {
		name  string
		lines []string
		lost  string
		want  string // the hosts of which something is missing
	}{
		{"a file of one", two, "cases/a/C/inetpub/wwwroot/x.aspx", "EX01"},
		{"a folder of one", two, "cases/a/c/inetpub", "EX01"},
		{"the folder of one", two, "CASES/A", "EX01"},
		{"a folder with several", two, "cases", "EX01 EX02"},
		{"everything", two, ".", "EX01 EX02"},
		{"an archive beside them", two, "cases/c.zip", ""},
		{"a name that begins alike", two, "cases/ab/x", ""},
		{"a member of an archive", []string{"EX01 a.zip!/C/Logging/x.log", "EX02 b.zip!/C/Logging/x.log"}, "b.zip!/C/bad.log", "EX02"},
		{"a share", []string{"EX01 httpproxy/a.log", "EX02 httpproxy/b.log"}, "httpproxy/c.log", "EX01 EX02"},
		{"a host that is alone", two[:1], "elsewhere.zip", "EX01"},
	} {
		h := newHunt(Options{}, nil)
		h.lose(0, c.lost)
		found := servers(grouped(0, c.lines...), []string{"case"}, "")
		blame(found, h.losses)
		var got []string
		for _, s := range found {
			if len(s.losses) > 0 {
				got = append(got, s.name)
			}
		}
		if strings.Join(got, " ") != c.want {
			t.Errorf("%s: %q, want %q", c.name, got, c.want)
		}
	}
	// Losses are remembered up to a bound; beyond it everything may have been lost.
	h := newHunt(Options{}, nil)
	for i := range maxLosses + 5 {
		h.lose(0, fmt.Sprint("elsewhere/", i))
	}
	if n := len(h.losses); n > maxLosses+1 {
		t.Errorf("%d losses remembered", n)
	}
	if found := concerned(servers(grouped(0, two...), []string{"case"}, ""), loss{0, ""}); len(found) != 2 {
		t.Errorf("an unbounded loss concerns %d hosts, want both", len(found))
	}
}

func TestFamily(t *testing.T) {
	t.Parallel()
	one := func(input int, path string) string {
		name, ok := family(input, path)
		if !ok {
			return "none"
		}
		return name
	}
	for _, alike := range [][2]string{
		{"a/HttpProxy_2021030306-1.LOG", "a/HttpProxy_2021031712-2.LOG"},
		{"a/u_ex210303.log", "a/u_ex210304.log"},
		{"a/EX01-u_ex210303.log", "a/EX01-u_ex210401.log"},
	} {
		if one(0, alike[0]) != one(0, alike[1]) || one(0, alike[0]) == "none" {
			t.Errorf("%q is of %q, %q of %q", alike[0], one(0, alike[0]), alike[1], one(0, alike[1]))
		}
	}
	for _, apart := range [][2]string{
		{"a/EX01-u_ex210303.log", "a/EX02-u_ex210303.log"},
		{"a/ASSET100001-u_ex210303.log", "a/ASSET100002-u_ex210303.log"},
		{"a/EX01_HttpProxy_2021030306-1.LOG", "a/EX02_HttpProxy_2021030306-1.LOG"},
		{"EX01/u_ex210303.log", "EX02/u_ex210303.log"},
		{"20210303/u_ex210303.log", "20210304/u_ex210303.log"},
	} {
		if one(0, apart[0]) == one(0, apart[1]) {
			t.Errorf("%q and %q are both of %q", apart[0], apart[1], one(0, apart[0]))
		}
	}
	for _, none := range []string{"", "x", ".log", "a.log", "20210303", "20210303.aspx", "a/12345.log", "20210303/x.log", "x12-34-56.log"} {
		if got := one(0, none); got != "none" {
			t.Errorf("%q is of %q", none, got)
		}
	}
	if one(1, "2/u_ex210303.log") == one(12, "/u_ex210303.log") || one(1, "a210303.log") == one(0, "a210303.log") {
		t.Error("a family of two inputs")
	}
}

func TestCollector(t *testing.T) {
	t.Parallel()
	find := func(rule string, level postern.Level, n int) postern.Finding {
		e := postern.Evidence{Path: "x.log", Line: int64(n)}
		return postern.Finding{ID: postern.FindingID(rule, e), Rule: rule, Level: level, Time: start.Add(-1 * dayOf(n)), Evidence: []postern.Evidence{e}}
	}
	const many = 2*maxFindings + 1234
	collect := func(order func(int) int) *collector {
		c := newCollector(&server{})
		for i := range many {
			c.add(find("knock", postern.Probed, order(i)))
		}
		c.add(find("knock", postern.Used, 1), find("other", postern.Probed, 1))
		return c
	}
	up, down := collect(func(i int) int { return i }), collect(func(i int) int { return many - 1 - i })
	got := up.findings()
	if len(got) != maxFindings+2 {
		t.Fatalf("%d findings kept, want %d", len(got), maxFindings+2)
	}
	if !slices.ContainsFunc(got, func(f postern.Finding) bool { return f.Level == postern.Used }) {
		t.Error("a million knocks have crowded out the one that was let in")
	}
	if !slices.EqualFunc(got, down.findings(), func(a, b postern.Finding) bool { return a.ID == b.ID && a.Level == b.Level }) {
		t.Error("what is kept depends on what came first")
	}
	if got[0].Evidence[0].Line != many-1 {
		t.Errorf("the first is of line %d, want the earliest", got[0].Evidence[0].Line)
	}
	if d := up.droppedLevels(); d[postern.Probed] != many-maxFindings || d[postern.Used] != 0 {
		t.Errorf("dropped %v", d)
	}
	p := up.dropped("EX01")
	if len(p) != 1 || p[0].What != postern.Limit || p[0].Detail.Args["count"] != fmt.Sprint(many-maxFindings) || p[0].Detail.Args["rule"] != "knock" {
		t.Errorf("told %+v", p)
	}
}
