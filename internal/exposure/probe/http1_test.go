package probe

import (
	"bufio"
	"bytes"
	"compress/gzip"
	"errors"
	"io"
	"net/http"
	"strings"
	"testing"
	"testing/iotest"

	"postern/internal/exposure"
)

// read reads one answer from text, and says how much of the text is left.
func read(text string) (a exposure.Answer, keep bool, rest int, err error) {
	s := newScratch()
	r := strings.NewReader(text)
	s.br.Reset(r)
	a, keep, err = s.readAnswer()
	return a, keep, r.Len() + s.br.Buffered(), err
}

func TestReadAnswer(t *testing.T) {
	t.Parallel()
	packed := func(s string) string {
		var b bytes.Buffer
		w := gzip.NewWriter(&b)
		_, _ = io.WriteString(w, s)
		_ = w.Close()
		return b.String()
	}
	bomb := packed(strings.Repeat("0", 20<<20))
	for _, c := range []struct {
		name, text string
		status     int
		body       string
		keep       bool
		err        error
	}{
		{"length", "HTTP/1.1 200 OK\r\nContent-Length: 5\r\n\r\nhello", 200, "hello", true, nil},
		{"no reason phrase", "HTTP/1.1 401\r\nContent-Length: 0\r\n\r\n", 401, "", true, nil},
		{"bare line feeds", "HTTP/1.1 200 OK\nContent-Length: 2\n\nhi", 200, "hi", true, nil},
		{"until the end", "HTTP/1.0 200 OK\r\n\r\nall of it", 200, "all of it", false, nil},
		{"chunks", "HTTP/1.1 200 OK\r\nTransfer-Encoding: chunked\r\n\r\n5;x=y\r\nhello\r\n1\r\n!\r\n0\r\nTrailer: x\r\n\r\n", 200, "hello!", true, nil},
		{"chunk of wrong size", "HTTP/1.1 200 OK\r\nTransfer-Encoding: chunked\r\n\r\n3\r\nhello\r\n0\r\n\r\n", 200, "hel", false, nil},
		{"chunk without size", "HTTP/1.1 200 OK\r\nTransfer-Encoding: chunked\r\n\r\nzz\r\nhello\r\n0\r\n\r\n", 200, "", false, nil},
		{"huge chunk", "HTTP/1.1 200 OK\r\nTransfer-Encoding: chunked\r\n\r\nffffffffffffffff\r\nhello", 200, "", false, nil},
		{"both lengths", "HTTP/1.1 200 OK\r\nContent-Length: 2\r\nTransfer-Encoding: chunked\r\n\r\n1\r\na\r\n0\r\n\r\n", 200, "a", false, nil},
		{"two lengths", "HTTP/1.1 200 OK\r\nContent-Length: 2\r\nContent-Length: 3\r\n\r\nabc", 200, "abc", false, nil},
		{"a length that lies", "HTTP/1.1 200 OK\r\nContent-Length: 50\r\n\r\nabc", 200, "abc", false, nil},
		{"a negative length", "HTTP/1.1 200 OK\r\nContent-Length: -1\r\n\r\nabc", 200, "abc", false, nil},
		{"another encoding", "HTTP/1.1 200 OK\r\nTransfer-Encoding: zip\r\n\r\nabc", 200, "", false, nil},
		{"no body", "HTTP/1.1 304 Not Modified\r\nContent-Length: 7\r\n\r\n", 304, "", true, nil},
		{"wants to close", "HTTP/1.1 302 Found\r\nConnection: Close\r\nContent-Length: 0\r\n\r\n", 302, "", false, nil},
		{"interim first", "HTTP/1.1 100 Continue\r\n\r\nHTTP/1.1 200 OK\r\nContent-Length: 1\r\n\r\nx", 200, "x", true, nil},
		{"interim for ever", strings.Repeat("HTTP/1.1 100 Continue\r\n\r\n", 10), 100, "", false, errInterim},
		{"switches protocol", "HTTP/1.1 101 Switching\r\n\r\n", 101, "", false, errNotHTTP},
		{"gzip", "HTTP/1.1 200 OK\r\nContent-Encoding: gzip\r\nContent-Length: " + length(packed("hello")) + "\r\n\r\n" + packed("hello"), 200, "hello", true, nil},
		{"gzip that is none", "HTTP/1.1 200 OK\r\nContent-Encoding: gzip\r\nContent-Length: 5\r\n\r\nhello", 200, "hello", true, nil},
		{"gzip bomb", "HTTP/1.1 200 OK\r\nContent-Encoding: gzip\r\nContent-Length: " + length(bomb) + "\r\n\r\n" + bomb, 200, strings.Repeat("0", maxBody), true, nil},
		{"endless", "HTTP/1.1 200 OK\r\n\r\n" + strings.Repeat("x", 1<<20), 200, strings.Repeat("x", maxBody), false, nil},
		{"mail", "220 mail.alpha.example ESMTP\r\n", 0, "", false, errNotHTTP},
		{"half a word", "HTT", 0, "", false, io.EOF},
		{"nothing", "", 0, "", false, io.EOF},
		{"HTTP 2 by itself", "HTTP/2.0 200 OK\r\n\r\n", 0, "", false, errNotHTTP},
		{"a status of letters", "HTTP/1.1 abc OK\r\n\r\n", 0, "", false, errNotHTTP},
		{"a status of four", "HTTP/1.1 2000 OK\r\n\r\n", 0, "", false, errNotHTTP},
		{"a flood of headers", "HTTP/1.1 200 OK\r\n" + strings.Repeat("X: y\r\n", 100_000) + "\r\n", 200, "", false, errHeadSize},
		{"one endless header", "HTTP/1.1 200 OK\r\nX: " + strings.Repeat("y", 1<<20), 200, "", false, errHeadSize},
		{"half a head", "HTTP/1.1 200 OK\r\nX: y\r\n", 200, "", false, io.EOF},
	} {
		a, keep, _, err := read(c.text)
		if !errors.Is(err, c.err) || c.err == nil && (a.Status != c.status || string(a.Body) != c.body || keep != c.keep) {
			t.Errorf("%s: status %d, %d bytes of body, keep %v, %v; want %d, %d, %v, %v", c.name, a.Status, len(a.Body), keep, err, c.status, len(c.body), c.keep, c.err)
		}
	}
}

