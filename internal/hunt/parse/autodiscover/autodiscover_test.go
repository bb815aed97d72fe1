package autodiscover

import (
	"testing"

	"github.com/google/go-cmp/cmp"

	"postern/internal/hunt/parse"
	"postern/internal/hunt/parse/parsetest"
)

// The columns of this log are not published: these are made up, with the two that
// all logs of the product share.
const log = "#Software: Microsoft Exchange Server\r\n#Version: 15.01.2375.007\r\n#Log-type: Autodiscover Logs\r\n#Fields: DateTime,X,UserAgent,ClientIpAddress,ServerHostName\r\n" +
	"2021-03-03T07:00:00.000Z,1,Microsoft Office/16.0 (Windows NT 10.0;  x),192.0.2.7 10.0.0.1,EX01\r\n"

func TestRow(t *testing.T) {
	t.Parallel()
	ev := parsetest.Row(t, Format(), log)
	if diff := cmp.Diff(map[string][]string{"Agent": {"microsoft office/16.0 (windows nt 10.0; x)"}, "ClientIp": {"192.0.2.7"}}, parsetest.Derived(ev)); diff != "" {
		t.Errorf("derived (-want +got):\n%s", diff)
	}
	if ev.Source != Name || ev.Host != "EX01" || ev.Get("X") != "1" {
		t.Errorf("source %s, host %s, X %s", ev.Source, ev.Host, ev.Get("X"))
	}
}

func TestRecognise(t *testing.T) {
	t.Parallel()
	const fields = "#Fields: DateTime,UserAgent\r\n"
	for _, tc := range []struct {
		name, path, data string
		want             bool
	}{
		{"its type", "x", log, true},
		{"its folder", "Logging/Autodiscover/x.LOG", fields, true},
		{"the front end's folder", "Logging/HttpProxy/Autodiscover/x.LOG", fields, false},
		{"elsewhere", "x.LOG", fields, false},
	} {
		f, _ := parse.Recognise([]byte(tc.data), tc.path, []*parse.Format{Format()}, nil)
		if got := f != nil; got != tc.want {
			t.Errorf("%s: recognised %v, want %v", tc.name, got, tc.want)
		}
	}
}

func FuzzAutodiscover(f *testing.F) { parsetest.Fuzz(f, Format(), nil, log) }
