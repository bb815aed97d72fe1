package staging

import (
	"archive/zip"
	"bytes"
	"encoding/binary"
	"errors"
	"io"
	"reflect"
	"strings"
	"testing"
	"time"

	"postern"
	"postern/internal/catalogue"
	"postern/internal/hunt/detect"
)

func knowledge() Knowledge {
	return Knowledge{
		Folders: []Folder{
			{Folder: "programdata", Files: []string{"zip", "7z", "rar", "cab", "pst"}},
			{Folder: "programdata/pst", Below: true},
			{Folder: "root", Below: true},
			{Folder: "windows/temp", Files: []string{"dmp", "zip", "7z", "cab"}},
			{Folder: "inetpub/wwwroot", Files: []string{"zip", "7z", "cab", "dmp", "gif", "css"}, Below: true},
		},
		Served: []string{"inetpub/wwwroot", "frontend/httpproxy"},
		Indicators: []postern.Indicator{
			{Kind: postern.IndicatorPath, Value: `C:\ProgramData\it.zip`, Source: "TEST", Campaign: "proxylogon"},
			{Kind: postern.IndicatorPath, Value: `C:\Windows\Temp\lsass`, Source: "TEST"},
		},
	}
}

// archive is a zip of texts that say what they are.
func archive(t testing.TB, method uint16, names ...string) string {
	t.Helper()
	var b bytes.Buffer
	w := zip.NewWriter(&b)
	for _, n := range names {
		f, err := w.CreateHeader(&zip.FileHeader{Name: n, Method: method})
		if err == nil {
			_, err = f.Write([]byte("this is not " + n))
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

// cab is the directory of a cabinet without any data behind it.
func cab(names ...string) string {
	h := make([]byte, 36)
	copy(h, "MSCF")
	binary.LittleEndian.PutUint32(h[16:], 44) // behind one folder
	h[24], h[25] = 3, 1
	binary.LittleEndian.PutUint16(h[26:], 1)
	binary.LittleEndian.PutUint16(h[28:], uint16(len(names)))
	s := string(h) + strings.Repeat("\x00", 8)
	for _, n := range names {
		s += strings.Repeat("\x00", 16) + n + "\x00"
	}
	return s
}

func pad(s string) string { return s + strings.Repeat("\x00", 4096) }

func wide(s string) string {
	var b strings.Builder
	for i := range len(s) {
		b.WriteByte(s[i])
		b.WriteByte(0)
	}
	return b.String()
}

var written = time.Date(2021, 3, 5, 1, 2, 3, 0, time.UTC)

func file(server, content string) *detect.File {
	return &detect.File{Path: "C/" + server, Server: strings.ToLower(server), Size: int64(len(content)), ModTime: written,
		Open: func() (io.ReadCloser, error) { return io.NopCloser(strings.NewReader(content)), nil }}
}

func lookAt(t testing.TB, server, content string) []postern.Finding {
	t.Helper()
	d, f := New(knowledge()), file(server, content)
	if !d.Wants(f) {
		return nil
	}
	findings, _, err := d.Look(f)
	if err != nil {
		t.Fatalf("%s: %v", server, err)
	}
	return findings
}

func summary(findings []postern.Finding) string {
	var list []string
	for _, f := range findings {
		list = append(list, strings.TrimPrefix(f.Rule, "files/")+" "+string(rune('0'+int(f.Level)))+" "+f.Confidence.String())
	}
	return strings.Join(list, "; ")
}

func TestLook(t *testing.T) {
	t.Parallel()
	hives := []string{"ip.txt", "arp.txt", "system", "security"}
	zipped := func(names ...string) string { return archive(t, zip.Deflate, names...) }
	const none = ""
	for _, c := range []struct{ name, server, content, want string }{
		{"hives in a zip", "programdata/it.zip", zipped(append(hives, "sam")...), "staging-archive 6 medium"},
		{"hives in a cabinet", "windows/temp/a.cab", cab(hives...), "staging-archive 6 medium"},
		{"hives in a vendor's folder", "programdata/vendor/x/a.zip", zipped("backup/SAM.hiv", "backup/SYSTEM.hiv"), "staging-archive 6 medium"},
		{"the directory's database", "perflogs/a.zip", zipped("Active Directory/ntds.dit", "registry/SYSTEM"), "staging-archive 6 medium"},
		{"memory of the logon service in a zip", "inetpub/wwwroot/aspnet_client/lsass.dmp.zip", zipped("lsass.dmp"), "staging-archive 6 medium"},
		{"mail", "programdata/m.zip", zipped("boss.pst"), "staging-archive 6 medium"},
		{"mail in a vendor's folder", "programdata/vendor/backup/m.zip", zipped("boss.pst"), "staging-archive 1 low"},
		{"a picture that is a zip", "inetpub/wwwroot/aspnet_client/iis.gif", zipped("mail.txt"), "disguised-archive 6 medium"},
		{"a style sheet that is a 7z", "frontend/httpproxy/owa/auth/x.css", pad("7z\xBC\xAF\x27\x1C"), "disguised-archive 6 medium"},
		{"a text that is a cabinet", "programdata/a.txt", cab("x.txt"), "disguised-archive 1 low"},
		{"memory of the logon service", "windows/temp/a.dmp", pad("MDMP\x93\xa7" + wide("C:\\Windows\\System32\\lsasrv.dll")), "credential-dump 6 medium"},
		{"memory that says so", "windows/temp/lsass_1.dmp", pad("MDMP\x93\xa7"), "credential-dump 6 low"},
		{"a dump in a site", "inetpub/wwwroot/w3wp.dmp", pad("MDMP\x93\xa7"), "credential-dump 1 low"},
		{"a hive", "root/sam.hiv", pad("regf" + strings.Repeat("\x00", 100) + "nk SAM nk Domains nk Account nk Aliases nk Builtin"), "credential-dump 6 medium"},
		{"a hive of secrets", "programdata/a.dat", pad("regf" + strings.Repeat("\x00", 100) + "nk Policy nk PolEKList"), "credential-dump 6 medium"},
		{"the system's hive", "programdata/a.hiv", pad("regf" + strings.Repeat("\x00", 100) + "nk ControlSet001 nk MountedDevices"), "credential-dump 1 low"},
		{"a domain's database", "perflogs/a.dit", pad("\x01\x02\x03\x04\xef\xcd\xab\x89" + "datatable link_table sd_table"), "credential-dump 6 medium"},
		{"a mailbox where mail was collected", "programdata/pst/boss.pst", pad("!BDN"), "mailbox-copy 6 medium"},
		{"a mailbox in a site", "inetpub/wwwroot/x.pst", pad("!BDN"), "mailbox-copy 6 medium"},
		{"a mailbox that everybody can read", "users/public/x.pst", pad("!BDN"), "mailbox-copy 1 low"},
		{"an archive in such a folder", "programdata/tools.zip", zipped("readme.txt"), "staging-archive 1 low"},
		{"an archive that lists nothing", "programdata/tools.7z", pad("7z\xBC\xAF\x27\x1C"), "staging-archive 1 low"},
		{"hives under the name of a picture", "inetpub/wwwroot/x.gif", cab(hives...), "disguised-archive 6 medium"},

		// What peers raised false alarms on: content, place and size say the same
		// as an investigator would, without a list of names.
		{"manifests of a virtual machine's tools", "programdata/VMware/VMware Tools/vss_manifests.zip", zipped("manifest.xml", "writer.txt"), none},
		{"configuration of an agent", "programdata/McAfee/Common Framework/Current/x/FrameworkConfig.zip", zipped("FrameworkConfig.xml"), none},
		{"an installer's cache", "programdata/AppRecovery/InstallerCache/agent.zip", zipped("setup.msi"), none},
		{"a system file in a driver", "programdata/Dell/drivers/a.zip", zipped("x86/system.dll", "readme.txt", "System/driver.inf"), none},
		{"one file called system", "programdata/vendor/a.zip", zipped("system"), none},
		{"a crash of another program", "windows/temp/w3wp.dmp", pad("MDMP\x93\xa7" + wide("w3wp.exe")), none},
		{"a hive of a program", "programdata/vendor/settings.dat", pad("regf nk Settings"), none},
		{"another database", "programdata/vendor/a.edb", pad("\x01\x02\x03\x04\xef\xcd\xab\x89 MSysObjects"), none},
		{"a compressed style sheet", "inetpub/wwwroot/site/a.css", pad("\x1f\x8b\x08"), none},
		{"a picture", "inetpub/wwwroot/aspnet_client/a.gif", pad("GIF89a"), none},
		{"a page in the shape of a mailbox", "inetpub/wwwroot/aspnet_client/a.aspx", pad("!BDN"), none},
		{"an archive of a user", "users/bob/downloads/a.zip", zipped("sam", "system"), none},
		{"the system's own hives", "windows/system32/config/sam", pad("regf nk Domains nk Account nk Aliases nk Builtin"), none},
		{"too small to be one", "programdata/a.zip", "PK\x05\x06", none},
	} {
		if got := summary(lookAt(t, c.server, c.content)); got != c.want {
			t.Errorf("%s (%s): got %q, want %q", c.name, c.server, got, c.want)
		}
	}
}

func TestFacts(t *testing.T) {
	t.Parallel()
	f := lookAt(t, "programdata/it.zip", archive(t, zip.Store, "ip.txt", "system", "sam"))[0]
	if f.Campaign != "proxylogon" || !f.Time.Equal(written) || !f.HasTag(TagFileTime) {
		t.Errorf("campaign %q, time %v, tags %v", f.Campaign, f.Time, f.Tags)
	}
	if got := f.Entities[Members]; got != "ip.txt, system, sam" {
		t.Errorf("members %q", got)
	}
	if f.Entities[postern.FileSHA256] == "" || f.Evidence[0].SHA256 != f.Entities[postern.FileSHA256] || f.Entities[Format] != "ZIP" {
		t.Errorf("entities %v", f.Entities)
	}
	var keys []string
	for _, e := range f.Explain {
		keys = append(keys, e.Key)
	}
	want := []string{"staging.why.passwords", "staging.why.survey", "staging.why.published"}
	if !reflect.DeepEqual(keys, want) {
		t.Errorf("explained by %v, want %v", keys, want)
	}
}

// The names in a zip are read where its directory is out of reach, cut off or
// locked.
func TestDamagedArchives(t *testing.T) {
	t.Parallel()
	whole := archive(t, zip.Store, "a.txt", "sam", "system")
	locked := strings.ReplaceAll(whole, "PK\x03\x04\x14\x00\x08\x00", "PK\x03\x04\x14\x00\x09\x00")
	for name, content := range map[string]string{
		"cut":                 whole[:len(whole)/2],
		"without a directory": whole[:strings.Index(whole, "PK\x01\x02")],
		"locked":              locked,
	} {
		f := lookAt(t, "programdata/x.zip", content)
		if len(f) != 1 || f[0].Level != postern.PostExploitation {
			t.Errorf("%s: %s", name, summary(f))
		}
	}
	if f := lookAt(t, "programdata/x.zip", locked); f[0].Explain[1].Key != "staging.why.locked" {
		t.Errorf("not said to be locked: %v", f[0].Explain)
	}
}

// stream is a reader that cannot seek, as members of archives are.
type stream struct{ io.Reader }

func (stream) Close() error { return nil }

// seeker is one that can, as files are.
type seeker struct{ *bytes.Reader }

func (seeker) Close() error { return nil }

func TestDirectoryAtTheEnd(t *testing.T) {
	t.Parallel()
	var b bytes.Buffer
	w := zip.NewWriter(&b)
	big, err := w.CreateHeader(&zip.FileHeader{Name: "big.bin", Method: zip.Store})
	if err != nil {
		t.Fatal(err)
	}
	if _, err := big.Write(make([]byte, headSize+tailSize)); err != nil {
		t.Fatal(err)
	}
	for _, n := range []string{"sam", "system"} {
		if _, err := w.Create(n); err != nil {
			t.Fatal(err)
		}
	}
	if err := w.Close(); err != nil {
		t.Fatal(err)
	}
	content := b.Bytes()
	for name, open := range map[string]func() (io.ReadCloser, error){
		"stream": func() (io.ReadCloser, error) { return stream{bytes.NewReader(content)}, nil },
		"file":   func() (io.ReadCloser, error) { return seeker{bytes.NewReader(content)}, nil },
	} {
		f := file("programdata/x.zip", "")
		f.Size, f.Open = int64(len(content)), open
		findings, problems, err := New(knowledge()).Look(f)
		if err != nil || len(problems) > 0 || summary(findings) != "staging-archive 6 medium" {
			t.Errorf("%s: %s, %v, %v", name, summary(findings), problems, err)
		}
	}
	// Too far away to be read to, in a stream: said, and the file still reported.
	f := file("programdata/x.zip", "")
	f.Size = maxSkip + 2*headSize + tailSize
	f.Open = func() (io.ReadCloser, error) { return stream{bytes.NewReader(content[:headSize+10])}, nil }
	findings, problems, err := New(knowledge()).Look(f)
	if err != nil || len(problems) != 1 || problems[0].What != postern.Limit || summary(findings) != "staging-archive 1 low" {
		t.Errorf("%s, %v, %v", summary(findings), problems, err)
	}
}

func TestUnreadable(t *testing.T) {
	t.Parallel()
	broken := errors.New("broken")
	f := file("programdata/x.zip", "")
	f.Size, f.Open = 100, func() (io.ReadCloser, error) { return nil, broken }
	if _, _, err := New(knowledge()).Look(f); !errors.Is(err, broken) {
		t.Errorf("error %v, want %v", err, broken)
	}
}

func TestTexts(t *testing.T) {
	t.Parallel()
	for _, lang := range catalogue.Languages {
		c, err := catalogue.Load(lang)
		if err != nil {
			t.Fatal(err)
		}
		for _, r := range Rules() {
			if !c.Has(r.Title.Key) || !c.Has(r.Means.Key) {
				t.Errorf("%s: no text for %s", lang, r.ID)
			}
		}
	}
}

// FuzzLook asks of any bytes under any name: nothing panics, the same bytes give
// the same findings, nothing above level 1 comes of a name, and the names of a
// finding's members stand in the file.
func FuzzLook(f *testing.F) {
	for _, s := range []string{cab("sam", "system"), pad("MDMP" + wide("lsasrv.dll")), pad("regf nk Policy PolEKList"), pad("!BDN"), pad("7z\xBC\xAF\x27\x1C")} {
		f.Add([]byte(s), uint8(0))
	}
	f.Add([]byte(archive(f, zip.Store, "sam", "system", "a.pst")), uint8(1))
	names := []string{"programdata/it.zip", "inetpub/wwwroot/x.gif", "windows/temp/lsass.dmp", "programdata/pst/x", "programdata/vendor/x.cab", "frontend/httpproxy/x.css"}
	d := New(knowledge())
	f.Fuzz(func(t *testing.T, content []byte, which uint8) {
		if len(content) > 64<<10 {
			t.Skip("larger inputs cost time; the bounds of reading are tested apart")
		}
		in := file(names[int(which)%len(names)], string(content))
		first, _, err := d.Look(in)
		if err != nil {
			t.Fatalf("bytes in memory can be read: %v", err)
		}
		if second, _, _ := d.Look(in); !reflect.DeepEqual(first, second) {
			t.Fatalf("two looks differ: %v, %v", first, second)
		}
		for _, found := range first {
			if found.ID == "" || found.Title.IsZero() || len(found.Explain) == 0 || len(found.Evidence) != 1 || found.Confidence == postern.Unsaid {
				t.Errorf("finding is not complete: %+v", found)
			}
			if len(content) < minSize && found.Level > postern.Probed {
				t.Errorf("level %d of %d bytes", found.Level, len(content))
			}
			for _, m := range strings.Split(strings.TrimSuffix(found.Entities[Members], " …"), ", ") {
				if !bytes.Contains(content, []byte(m)) {
					t.Errorf("member %q does not stand in the file", m)
				}
			}
		}
	})
}
