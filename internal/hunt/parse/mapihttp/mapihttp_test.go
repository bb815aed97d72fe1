package mapihttp

import (
	"strings"
	"testing"

	"github.com/google/go-cmp/cmp"

	"postern/internal/hunt/parse"
	"postern/internal/hunt/parse/parsetest"
)

// full is the header of 15.1, as far as it was published.
const full = columns + ",AuthenticatedUserEmail,UPN,Puid,TenantGuid,MailboxId,MDBGuid,ActAsUserEmail,ClientIP,SourceCafeServer,EdgeInfo,NetworkDeviceInfo,SessionCookie,SequenceCookie,MapiClientInfo,ClientSoftware,ClientSoftwareVersion,ClientMode,AuthenticationType,AuthenticatedUser,RopIds,OperationSpecific,GenericInfo,GenericErrors"

func log(values map[string]string) string {
	var cells []string
	for c := range strings.SplitSeq(full, ",") {
		cells = append(cells, values[c])
	}
	return "#Software: Microsoft Exchange Server\r\n#Version: 15.01.2375.007\r\n#Log-type: MapiHttp Logs\r\n#Fields: " + full + "\r\n" + full + "\r\n" + strings.Join(cells, ",") + "\r\n"
}

func TestRow(t *testing.T) {
	t.Parallel()
	ev := parsetest.Row(t, Format(), log(map[string]string{"DateTime": "2021-03-03T07:00:00.000Z", "RequestType": "Execute", "HttpStatusCode": "200", "ClientIP": "192.0.2.7", "ClientSoftware": "Microsoft Office/16.0"}))
	if diff := cmp.Diff(map[string][]string{"Agent": {"microsoft office/16.0"}, "ClientIp": {"192.0.2.7"}}, parsetest.Derived(ev)); diff != "" {
		t.Errorf("derived (-want +got):\n%s", diff)
	}
	if ev.Source != Name || ev.Get("RequestType") != "Execute" || ev.Time.Hour() != 7 {
		t.Errorf("source %s, request %s, time %v", ev.Source, ev.Get("RequestType"), ev.Time)
	}
}

func TestRecognise(t *testing.T) {
	t.Parallel()
	for name, tc := range map[string]struct {
		data string
		want bool
	}{
		"full":        {log(nil), true},
		"short":       {"#Fields: " + columns + "\r\n", true},
		"another log": {"#Fields: DateTime,RequestId,UserAgent,SoapAction,AuthenticatedUser\r\n", false},
	} {
		f, _ := parse.Recognise([]byte(tc.data), "x", []*parse.Format{Format()}, nil)
		if got := f != nil; got != tc.want {
			t.Errorf("%s: recognised %v, want %v", name, got, tc.want)
		}
	}
}

func FuzzMapiHttp(f *testing.F) {
	parsetest.Fuzz(f, Format(), nil, log(map[string]string{"DateTime": "2021-03-03T07:00:00Z", "ClientIP": "[::1]:443", "ClientSoftware": "a+b"}))
}
