package fleet

import (
	"encoding/base64"
	"encoding/binary"
	"strings"
	"time"
	"unicode/utf16"
)

// Shape S20: the second message of NTLM ([MS-NLMP] 2.2.1.2), which a server sends to whoever
// begins to sign in. It names computer and domain. Our scan never begins; the fleet answers
// for tools that do, and remembers that they did. Nobody is ever signed in.

const ntlmSignature = "NTLMSSP\x00"

// beginsNTLM says whether the value of an Authorization header is a first message.
func beginsNTLM(value string) bool {
	scheme, text, _ := strings.Cut(value, " ")
	if !strings.EqualFold(scheme, "NTLM") && !strings.EqualFold(scheme, "Negotiate") {
		return false
	}
	b, err := base64.StdEncoding.DecodeString(strings.TrimSpace(text))
	return err == nil && len(b) >= 16 && string(b[:8]) == ntlmSignature && binary.LittleEndian.Uint32(b[8:]) == 1
}

// windows is the version of the system that an edition runs on here, as the message has
// it: major, minor, build.
func (s *server) windows() (major, minor byte, build uint16) {
	switch s.iis() {
	case "Microsoft-IIS/6.0":
		return 5, 2, 3790
	case "Microsoft-IIS/7.0":
		return 6, 0, 6002
	case "Microsoft-IIS/7.5":
		return 6, 1, 7601
	case "Microsoft-IIS/8.0":
		return 6, 2, 9200
	case "Microsoft-IIS/8.5":
		return 6, 3, 9600
	}
	if s.line.edition == "exchange-2016" {
		return 10, 0, 14393
	}
	return 10, 0, 17763
}

// ntlm gives the second message.
func (s *server) ntlm() string {
	const (
		header = 56
		flags  = 0x00000001 | 0x00000004 | 0x00000200 | 0x00010000 | 0x00800000 | 0x02000000 // Unicode, target name, NTLM, domain, target info, version
		day0   = 116444736000000000                                                          // of 1970 in steps of 100 ns since 1601
	)
	computer := s.frontend
	_, domain, _ := strings.Cut(s.fqdn, ".")
	short, _, _ := strings.Cut(strings.ToUpper(domain), ".")
	short = short[:min(len(short), 15)]
	target := utf16le(short)
	var info []byte
	pair := func(id uint16, value []byte) {
		info = binary.LittleEndian.AppendUint16(info, id)
		info = binary.LittleEndian.AppendUint16(info, uint16(len(value)))
		info = append(info, value...)
	}
	pair(2, target)
	pair(1, utf16le(computer))
	pair(4, utf16le(domain))
	pair(3, utf16le(s.fqdn))
	pair(7, binary.LittleEndian.AppendUint64(nil, uint64(s.date.UnixNano()/int64(100*time.Nanosecond)+day0)))
	pair(0, nil)

	b := append([]byte(ntlmSignature), 2, 0, 0, 0)
	field := func(length, at int) {
		b = binary.LittleEndian.AppendUint16(b, uint16(length))
		b = binary.LittleEndian.AppendUint16(b, uint16(length))
		b = binary.LittleEndian.AppendUint32(b, uint32(at))
	}
	field(len(target), header)
	b = binary.LittleEndian.AppendUint32(b, flags)
	b = binary.LittleEndian.AppendUint64(b, diceOf(uint64(s.dice), s.visit).bits(forChallenge))
	b = append(b, make([]byte, 8)...)
	field(len(info), header+len(target))
	major, minor, build := s.windows()
	b = append(b, major, minor)
	b = binary.LittleEndian.AppendUint16(b, build)
	b = append(b, 0, 0, 0, 15)
	b = append(append(b, target...), info...)
	return base64.StdEncoding.EncodeToString(b)
}

func utf16le(text string) (b []byte) {
	for _, u := range utf16.Encode([]rune(text)) {
		b = binary.LittleEndian.AppendUint16(b, u)
	}
	return b
}
