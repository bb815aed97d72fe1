package testproxylogon

import (
	"fmt"
	"io"
	"strings"
	"testing"

	gocmp "github.com/google/go-cmp/cmp"

	"postern/internal/hunt/detect"
)

func hit(anchor, status string) string {
	return `"DateTime","RequestId","ClientIPAddress","UrlHost","UrlStem","RoutingHint","UserAgent","AnchorMailbox","HttpStatus"` + "\r\n" +
		fmt.Sprintf(`"2021-03-03T06:49:43.699Z","4e818ea4-917d-4230-bdaa-a942772628b8","192.0.2.7","mail.contoso.example","/ecp/y.js","X-BEResource-Cookie","x","%s","%s"`, anchor, status) + "\r\n"
}

// The rungs are those of the rules for the log, and never surer than medium.
func TestLadder(t *testing.T) {
	t.Parallel()
	const ddi = "ServerInfo~a]@ex01.local:444/ecp/DDI/DDIService.svc/SetObject?msExchEcpCanary=x.&schema="
	for _, c := range []struct{ name, file, content, want string }{
		{"mail", "EX01-Cve-2021-26855.csv", hit("ServerInfo~a]@ex01:444/mapi/emsmdb/?#", "200"), "test-proxylogon/proxy 2 medium proxylogon"},
		{"session", "EX01-Cve-2021-26855.csv", hit("ServerInfo~a]@ex01:444/ecp/proxyLogon.ecp?#", "241"), "test-proxylogon/proxy 2 medium proxylogon"},
		{"refused", "EX01-Cve-2021-26855.csv", hit("ServerInfo~a]@ex01:444/mapi/emsmdb/?#", "500"), "test-proxylogon/proxy 1 medium proxylogon"},
		{"administrator", "EX01-Cve-2021-26855.csv", hit(ddi+"OABVirtualDirectory#", "200"), "test-proxylogon/proxy 3 medium proxylogon"},
		{"written", "EX01-Cve-2021-26855.csv", hit(ddi+"ResetOABVirtualDirectory#", "200"), "test-proxylogon/proxy 4 medium proxylogon"},
		{"not written", "EX01-Cve-2021-26855.csv", hit(ddi+"ResetOABVirtualDirectory#", "500"), "test-proxylogon/proxy 1 medium proxylogon"},
		{"test", "EX01-Cve-2021-26855.csv", hit("ServerInfo~localhost/ecp/default.flt?", "200"), "test-proxylogon/proxy 1 medium proxylogon"},
		{"nothing forged", "EX01-Cve-2021-26855.csv", hit("Sid~S-1-5-21", "200"), "test-proxylogon/proxy 0 low proxylogon"},
		{"another name", "hits.csv", hit("ServerInfo~a]@ex01:444/mapi/emsmdb/?#", "200"), "test-proxylogon/proxy 2 medium proxylogon"},
		{"event", "EX01-Cve-2021-26857.csv", "\"TimeCreated\",\"MachineName\",\"Message\"\n\"3/3/2021\",\"EX01\",\"x\"\n", "test-proxylogon/event 2 low proxylogon"},
		{"address book", "EX01-Cve-2021-26858.log", "C:\\V15\\Logging\\OABGeneratorLog\\x.log\n", "test-proxylogon/oab-log 1 low proxylogon"},
		{"control panel", "EX01-Cve-2021-27065.log", "C:\\V15\\Logging\\ECP\\Server\\x.log\n", "test-proxylogon/ecp-log 1 low"},
		{"dump", "EX01-other.csv", "ComputerName,Type,Path,Name,LastWrite\nEX01,LsassDump,C:\\root\\lsass.dmp,lsass.dmp,2021-03-03 10:00:00\n", "test-proxylogon/dump 1 medium"},
		{"archive", "EX01-other.csv", "ComputerName,Type,Path,Name,LastWrite\nEX01,SuspiciousArchive,C:\\ProgramData\\a.zip,a.zip,\n", "test-proxylogon/archive 0 low"},
		{"age", "EX01-LogAgeDays.csv", "Oabgen,Ecp,AutodProxy\n30.0,30.0,30.0\n", ""},
		{"another list", "list.csv", "a,b\n1,2\n", ""},
	} {
		f := &detect.File{Path: c.file, Server: strings.ToLower(c.file), Size: int64(len(c.content)), Open: func() (io.ReadCloser, error) { return io.NopCloser(strings.NewReader(c.content)), nil }}
		d := New()
		if !d.Wants(f) {
			t.Fatalf("%s: not wanted", c.name)
		}
		findings, problems, err := d.Look(f)
		if err != nil || problems != nil {
			t.Fatalf("%s: %v, %v", c.name, err, problems)
		}
		var got []string
		for _, f := range findings {
			got = append(got, strings.TrimSpace(fmt.Sprint(f.Rule, " ", int(f.Level), " ", f.Confidence, " ", f.Campaign)))
			if len(f.Evidence) != 1 || f.Evidence[0].Excerpt == "" || f.Evidence[0].Line == 0 {
				t.Errorf("%s: the row is not the evidence: %+v", c.name, f.Evidence)
			}
		}
		if diff := gocmp.Diff(c.want, strings.Join(got, ", ")); diff != "" {
			t.Errorf("%s (-want +got):\n%s", c.name, diff)
		}
	}
}
