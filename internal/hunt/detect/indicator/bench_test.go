package indicator

import (
	"bytes"
	"crypto/sha256"
	"fmt"
	"runtime"
	"strings"
	"testing"
	"time"

	"postern"
)

// million makes a feed of n indicators in a format.
func million(format string, n int) []byte {
	var b bytes.Buffer
	switch format {
	case "csv":
		b.WriteString("type,value,description,valid_until,uuid\n")
	case "stix":
		b.WriteString(`{"type":"bundle","id":"bundle--1","objects":[`)
	case "misp":
		b.WriteString(`{"response":[{"Event":{"info":"an event","Orgc":{"name":"CERT"},"Attribute":[`)
	}
	for i := range n {
		kind, value, object := "sha256", fmt.Sprintf("%x", sha256.Sum256([]byte{byte(i), byte(i >> 8), byte(i >> 16)})), "file:hashes.'SHA-256'"
		switch i % 4 {
		case 1:
			kind, object = "ip-dst", "ipv4-addr:value"
			value = fmt.Sprintf("%d.%d.%d.%d", 11+i>>24, byte(i>>16), byte(i>>8), byte(i))
		case 2:
			kind, object = "domain", "domain-name:value"
			value = fmt.Sprintf("host%d.example.com", i)
		case 3:
			kind, object = "url", "url:value"
			value = fmt.Sprintf("http://host%d.example.com/a/b/%d.php", i, i)
		}
		id := fmt.Sprintf("%08x-0000-4000-8000-%012x", i, i)
		switch format {
		case "csv":
			fmt.Fprintf(&b, "%s,%s,seen in campaign %d,2030-01-01,%s\n", kind, value, i/100, id)
		case "list":
			fmt.Fprintln(&b, value)
		case "stix":
			if i > 0 {
				b.WriteByte(',')
			}
			fmt.Fprintf(&b, `{"type":"indicator","spec_version":"2.1","id":"indicator--%s","created":"2021-03-02T00:00:00.000Z","modified":"2021-03-02T00:00:00.000Z","name":"indicator %d","description":"seen where somebody looked","indicator_types":["malicious-activity"],"pattern":"[%s = '%s']","pattern_type":"stix","valid_from":"2021-03-02T00:00:00Z","valid_until":"2030-01-01T00:00:00Z","object_marking_refs":["marking-definition--613f2e26-407d-48c7-9eca-b8e91df99dc9"]}`, id, i/100, object, value)
		case "misp":
			if i > 0 {
				b.WriteByte(',')
			}
			fmt.Fprintf(&b, `{"id":"%d","type":"%s","category":"Network activity","to_ids":true,"uuid":"%s","event_id":"1","distribution":"5","timestamp":"1614700000","comment":"seen %d","sharing_group_id":"0","deleted":false,"disable_correlation":false,"object_id":"0","object_relation":null,"first_seen":null,"last_seen":null,"value":"%s","Galaxy":[],"ShadowAttribute":[]}`, i, kind, id, i/100, value)
		}
	}
	switch format {
	case "stix":
		b.WriteString("]}")
	case "misp":
		b.WriteString(`]}}]}`)
	}
	return b.Bytes()
}

// Load of a million indicators, and what a set of them keeps in memory.
func BenchmarkLoad(b *testing.B) {
	for _, format := range []string{"csv", "list", "stix", "misp"} {
		b.Run(format, func(b *testing.B) {
			feed := million(format, 1_000_000)
			b.SetBytes(int64(len(feed)))
			b.ResetTimer()
			var s *Set
			for b.Loop() {
				builder := NewBuilder()
				f, err := Read(bytes.NewReader(feed), "feed", builder, Options{Now: time.Now(), TLP: AmberStrict})
				if err != nil || f.Used != 1_000_000 {
					b.Fatalf("got %+v, %v", f, err)
				}
				s = builder.Set()
			}
			b.StopTimer()
			var before, after runtime.MemStats
			runtime.GC()
			runtime.ReadMemStats(&before)
			b.ReportMetric(float64(s.Len()), "indicators")
			runtime.KeepAlive(s)
			s = nil
			runtime.GC()
			runtime.ReadMemStats(&after)
			b.ReportMetric(float64(before.HeapAlloc-after.HeapAlloc)/(1<<20), "MiB")
		})
	}
}