func length(s string) string { return exposure.PortText(uint16(len(s))) }

func TestHeadersAreKeptAndBounded(t *testing.T) {
	t.Parallel()
	a, _, _, err := read("HTTP/1.1 200 OK\r\nSet-Cookie: a\r\nset-cookie: b\r\n folded\r\nno colon\r\nBad Name: x\r\nLong: " + strings.Repeat("z", 10_000) + "\r\nLast:  y \r\n\r\n")
	if err != nil {
		t.Fatal(err)
	}
	var got []string
	for _, h := range a.Header {
		got = append(got, h.Name+"="+h.Value[:min(len(h.Value), 3)])
	}
	if want := "Set-Cookie=a set-cookie=b Long=zzz Last=y"; strings.Join(got, " ") != want {
		t.Errorf("got %v, want %s", got, want)
	}
	a, _, _, err = read("HTTP/1.1 200 OK\r\n" + strings.Repeat("A: b\r\n", 1000) + "\r\n")
	if err != nil || len(a.Header) != maxLines {
		t.Errorf("%d headers kept, %v; want %d", len(a.Header), err, maxLines)
	}
}

// FuzzReadAnswer: the reader neither panics nor keeps more than its bounds, reads the
// same however the bytes arrive, and agrees with net/http wherever that finds an
// answer with one plain length.
func FuzzReadAnswer(f *testing.F) {
	f.Add([]byte("HTTP/1.1 200 OK\r\nContent-Length: 5\r\n\r\nhello"))
	f.Add([]byte("HTTP/1.1 200 OK\r\nTransfer-Encoding: chunked\r\n\r\n5\r\nhello\r\n0\r\n\r\n"))
	f.Add([]byte("HTTP/1.1 100 Continue\r\n\r\nHTTP/1.0 401 No\r\nX-OWA-Version: 15.1.2507.16\r\n\r\n"))
	f.Add([]byte("HTTP/1.1 200 OK\r\nContent-Encoding: gzip\r\nContent-Length: 3\r\n\r\n\x1f\x8b\x08"))
	f.Fuzz(func(t *testing.T, in []byte) {
		once, keep, _, err := read(string(in))
		if len(once.Body) > maxBody || len(once.Header) > maxLines {
			t.Fatalf("%d bytes of body and %d headers", len(once.Body), len(once.Header))
		}
		s := newScratch()
		s.br.Reset(iotest.OneByteReader(bytes.NewReader(in)))
		again, keep2, err2 := s.readAnswer()
		if once.Status != again.Status || keep != keep2 || (err == nil) != (err2 == nil) || len(once.Header) != len(again.Header) || !bytes.Equal(once.Body, again.Body) {
			t.Fatalf("at once: %d %v %v, byte by byte: %d %v %v", once.Status, keep, err, again.Status, keep2, err2)
		}
		resp, err3 := http.ReadResponse(bufio.NewReader(bytes.NewReader(in)), nil)
		if err3 != nil || err != nil || resp.StatusCode < 200 || resp.ContentLength < 0 || resp.ContentLength > maxBody || len(resp.TransferEncoding) > 0 ||
			resp.Header.Get("Content-Encoding") != "" || len(resp.Header["Content-Length"]) != 1 || bytes.Contains(in, []byte("\n ")) || bytes.Contains(in, []byte("\n\t")) {
			return
		}
		body, err3 := io.ReadAll(resp.Body)
		if err3 != nil && !errors.Is(err3, io.ErrUnexpectedEOF) {
			return
		}
		if once.Status != resp.StatusCode || !bytes.Equal(once.Body, body) {
			t.Errorf("read %d and %q, net/http read %d and %q", once.Status, once.Body, resp.StatusCode, body)
		}
	})
}
