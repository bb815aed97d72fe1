package ews

import (
	"strings"
	"testing"

	"github.com/google/go-cmp/cmp"

	"postern"
	"postern/internal/hunt/parse"
	"postern/internal/hunt/parse/parsetest"
)

// In a file of 15.0.1104 the bare header comes before the block, and there is no Ring.
const old = "DateTime,RequestId,MajorVersion,MinorVersion,BuildVersion,RevisionVersion,ClientRequestId,AuthenticationType,IsAuthenticated,AuthenticatedUser,Organization,UserAgent,VersionInfo,ClientIpAddress,ServerHostName,FrontEndServer,SoapAction,HttpStatus"

const block = "#Software: Microsoft Exchange Server\r\n#Version: 15.00.1104.000\r\n#Log-type: EWS Logs\r\n#Date: 2017-08-01T00:00:00.000Z\r\n#Fields: "

func TestRows(t *testing.T) {
	t.Parallel()
	log := old + "\r\n" + block + old + "\r\n" +
		"2021-03-03T07:00:00.000Z,0f1e,15,0,1104,0,,Negotiate,True,CONTOSO\\EX01$,,ExchangeServicesClient/0.0.0.0,Target=None;Req=Exchange2013/,::1,EX01,EX01.contoso.local,FindItem,200\r\n" +
		",Sbsc_x,15,0,1104,0,,,,,,,,,EX01,,,\r\n"
	events, result := parsetest.Scan(t, Format(), []byte(log))
	if len(events) != 2 || result.Records != 1 || len(result.Problems) > 0 {
		t.Fatalf("%d events, %d records, problems %v; a row without a time is an event, but no record and no problem", len(events), result.Records, result.Problems)
	}
	want := map[string][]string{"Agent": {"exchangeservicesclient/0.0.0.0"}, "ClientIp": {"::1"}}
	if diff := cmp.Diff(want, parsetest.Derived(&events[0])); diff != "" {
		t.Errorf("derived (-want +got):\n%s", diff)
	}
	for name, value := range map[string]string{"AuthenticatedUser": `CONTOSO\EX01$`, "SoapAction": "FindItem", "HttpStatus": "200"} {
		if got := events[0].Get(name); got != value {
			t.Errorf("%s is %q, want %q", name, got, value)
		}
	}
	if events[0].Host != "EX01" || events[0].Source != Name {
		t.Errorf("host %q, source %q", events[0].Host, events[0].Source)
	}
	if diff := cmp.Diff([]parse.BuildSeen{{Build: postern.Build{15, 0, 1104, 0}, Time: events[0].Time}}, result.Builds); diff != "" {
		t.Errorf("builds (-want +got):\n%s", diff)
	}
}

func TestRecognise(t *testing.T) {
	t.Parallel()
	for name, tc := range map[string]struct {
		data string
		want bool
	}{
		"bare header first": {old + "\r\n" + block + old + "\r\n", true},
		"newest known":      {"#Fields: " + columns + "\r\n", true},
		"another log":       {"#Fields: DateTime,RequestId,UserAgent,AuthenticatedUser\r\n", false},
	} {
		f, _ := parse.Recognise([]byte(tc.data), "x", []*parse.Format{Format()}, nil)
		if got := f != nil; got != tc.want {
			t.Errorf("%s: recognised %v, want %v", name, got, tc.want)
		}
	}
}

func FuzzEWS(f *testing.F) {
	each := func(t *testing.T, ev *postern.Event) {
		if strings.Contains(ev.Get("Agent"), "  ") {
			t.Fatalf("agent %q", ev.Get("Agent"))
		}
	}
	parsetest.Fuzz(f, Format(), each, old+"\r\n"+block+old+"\r\n2021-03-03T07:00:00.000Z,a,15,0,1104,0,,N,True,C\\E$,,\"x,  y\",T,::1 10.0.0.1,EX01,E,FindItem,200\r\n,Sbsc_x,15\r\n")
}