func setOf(t testing.TB, n int) *Set {
	b := NewBuilder()
	if _, err := Read(bytes.NewReader(million("list", n)), "feed", b, Options{Now: time.Now(), TLP: AmberStrict}); err != nil {
		t.Fatal(err)
	}
	for _, agent := range []string{"antSword/v2.1", "python-requests/2.25.1"} {
		b.Add(Entry{Kind: postern.IndicatorUserAgent, Value: agent})
	}
	return b.Set()
}

// proxyColumns and proxyRow are those of a front end's log.
const (
	proxyColumns = "DateTime,RequestId,MajorVersion,MinorVersion,BuildVersion,RevisionVersion,ClientRequestId,Protocol,UrlHost,UrlStem,ProtocolAction,AuthenticationType,IsAuthenticated,AuthenticatedUser,Organization,AnchorMailbox,UserAgent,ClientIpAddress,ServerHostName,HttpStatus,BackEndStatus,ErrorCode,Method,ProxyAction,TargetServer,TargetServerVersion,RoutingType,RoutingHint,BackEndCookie"
	proxyRow     = "2021-03-03T06:49:43.699Z,4e818ea4-917d-4230-bdaa-a942772628b8,15,1,2176,2,{9C6C7C2C-3C19-4C5E-8B1F-5C0C4C2D0A11},Ews,mail.contoso.example,/ews/exchange.asmx,,Negotiate,true,CONTOSO\\user%d,,Sid~S-1-5-21-1234567890-1234567890-1234567890-%d,Mozilla/5.0 (Windows NT 10.0; Win64; x64) AppleWebKit/537.36 (KHTML  like Gecko) Chrome/88.0.%d.150 Safari/537.36,198.51.%d.%d,EX01,200,200,,POST,Proxy,ex01.contoso.example,15.01.2176.000,IntraForest,WindowsIdentity,,,,0,1234,5678,1,,12,3,,0,,0,,0,2,,0,15,0,0,0,14,0,0,0,1,0,0,15,0,1,2,15,,,BeginRequest=2021-03-03T06:49:43.699Z;CorrelationID=<empty>;ProxyState-Run=None;FEAuth=BEVersion-1941996672;NewConnection=fe80::1&0;BeginGetResponse=2021-03-03T06:49:43.699Z;OnResponseReady=2021-03-03T06:49:43.699Z;EndGetResponse=2021-03-03T06:49:43.699Z;ProxyState-Complete=ProxyResponseData;EndRequest=2021-03-03T06:49:43.714Z;,,,,,,,CafeV1"
)

// Rows that no rule is about: what the look at their columns costs, with few and with
// many indicators, for clients who come again and for ever new ones.
func BenchmarkColumns(b *testing.B) {
	rows := make([][]byte, 4096)
	for i := range rows {
		rows[i] = fmt.Appendf(nil, proxyRow, i%300, i%300, i%40, i/250%8, i%250)
	}
	for _, n := range []int{4, 1000, 1_000_000} {
		s := setOf(b, n)
		c := s.Columns(',', strings.Split(proxyColumns, ","), new(Memory))
		b.Run(fmt.Sprintf("indicators=%d", n), func(b *testing.B) {
			b.SetBytes(int64(len(rows[0])))
			b.ReportAllocs()
			i := 0
			for b.Loop() {
				if c.Pass(rows[i%len(rows)]) {
					b.Fatal("a row without an indicator passes")
				}
				i++
			}
		})
	}
}

// Lookup in the set alone.
func BenchmarkFind(b *testing.B) {
	for _, n := range []int{1000, 1_000_000} {
		s := setOf(b, n)
		keys := make([][]byte, 1024)
		for i := range keys {
			sum := sha256.Sum256([]byte{byte(i), byte(i >> 8), 0xEE, 0xFF})
			keys[i] = sum[:]
		}
		b.Run(fmt.Sprintf("indicators=%d", n), func(b *testing.B) {
			i := 0
			for b.Loop() {
				if s.find(kindSHA256, keys[i%len(keys)]) != 0 {
					b.Fatal("found what is not there")
				}
				i++
			}
		})
	}
}
