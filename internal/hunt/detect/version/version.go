// Package version reads which build of the product is installed from the version
// resource of its setup program, the one place on disk that tells the security
// update and not only the cumulative one. Input: the program file, as hostile as
// any. Output: the build, for the fact "patched"; never a finding.
//
// Source of the format: VS_FIXEDFILEINFO of the Windows SDK: the signature
// 0xFEEF04BD, the version of the structure, then the file version as two
// little-endian words of 32 bits, high half first.
package version

import (
	"bufio"
	"bytes"
	"encoding/binary"
	"errors"
	"io"
	"strings"

	"postern"
	"postern/internal/hunt/detect"
)

// maxProgram bounds what is read: the setup program has some 200 KiB.
const maxProgram = 32 << 20

// Detector reads one program of the product.
type Detector struct{ file string }

// New makes a detector for the program with that path below the install folder.
func New(file string) *Detector { return &Detector{file: strings.ToLower(file)} }

// Name says which kind of evidence the files are.
func (d *Detector) Name() string { return "version" }

// Wants takes the program by its path.
func (d *Detector) Wants(f *detect.File) bool {
	above, ok := strings.CutSuffix(f.Server, d.file)
	return ok && d.file != "" && (above == "" || strings.HasSuffix(above, "/"))
}

// Read gives the build as a [postern.Build], nothing if the file has none.
func (d *Detector) Read(f *detect.File) (any, []postern.Problem, error) {
	r, err := f.Open()
	if err != nil {
		return nil, nil, err
	}
	defer r.Close()
	b, err := fileVersion(io.LimitReader(r, maxProgram))
	if err != nil {
		return nil, nil, err
	}
	if b.IsZero() {
		return nil, []postern.Problem{{Path: f.Path, What: postern.Malformed, Detail: postern.Say("version.none")}}, nil
	}
	return b, nil, nil
}

// Judge hands the builds on.
func (d *Detector) Judge(parts []any) detect.Judgement {
	var j detect.Judgement
	for _, p := range parts {
		j.Builds = append(j.Builds, p.(postern.Build))
	}
	return j
}

// fileVersion finds the version resource in a stream.
func fileVersion(r io.Reader) (postern.Build, error) {
	signature := []byte{0xBD, 0x04, 0xEF, 0xFE, 0, 0, 1, 0} // and version 1.0 of the structure
	in := bufio.NewReaderSize(r, 64<<10)
	for {
		window, err := in.Peek(in.Size())
		if i := bytes.Index(window, signature); i >= 0 && i+16 <= len(window) {
			high, low := binary.LittleEndian.Uint32(window[i+8:]), binary.LittleEndian.Uint32(window[i+12:])
			return postern.Build{int(high >> 16), int(high & 0xFFFF), int(low >> 16), int(low & 0xFFFF)}, nil
		}
		if errors.Is(err, io.EOF) {
			return postern.Build{}, nil
		}
		if err != nil {
			return postern.Build{}, err
		}
		if _, err := in.Discard(len(window) - 15); err != nil { // the signature may lie across
			return postern.Build{}, err
		}
	}
}
