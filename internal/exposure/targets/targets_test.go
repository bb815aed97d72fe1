package targets

import (
	"errors"
	"fmt"
	"io"
	"net/netip"
	"slices"
	"strconv"
	"strings"
	"testing"
	"testing/iotest"

	"postern"
	"postern/internal/exposure"
)

// list reads a whole list; targets in one line each, problems by line and kind.
func list(t *testing.T, in string) (got, problems []string) {
	t.Helper()
	for target, err := range Read(strings.NewReader(in), Options{Path: "t", Problem: func(p postern.Problem) {
		problems = append(problems, p.Detail.Args["line"]+" "+string(p.What))
	}}) {
		if err != nil {
			t.Fatal(err)
		}
		got = append(got, show1(&target))
	}
	return got, problems
}

func show1(t *exposure.Target) string {
	s := t.Text + " "
	if t.Address.IsValid() {
		s += netip.AddrPortFrom(t.Address, t.Port).String()
	} else {
		s += fmt.Sprintf("?:%d", t.Port)
	}
	for _, more := range []string{t.Name, t.Country, t.Sector} {
		if more != "" {
			s += " " + more
		}
	}
	if t.ASN != 0 {
		s += fmt.Sprintf(" AS%d", t.ASN)
	}
	if t.Plain {
		s += " plain"
	}
	return s
}

