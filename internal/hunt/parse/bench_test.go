package parse

import (
	"bytes"
	"context"
	"fmt"
	"strings"
	"testing"
)

type refuse struct{}

func (refuse) Pass([]byte) bool { return false }

// BenchmarkScan is the cost of a log of which nothing is wanted: finding rows and
// booking their hours.
func BenchmarkScan(b *testing.B) {
	var log bytes.Buffer
	log.WriteString("#Fields: DateTime,A,B,C\r\n")
	for i := 0; log.Len() < 8<<20; i++ {
		fmt.Fprintf(&log, "2021-03-03T%02d:%02d:%02d.%03dZ,%s\r\n", i/36000%24, i/600%60, i/10%60, i%1000, strings.Repeat("abcdefgh,", 40))
	}
	f := &Format{Name: "test", Delim: ',', Time: []string{"DateTime"}}
	scratch := &Scratch{}
	b.SetBytes(int64(log.Len()))
	b.ReportAllocs()
	for b.Loop() {
		_, err := Scan(context.Background(), bytes.NewReader(log.Bytes()), "x", f, Options{Scratch: scratch,
			Gate: func(*Format, []string) Gate { return refuse{} }})
		if err != nil {
			b.Fatal(err)
		}
	}
}
