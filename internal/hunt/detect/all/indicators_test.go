package all

import (
	"fmt"
	"path"
	"slices"
	"testing"
	"time"

	gocmp "github.com/google/go-cmp/cmp"
	"pgregory.net/rapid"

	"postern"
	"postern/internal/hunt/detect/indicator"
)

// busyRow is a row of the front end that no rule is about.
const busyRow = "2021-03-03T06:49:43.699Z,4e818ea4-917d-4230-bdaa-a942772628b8,15,1,2176,2,{9C6C7C2C-3C19-4C5E-8B1F-5C0C4C2D0A11},Ews,mail.contoso.example,/ews/exchange.asmx,,Negotiate,true,CONTOSO\\user%d,,Sid~S-1-5-21-1234567890-1234567890-1234567890-%d,Mozilla/5.0 (Windows NT 10.0; Win64; x64) AppleWebKit/537.36 (KHTML  like Gecko) Chrome/88.0.%d.150 Safari/537.36,198.51.%d.%d,EX01,200,200,,POST,Proxy,ex01.contoso.example,15.01.2176.000,IntraForest,WindowsIdentity,,,,0,1234,5678,1,,12,3,,0,,0,,0,2,,0,15,0,0,0,14,0,0,0,1,0,0,15,0,1,2,15,,,BeginRequest=2021-03-03T06:49:43.699Z;CorrelationID=<empty>;ProxyState-Run=None;FEAuth=BEVersion-1941996672;BeginGetResponse=2021-03-03T06:49:43.699Z;EndGetResponse=2021-03-03T06:49:43.699Z;EndRequest=2021-03-03T06:49:43.714Z;,,,,,,,CafeV1"

func feedOf(n int) *indicator.Set {
	b := indicator.NewBuilder()
	for i := range n {
		switch i % 3 {
		case 0:
			b.Add(indicator.Entry{Kind: postern.IndicatorAddress, Value: fmt.Sprintf("%d.%d.%d.%d", 20+i>>24, byte(i>>16), byte(i>>8), byte(i))})
		case 1:
			b.Add(indicator.Entry{Kind: postern.IndicatorUserAgent, Value: fmt.Sprintf("agent/%d", i)})
		default:
			b.Add(indicator.Entry{Kind: postern.IndicatorURL, Value: fmt.Sprintf("http://host%d.example/a/%d", i, i)})
		}
	}
	return b.Set()
}

// What a row that no rule is about costs the gate, without a feed and with small and
// large ones. Clients come again, as they do.
func BenchmarkGateWithFeeds(b *testing.B) {
	lines := make([][]byte, 4096)
	for i := range lines {
		lines[i] = fmt.Appendf(nil, busyRow, i%300, i%300, i%40, i/250%4, i%250)
	}
	rows := builtIn(b)
	f := rows.formats["httpproxy"]
	for _, n := range []int{0, 1000, 1_000_000} {
		r := rows
		if n > 0 {
			r = rows.WithIndicators(feedOf(n), time.Now())
		}
		gate := r.Host().Gate(f, f.Columns)
		b.Run(fmt.Sprintf("indicators=%d", n), func(b *testing.B) {
			b.SetBytes(int64(len(lines[0])))
			b.ReportAllocs()
			i := 0
			for b.Loop() {
				if gate.Pass(lines[i%len(lines)]) {
					b.Fatalf("a row without anything in it passes: %s", lines[i%len(lines)])
				}
				i++
			}
		})
	}
}

// A row that no rule is about reaches the findings if a feed has its address, and does
// not for one of a pack alone; and no rule loses a row by it.
func TestFeedOpensTheGate(t *testing.T) {
	t.Parallel()
	rows := builtIn(t)
	f := rows.formats["httpproxy"]
	line := fmt.Appendf(nil, busyRow, 1, 1, 1, 100, 7)
	for _, c := range []struct {
		name string
		add  func(*indicator.Builder)
		want bool
	}{
		{"feed", func(b *indicator.Builder) {
			b.Add(indicator.Entry{Kind: postern.IndicatorAddress, Value: "198.51.100.0/24"})
		}, true},
		{"pack", func(b *indicator.Builder) {
			b.Pack(postern.Indicator{Kind: postern.IndicatorAddress, Value: "198.51.100.7"})
		}, false},
	} {
		b := indicator.NewBuilder()
		c.add(b)
		host := rows.WithIndicators(b.Set(), time.Now()).Host()
		if got := host.Gate(f, f.Columns).Pass(line); got != c.want {
			t.Errorf("%s: passes %v, want %v", c.name, got, c.want)
		}
	}
}

// Whatever a row holds of a feed is found behind the gate as without it, in any spelling
// that a log can have; and the findings of rules are the same as ever.
func TestGateWithFeedIsSound(t *testing.T) {
	t.Parallel()
	rows := builtIn(t)
	all := samples()
	rapid.Check(t, func(t *rapid.T) {
		s := rapid.SampledFrom(all).Draw(t, "sample")
		b := indicator.NewBuilder()
		b.Add(indicator.Entry{Kind: postern.IndicatorAddress, Value: "192.0.2.0/24"})
		for _, row := range s.log.rows {
			for _, c := range []string{"ClientIpAddress", "c-ip"} {
				b.Add(indicator.Entry{Kind: postern.IndicatorAddress, Value: row[c]})
			}
			for _, c := range []string{"UserAgent", "cs(User-Agent)"} {
				b.Add(indicator.Entry{Kind: postern.IndicatorUserAgent, Value: row[c]})
			}
			for _, c := range []string{"UrlStem", "cs-uri-stem"} {
				b.Add(indicator.Entry{Kind: postern.IndicatorURL, Value: row[c]})
				b.Add(indicator.Entry{Kind: postern.IndicatorFileName, Value: path.Base(row[c])})
			}
			b.Add(indicator.Entry{Kind: postern.IndicatorDomain, Value: row["UrlHost"]})
		}
		with := rows.WithIndicators(b.Set(), time.Unix(0, 0))
		f, tb := spelt(t, s)
		log := tb.write(rapid.Bool().Draw(t, "quoted"))
		without, behind := with.Host(), with.Host()
		ruled := func(findings []postern.Finding) []string {
			return short(slices.DeleteFunc(findings, func(f postern.Finding) bool { return f.Rule == indicator.RuleRow }))
		}
		want := ruled(judge(t, f, log, without, false))
		if diff := gocmp.Diff(want, ruled(judge(t, f, log, behind, true))); diff != "" {
			t.Fatalf("(-without gate +with):\n%s", diff)
		}
		if diff := gocmp.Diff(want, ruled(judge(t, f, log, rows.Host(), true))); diff != "" {
			t.Fatalf("(-with indicators +without them):\n%s", diff)
		}
		if diff := gocmp.Diff(without.Sequences(nil), behind.Sequences(nil)); diff != "" {
			t.Fatalf("%s: sightings in\n%s\n(-without gate +with):\n%s", s.name, log, diff)
		}
	})
}