func TestForms(t *testing.T) {
	t.Parallel()
	for _, c := range []struct {
		name, in string
		want     []string
		problems []string
	}{
		{"plain lines", "# mine\n\n192.0.2.1\n192.0.2.2:8443  mail.alpha.example # two\n[2001:db8::1]:444\n2001:db8::2\nMail.Beta.Example.\nbeta.example:80\nhttps://gamma.example/\nhttp://192.0.2.9:8080\n::ffff:192.0.2.7\nb\u00fccher.example\n",
			[]string{"192.0.2.1 192.0.2.1:443", "192.0.2.2:8443 192.0.2.2:8443 mail.alpha.example", "[2001:db8::1]:444 [2001:db8::1]:444", "2001:db8::2 [2001:db8::2]:443",
				"Mail.Beta.Example. ?:443 mail.beta.example", "beta.example:80 ?:80 beta.example plain", "https://gamma.example/ ?:443 gamma.example",
				"http://192.0.2.9:8080 192.0.2.9:8080 plain", "::ffff:192.0.2.7 192.0.2.7:443", "b\u00fccher.example ?:443 xn--bcher-kva.example"}, nil},
		{"rubbish between", "192.0.2.1\n192.0.2.300\n192.0.2.2:0\n192.0.2.2:99999\nfe80::1%eth0\na b c\n-x.example\n2001:db8::1:443x\n[192.0.2.1]:443\n10.0.0.0/7\n1.2.3\n" + strings.Repeat("x", 2000) + "\n\x00\xff\n192.0.2.3 bad_\u00a0name\n192.0.2.4",
			[]string{"192.0.2.1 192.0.2.1:443", "192.0.2.4 192.0.2.4:443"},
			[]string{"2 malformed", "3 malformed", "4 malformed", "5 malformed", "6 malformed", "7 malformed", "8 malformed", "9 malformed", "10 malformed", "11 malformed", "12 limit", "13 malformed", "14 malformed"}},
		{"networks", "192.0.2.4/30\n2001:db8::/127\n192.0.2.9/32", []string{"192.0.2.4 192.0.2.4:443", "192.0.2.6 192.0.2.6:443", "192.0.2.5 192.0.2.5:443", "192.0.2.7 192.0.2.7:443",
			"2001:db8:: [2001:db8::]:443", "2001:db8::1 [2001:db8::1]:443", "192.0.2.9 192.0.2.9:443"}, nil},
		{"zmap csv", "saddr,sport,classification\n192.0.2.1,443,synack\nx,443,synack\n192.0.2.2,8443,synack\n", []string{"192.0.2.1:443 192.0.2.1:443", "192.0.2.2:8443 192.0.2.2:8443"}, []string{"3 malformed"}},
		{"zmap csv, one column", "saddr\n192.0.2.1\n", []string{"192.0.2.1:443 192.0.2.1:443"}, nil},
		{"zmap json", `{"saddr":"192.0.2.1","sport":443}` + "\n" + `{"saddr":"192.0.2.2"` + "\n" + `{"saddr":"192.0.2.3","sport":"8443"}`, []string{"192.0.2.1:443 192.0.2.1:443", "192.0.2.3:8443 192.0.2.3:8443"}, []string{"2 malformed"}},
		{"masscan list", "#masscan\nopen tcp 443 192.0.2.1 1615366364\nopen udp 53 192.0.2.9 1615366364\nopen tcp 8443 192.0.2.2 1615366364\n# end\n", []string{"192.0.2.1:443 192.0.2.1:443", "192.0.2.2:8443 192.0.2.2:8443"}, []string{"3 malformed"}},
		{"masscan json", "[\n{   \"ip\": \"192.0.2.1\",   \"timestamp\": \"1\", \"ports\": [ {\"port\": 443, \"proto\": \"tcp\", \"status\": \"open\", \"ttl\": 1} ] },\n{\"ip\": \"192.0.2.2\", \"ports\": [{\"port\": 80, \"proto\": \"tcp\", \"status\": \"closed\"}]},\n{finished: 1}\n]\n",
			[]string{"192.0.2.1:443 192.0.2.1:443"}, []string{"4 malformed"}},
		{"masscan xml", "<?xml version=\"1.0\"?>\r\n<nmaprun scanner=\"masscan\" start=\"1\">\r\n<host endtime=\"1\"><address addr=\"192.0.2.1\" addrtype=\"ipv4\"/><ports><port protocol=\"tcp\" portid=\"443\"><state state=\"open\" reason=\"syn-ack\"/></port></ports></host>\r\n" +
			"<host endtime=\"1\"><address addr=\"192.0.2.2\" addrtype=\"ipv4\"/><ports><port protocol=\"udp\" portid=\"53\"><state state=\"open\"/></port></ports></host>\r\n<host><address addr=\"x\" addrtype=\"ipv4\"/><ports><port protocol=\"tcp\" portid=\"443\"><state state=\"open\"/></port></ports></host>\r\n<runstats>",
			[]string{"192.0.2.1:443 192.0.2.1:443"}, []string{"5 malformed"}},
		{"nmap xml", "<?xml version='1.0'?>\n<host starttime='1'><status state='up'/>\n<address addr='2001:db8::1' addrtype='ipv6'/>\n<address addr='00:00:00:00:00:01' addrtype='mac'/>\n<hostnames><hostname name='mail.alpha.example' type='user'/><hostname name='x' type='PTR'/></hostnames>\n" +
			"<ports><port protocol='tcp' portid='80'><state state='closed'/></port>\n<port protocol='tcp' portid='8443'><state state='open'/></port>\n</ports></host>\n<host", []string{"[2001:db8::1]:8443 [2001:db8::1]:8443 mail.alpha.example"}, []string{"9 malformed"}},
		{"masscan grepable", "# Masscan\nTimestamp: 1615366364\tHost: 192.0.2.1 ()\tPorts: 443/open/tcp//https//\nHost: 192.0.2.2 (mail.alpha.example)\tStatus: Up\nHost: 192.0.2.2 (mail.alpha.example)\tPorts: 80/closed/tcp//http///, 8443/open/tcp//https///, 53/open/udp/////\tIgnored State: closed (1)\n",
			[]string{"192.0.2.1:443 192.0.2.1:443", "192.0.2.2:8443 192.0.2.2:8443 mail.alpha.example"}, nil},
		{"zgrab2", `{"ip":"192.0.2.1","domain":"mail.alpha.example","data":{"tls":{"status":"success","result":{"x":"}{"}}}}` + "\n" + `{"domain":"beta.example","data":{}}`,
			[]string{"192.0.2.1:443 192.0.2.1:443 mail.alpha.example", "beta.example:443 ?:443 beta.example"}, nil},
		{"zgrab2 with ports", `{"ip":"192.0.2.1","data":{"http":{"status":"success","protocol":"http","port":8443,"result":{}},"tls":{"status":"success","protocol":"tls","port":8443},"smtp":{"status":"success","protocol":"smtp","port":25}}}` + "\n" +
			`{"ip":"192.0.2.2","data":{"owa":{"status":"connection-timeout","protocol":"http","port":444},"http":{"status":"success","protocol":"http","port":443}}}` + "\n" +
			`{"ip":"192.0.2.3","data":{"x":[1],"http":{"port":"no","protocol":"http"}}}`,
			[]string{"192.0.2.1:8443 192.0.2.1:8443", "192.0.2.2:443 192.0.2.2:443", "192.0.2.2:444 192.0.2.2:444", "192.0.2.3:443 192.0.2.3:443"}, nil},
		{"Shodan jsonl", `{"ip":3221225985,"ip_str":"192.0.2.1","port":8443,"hostnames":["192.0.2.1","mail.alpha.example"],"asn":"AS64496","location":{"country_code":"NL"},"data":"a\nb"}`,
			[]string{"192.0.2.1:8443 192.0.2.1:8443 mail.alpha.example NL AS64496"}, nil},
		{"Shodan csv", "IP,Port,Hostnames,Country,Data\r\n192.0.2.1,443,\"mail.alpha.example;x\",NL,\"HTTP/1.1 200 OK\r\nServer: x\r\n\"\"a\"\", b\"\r\n192.0.2.2,80,,DE,\r\n",
			[]string{"192.0.2.1:443 192.0.2.1:443 mail.alpha.example NL", "192.0.2.2:80 192.0.2.2:80 DE plain"}, nil},
		{"a quote too many", "ip,port,note\n192.0.2.1,443,\"open\n192.0.2.2,443,x\n192.0.2.3,443,y\n", []string{"192.0.2.2:443 192.0.2.2:443", "192.0.2.3:443 192.0.2.3:443"}, []string{"3 malformed"}},
		{"Censys", "[\n  {\n    \"ip\": \"192.0.2.1\",\n    \"services\": [\n      {\"port\": 22, \"service_name\": \"SSH\"},\n      {\n        \"port\": 443, \"service_name\": \"HTTP\"\n      }\n    ],\n    \"autonomous_system\": {\"asn\": 64496},\n    \"location\": {\"country_code\": \"NL\"}\n  },\n  {\"host\": {\"ip\": \"192.0.2.2\", \"services\": [{\"port\": 8443, \"protocol\": \"HTTP\"}]}}\n]\n",
			[]string{"192.0.2.1:443 192.0.2.1:443 NL AS64496", "192.0.2.2:8443 192.0.2.2:8443"}, nil},
		{"Shadowserver", "\"timestamp\",\"severity\",\"ip\",\"protocol\",\"port\",\"hostname\",\"tag\",\"asn\",\"geo\",\"region\",\"city\",\"naics\",\"sector\"\n\"2021-03-18 00:00:00\",\"high\",\"192.0.2.1\",\"tcp\",\"443\",\"mail.alpha.example\",\"exchange;cve-2021-26855\",\"64496\",\"NL\",\"X\",\"Y\",\"0\",\"Government\"\n",
			[]string{"192.0.2.1:443 192.0.2.1:443 mail.alpha.example NL Government AS64496"}, nil},
		{"our own records", `{"schema":"postern.exposure/1","target":"192.0.2.1:8443","address":"192.0.2.1","port":8443,"name":"mail.alpha.example","time":"2021-03-05T00:00:00Z","outcome":"timeout","asn":64496,"country":"NL"}`,
			[]string{"192.0.2.1:8443 192.0.2.1:8443 mail.alpha.example NL AS64496"}, nil},
		{"nothing", "", nil, nil},
		{"half an object", `{"ip":"192.0.2.1"`, nil, []string{"1 malformed"}},
	} {
		got, problems := list(t, c.in)
		if !slices.Equal(got, c.want) {
			t.Errorf("%s: got\n %s\nwant\n %s", c.name, strings.Join(got, "\n "), strings.Join(c.want, "\n "))
		}
		if !slices.Equal(problems, c.problems) {
			t.Errorf("%s: problems %q, want %q", c.name, problems, c.problems)
		}
	}
}

