package pe

import (
	"bytes"
	"encoding/asn1"
	"strings"
	"testing"
	"time"

	"postern/internal/hunt/detect/yara/module/programtest"
)

func TestSignatures(t *testing.T) {
	t.Parallel()
	for _, is64 := range []bool{false, true} {
		data, err := programtest.Signed(programtest.Windows(is64), is64)
		if err != nil {
			t.Fatal(err)
		}
		p, ok := Parse(data)
		if !ok {
			t.Fatal("a signed program is none")
		}
		list := p.Signatures()
		if len(list) != 2 {
			t.Fatalf("there are %d signatures, want one and one nested in it", len(list))
		}
		for i, who := range []string{"Example", "Nested"} {
			s := list[i]
			if s.Signer == nil {
				t.Fatalf("signature %d has no signer", i)
			}
			c := *s.Signer
			want := `/C=US/O=Example/Co + Sons/CN=` + who + ` Signer \xC3\xA9`
			if c.Subject != want || c.Issuer != want {
				t.Errorf("subject %q and issuer %q, want %q", c.Subject, c.Issuer, want)
			}
			if c.Serial != "00:fe:dc:ba:98" || c.NotBefore != 1600000000 || c.NotAfter != 1700000000 || c.Version != 3 {
				t.Errorf("serial %s, valid from %d to %d, version %d", c.Serial, c.NotBefore, c.NotAfter, c.Version)
			}
			if c.Algorithm != "ecdsa-with-SHA256" || c.AlgorithmOID != "1.2.840.10045.4.3.2" || len(c.Thumbprint) != 40 {
				t.Errorf("algorithm %s %s, thumbprint %s", c.Algorithm, c.AlgorithmOID, c.Thumbprint)
			}
			if s.DigestName != "sha256" || len(s.Digest) != 64 || len(s.FileDigest) != 64 || s.SignerDigest != s.Digest || s.ProgramName != "Program" {
				t.Errorf("digest %s %s, of the file %s, of the signer %s, program %q", s.DigestName, s.Digest, s.FileDigest, s.SignerDigest, s.ProgramName)
			}
		}
		for i := range data[len(data)-600:] { // cut anywhere, it is read as far as it goes
			if p, ok := Parse(data[:len(data)-i]); ok {
				p.Signatures()
			}
		}
	}
}

func TestSerialNumbers(t *testing.T) {
	t.Parallel()
	for _, c := range []struct {
		bytes []byte
		want  string
	}{
		{[]byte{1, 0xab}, "01:ab"}, {[]byte{0, 0, 0x80}, "00:80"}, {[]byte{0xff, 0xff, 0x80}, "80"}, {[]byte{0}, "00"}, {nil, ""},
		{bytes.Repeat([]byte{7}, 20), strings.TrimSuffix(strings.Repeat("07:", 20), ":")}, {bytes.Repeat([]byte{7}, 21), ""},
	} {
		if got, ok := serialText(c.bytes); got != c.want || ok != (c.want != "") {
			t.Errorf("serialText(%x) = %q, %v; want %q", c.bytes, got, ok, c.want)
		}
	}
}

func TestNames(t *testing.T) {
	t.Parallel()
	part := func(oid asn1.ObjectIdentifier, tag int, value string) []byte {
		pair := marshal(t, struct {
			OID   asn1.ObjectIdentifier
			Value asn1.RawValue
		}{oid, asn1.RawValue{Tag: tag, Bytes: []byte(value)}})
		return marshal(t, asn1.RawValue{Tag: asn1.TagSet, IsCompound: true, Bytes: pair})
	}
	cn, street, unknown := asn1.ObjectIdentifier{2, 5, 4, 3}, asn1.ObjectIdentifier{2, 5, 4, 9}, asn1.ObjectIdentifier{1, 2, 3, 999999}
	for _, c := range []struct {
		name []byte
		want string
	}{
		{part(cn, asn1.TagUTF8String, "a/b"), "/CN=a/b"},
		{append(part(street, asn1.TagPrintableString, "x"), part(unknown, asn1.TagUTF8String, "é")...), `/street=x/1.2.3.999999=\xC3\xA9`},
		{part(cn, tagGeneral, "\x00\x00\x00a\x00\x00\x00b"), "/CN=ab"},
		{part(cn, 0x1e, "\x00a"), `/CN=\x00a`},
		{append(part(cn, asn1.TagUTF8String, strings.Repeat("x", 251)), part(cn, asn1.TagUTF8String, "y")...), "/CN=" + strings.Repeat("x", 251)},
		{part(cn, asn1.TagUTF8String, strings.Repeat("x", 252)), ""},
		{[]byte{tagSet, 5, 1}, ""},
	} {
		if got := nameText(c.name); got != c.want {
			t.Errorf("nameText(%x) = %q, want %q", c.name, got, c.want)
		}
	}
}

func marshal(t *testing.T, v any) []byte {
	t.Helper()
	b, err := asn1.Marshal(v)
	if err != nil {
		t.Fatal(err)
	}
	return b
}

func TestTimes(t *testing.T) {
	t.Parallel()
	for _, c := range []struct {
		tag  byte
		text string
		want string
	}{
		{tagUTCTime, "210303064943Z", "2021-03-03T06:49:43Z"},
		{tagUTCTime, "500101000000Z", "1950-01-01T00:00:00Z"},
		{tagUTCTime, "491231235959Z", "2049-12-31T23:59:59Z"},
		{tagUTCTime, "2103030649Z", "2021-03-03T06:49:00Z"},
		{tagUTCTime, "210303064943+0100", "2021-03-03T05:49:43Z"},
		{tagTime, "20500303064943Z", "2050-03-03T06:49:43Z"},
		{tagTime, "never", ""},
		{tagOctets, "210303064943Z", ""},
	} {
		d := der(append([]byte{c.tag, byte(len(c.text))}, c.text...))
		got, ok := d.time()
		if ok != (c.want != "") || ok && time.Unix(got, 0).UTC().Format(time.RFC3339) != c.want {
			t.Errorf("%s is %d, %v; want %s", c.text, got, ok, c.want)
		}
	}
}

func TestImportedNames(t *testing.T) {
	t.Parallel()
	for name, want := range map[string]bool{"CreateFileW": true, "?f@@YAXXZ": true, "": false, "two words": false, "é": false, "a-b": false} {
		if got := validFunction(name); got != want {
			t.Errorf("validFunction(%q) = %v", name, got)
		}
	}
	for name, want := range map[string]bool{"a.dll": true, "..\\a:b.dll": true, "": false, "a|b": false, "a\x7f": false} {
		if got := validLibrary(name); got != want {
			t.Errorf("validLibrary(%q) = %v", name, got)
		}
	}
	for _, c := range []struct {
		library string
		ordinal uint16
		want    string
	}{{"ws2_32.DLL", 115, "WSAStartup"}, {"WSOCK32.dll", 23, "socket"}, {"OleAut32.dll", 2, "SysAllocString"}, {"mfc42.dll", 2, "ord2"}, {"ws2_32.dll", 9, "htons"}} {
		if got := ordinalName(c.library, c.ordinal); got != c.want {
			t.Errorf("ordinalName(%s, %d) = %s, want %s", c.library, c.ordinal, got, c.want)
		}
	}
}
