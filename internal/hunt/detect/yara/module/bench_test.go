package module

import (
	"testing"

	"postern/internal/hunt/detect/yara/module/programtest"
)

// What a file costs that many rules ask about: parsed once, answered often.
func BenchmarkPE(b *testing.B) {
	data := programtest.Windows(true)
	m, _ := Lookup("pe")
	imphash, _ := m.Decl().Field("imphash")
	exports, _ := m.Decl().Field("number_of_exports")
	b.Run("parse", func(b *testing.B) {
		b.ReportAllocs()
		for b.Loop() {
			v := m.Load(&File{Data: data})
			v.Get(imphash).Call(0)
			v.Get(exports)
			v.Field("number_of_resources")
			v.Field("number_of_signatures")
		}
	})
	b.Run("ask", func(b *testing.B) {
		b.ReportAllocs()
		v := m.Load(&File{Data: data})
		for b.Loop() {
			v.Get(imphash).Call(0)
		}
	})
}

func BenchmarkDotNet(b *testing.B) {
	data := programtest.DotNet()
	m, _ := Lookup("dotnet")
	b.ReportAllocs()
	for b.Loop() {
		m.Load(&File{Data: data}).Field("number_of_classes")
	}
}