// TestNetworkIsCountedThrough: a large network costs no memory, gives every address
// once, and leaves when nobody wants more.
func TestNetworkIsCountedThrough(t *testing.T) {
	t.Parallel()
	seen := map[netip.Addr]bool{}
	near := 0
	var before netip.Addr
	for target, err := range Read(strings.NewReader("10.1.0.0/16"), Options{}) {
		if err != nil || seen[target.Address] {
			t.Fatalf("%v twice, or %v", target.Address, err)
		}
		seen[target.Address] = true
		if before.IsValid() && before.As4()[2] == target.Address.As4()[2] {
			near++
		}
		before = target.Address
	}
	if len(seen) != 1<<16 || near > 1<<8 {
		t.Errorf("%d addresses, %d of them next to the one before", len(seen), near)
	}
	n := 0
	for range Read(strings.NewReader("10.0.0.0/8\n11.0.0.0/8"), Options{}) {
		if n++; n == 10 {
			break
		}
	}
}

func TestReaderErrorIsTheLastPair(t *testing.T) {
	t.Parallel()
	boom := errors.New("boom")
	var last error
	n := 0
	for _, err := range Read(io.MultiReader(strings.NewReader("192.0.2.1\n"), iotest.ErrReader(boom)), Options{}) {
		last = err
		n++
	}
	if n != 2 || !errors.Is(last, boom) {
		t.Errorf("%d pairs, last %v", n, last)
	}
}

func TestLongLine(t *testing.T) {
	t.Parallel()
	got, problems := list(t, "192.0.2.1\n"+strings.Repeat("y", maxLine+5)+"\n192.0.2.2\n")
	if len(got) != 2 || !slices.Equal(problems, []string{"2 limit"}) {
		t.Errorf("%v %v", got, problems)
	}
}

// TestManyPorts: a host with more ports than are looked at is told, once, in every form.
func TestManyPorts(t *testing.T) {
	t.Parallel()
	forms := map[string]func(ports []string) string{
		"json": func(ports []string) string { return `{"ip":"192.0.2.1","ports":[` + strings.Join(ports, ",") + `]}` },
		"csv":  func(ports []string) string { return "ip,port\n192.0.2.1," + strings.Join(ports, " ") },
		"xml": func(ports []string) string {
			text := `<nmaprun><host><address addr="192.0.2.1" addrtype="ipv4"/>`
			for _, p := range ports {
				text += `<port protocol="tcp" portid="` + p + `"><state state="open"/></port>`
			}
			return text + `</host></nmaprun>`
		},
		"grepable": func(ports []string) string {
			return "Host: 192.0.2.1 ()\tPorts: " + strings.Join(ports, "/open/tcp//x//, ") + "/open/tcp//x//"
		},
	}
	var ports []string
	for n := range maxPorts + 3 {
		ports = append(ports, strconv.Itoa(8000+n))
	}
	for name, write := range forms {
		if got, problems := list(t, write(ports[:maxPorts])); len(got) != maxPorts || len(problems) != 0 {
			t.Errorf("%s with as many as there may be: %d targets, %v", name, len(got), problems)
		}
		if got, problems := list(t, write(ports)); len(got) != maxPorts || len(problems) != 1 || !strings.HasSuffix(problems[0], " limit") {
			t.Errorf("%s with more: %d targets, %v", name, len(got), problems)
		}
	}
}

// check asks what must hold of every list: what comes out can be contacted, is
// bounded, and is the same however the bytes arrive.
func check(t *testing.T, in []byte) {
	const most = 5000
	collect := func(r io.Reader) (all []string) {
		for target, err := range Read(r, Options{Path: "f", Problem: func(p postern.Problem) {
			if len(p.Detail.Args["text"]) > 80 {
				t.Errorf("problem %v", p)
			}
		}}) {
			if err != nil {
				t.Fatal(err)
			}
			if target.Port == 0 || !target.Address.IsValid() && target.Name == "" || target.Address.Is4In6() || target.Address.Zone() != "" || len(target.Text) > maxPlain || target.Text == "" {
				t.Fatalf("target %+v", target)
			}
			if again, ok := parseName(target.Name); target.Name != "" && (!ok || again != target.Name) {
				t.Fatalf("name %q", target.Name)
			}
			if all = append(all, show1(&target)); len(all) == most {
				break
			}
		}
		return all
	}
	if a, b := collect(strings.NewReader(string(in))), collect(iotest.OneByteReader(strings.NewReader(string(in)))); !slices.Equal(a, b) {
		t.Errorf("at once %q, byte by byte %q", a, b)
	}
}

func FuzzPlain(f *testing.F) {
	f.Add([]byte("192.0.2.1\n[2001:db8::1]:443 mail.alpha.example\n192.0.2.0/30\nhttp://beta.example/\nopen tcp 443 192.0.2.1 1\nHost: 192.0.2.1 (a.example)\tPorts: 443/open/tcp//x//, 1/open/tcp"))
	f.Fuzz(check)
}

func FuzzXML(f *testing.F) {
	f.Add([]byte("<nmaprun><host><address addr=\"192.0.2.1\" addrtype=\"ipv4\"/><hostname name='a.example' type='user'/><ports><port protocol=\"tcp\" portid=\"443\"><state state=\"open\"/></port>\n</ports></host>"))
	f.Fuzz(func(t *testing.T, in []byte) { check(t, append([]byte("<?xml?>\n"), in...)) })
}

func FuzzTable(f *testing.F) {
	f.Add([]byte("ip,port,hostname,asn,geo,sector\n\"192.0.2.1\",443,\"a\n\"\"b\",AS1,NL,x\n"))
	f.Fuzz(func(t *testing.T, in []byte) { check(t, append([]byte("ip,port,hostname,asn,geo,sector\n"), in...)) })
}

func FuzzJSON(f *testing.F) {
	f.Add([]byte(`{"saddr":"192.0.2.1","sport":443}` + "\n" + `{"ip":"192.0.2.1","ports":[{"port":443,"proto":"tcp","status":"open"}]}`))
	f.Add([]byte("[\n{\"ip_str\":\"192.0.2.1\",\n\"port\":443,\"hostnames\":[\"a.example\"]},\n{\"host\":{\"ip\":\"192.0.2.2\",\"services\":[{\"port\":1}]}}]"))
	f.Add([]byte(`{"schema":"postern.exposure/1","address":"192.0.2.1","port":8443,"name":"mail.alpha.example","asn":64496}`))
	f.Fuzz(func(t *testing.T, in []byte) { check(t, append([]byte("{}\n"), in...)) })
}
