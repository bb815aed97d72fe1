// Package dotnet reads the metadata of .NET assemblies. Input: a Windows program,
// as the package pe reads it; offsets and sizes are bytes from the beginning of the
// file. Output: plain values.
//
// The format is ECMA-335, partition II ("Metadata Definition and Semantics"),
// chapters 22 to 25; names in comments are those of the standard. What is made of
// damaged files follows libyara 4.5, since rules were written against its answers.
package dotnet

import (
	"bytes"
	"encoding/binary"
	"fmt"
	"strings"

	"postern/internal/hunt/detect/yara/module/pe"
)

// Bounds. Those that libyara has are the same; the others stand where it would work
// for hours on a hostile file.
const (
	maxRows        = 15000 // of one table; behind a larger one nothing is read
	maxText        = 1024  // bytes of a name
	maxStreamName  = 32
	maxGUIDs       = 16
	maxUserStrings = 1 << 17
	maxMethods     = 1 << 16 // of all classes
	maxMethodsOf   = 20000   // of one class
	maxParameters  = 2000
	maxGenerics    = 1000
	maxRank        = 50
	maxTypeDepth   = 16
	maxNestedDepth = 10
	maxTypeSteps   = 1 << 20 // parts of types read for all classes
	maxTypeName    = 1 << 13 // bytes of the name of a type made of parts
	maxTypeNames   = 1 << 25 // bytes of all names that are put together
)

// Assembly is what the metadata says. Fields that the file does not have are empty;
// those whose absence matters say so.
type Assembly struct {
	Version       Text
	Module        Text
	Streams       []Stream
	GUIDs         []string
	HasGUIDs      bool
	UserStrings   []string
	HasUser       bool
	TypeLib       Text
	Constants     []string
	HasConstants  bool
	ModuleRefs    []string
	HasModuleRefs bool
	FieldOffsets  []int64
	HasFields     bool
	Own           Identity
	HasOwn        bool
	Culture       Text
	References    []Reference
	HasReferences bool
	Resources     []Resource
	HasResources  bool
	Classes       []Class
	HasClasses    bool
	HasStreams    bool
}

// Text is a text that may be missing, which is another thing than empty.
type Text struct {
	Value string
	Has   bool
}

// Stream is one part of the metadata.
type Stream struct {
	Name   string
	Offset int64 // in the file
	Size   int64
}

// Identity is the name and version of an assembly.
type Identity struct {
	Major, Minor, Build, Revision uint16
	Name                          Text
}

// Reference is another assembly that this one needs.
type Reference struct {
	Identity
	Key Text // public key, or its token
}

// Resource is a file inside of the assembly, or the name of one that is elsewhere.
type Resource struct {
	Name           Text
	Offset, Length int64
	Inside         bool
}

// Parse reads the metadata; false if the program is no assembly.
func Parse(p *pe.Image) (*Assembly, bool) {
	r := &reader{image: p, data: p.Data()}
	header, ok := p.Offset(uint64(p.Directory(pe.DirCOM).VirtualAddress))
	if !ok || !r.fits(header, 72) || r.u32(header) != 72 {
		return nil, false
	}
	root, ok := p.Offset(uint64(r.u32(header + 8)))
	if !ok || !r.fits(root, 16) || r.u32(root) != 0x424a5342 { // "BSJB"
		return nil, false
	}
	length := int64(r.u32(root + 12))
	if length == 0 || length > 255 || length%4 != 0 || !r.fits(root+16, length) {
		return nil, false
	}
	if p.Is64() && p.Header().Directories < pe.DirCOM {
		return nil, false
	}
	a := &Assembly{}
	if version, _, ended := strings.Cut(string(r.data[root+16:root+16+length]), "\x00"); ended {
		a.Version = Text{version, true}
	}
	at := root + 16 + length + 2
	if !r.fits(at, 2) {
		return a, true
	}
	r.root = root
	r.readStreams(a, at+2, int(r.data[at]))
	if r.guids.present {
		r.readGUIDs(a)
	}
	if r.tables.present && r.strings.present && r.blobs.present {
		r.resources = -1
		if base, ok := p.Offset(uint64(r.u32(header + 24))); ok {
			r.resources = base
		}
		r.readTables(a)
	}
	if r.users.present {
		r.readUserStrings(a)
	}
	return a, true
}

// reader knows where the parts of the metadata are.
type reader struct {
	image                                *pe.Image
	data                                 []byte
	root, resources                      int64
	tables, strings, blobs, guids, users heap
}

type heap struct {
	offset, size int64
	present      bool
}

func (r *reader) fits(offset, size int64) bool {
	return offset >= 0 && size >= 0 && size <= int64(len(r.data)) && offset <= int64(len(r.data))-size
}

func (r *reader) u16(offset int64) uint16 {
	if !r.fits(offset, 2) {
		return 0
	}
	return binary.LittleEndian.Uint16(r.data[offset:])
}

func (r *reader) u32(offset int64) uint32 {
	if !r.fits(offset, 4) {
		return 0
	}
	return binary.LittleEndian.Uint32(r.data[offset:])
}

// index reads a number of 2 or 4 bytes.
func (r *reader) index(offset, size int64) uint32 {
	if size == 2 {
		return uint32(r.u16(offset))
	}
	return r.u32(offset)
}

// text reads a name of the heap #Strings.
func (r *reader) text(index uint32) Text {
	at := r.strings.offset + int64(index)
	if int64(index) >= r.strings.size || at < 0 || at >= int64(len(r.data)) {
		return Text{}
	}
	b := r.data[at:]
	n := bytes.IndexByte(b[:min(len(b), maxText+1)], 0)
	if n < 0 {
		return Text{}
	}
	return Text{string(b[:n]), true}
}

// blob reads an entry of the heaps #Blob and #US: its length in 1, 2 or 4 bytes, and
// its content. Next is the offset behind both.
func (r *reader) blob(at int64) (content []byte, next int64, ok bool) {
	if !r.fits(at, 1) {
		return nil, 0, false
	}
	var size, length int64
	switch first := r.data[at]; {
	case first&0x80 == 0:
		size, length = 1, int64(first)
	case first&0xc0 == 0x80 && r.fits(at, 2):
		size, length = 2, int64(first&0x3f)<<8|int64(r.data[at+1])
	case first&0xe0 == 0xc0 && r.fits(at, 5):
		size, length = 4, int64(first&0x1f)<<24|int64(r.data[at+1])<<16|int64(r.data[at+2])<<8|int64(r.data[at+3])
	default:
		return nil, 0, false
	}
	if !r.fits(at, size+length) {
		return nil, 0, false
	}
	return r.data[at+size : at+size+length], at + size + length, true
}

func (r *reader) readStreams(a *Assembly, at int64, count int) {
	a.HasStreams = true
	for range count {
		if !r.fits(at, 8+maxStreamName) {
			return
		}
		name, _, ended := strings.Cut(string(r.data[at+8:at+8+maxStreamName]), "\x00")
		if !ended {
			return
		}
		s := Stream{name, r.root + int64(r.u32(at)), int64(r.u32(at + 4))}
		a.Streams = append(a.Streams, s)
		here := heap{s.Offset, s.Size, true}
		for _, h := range []struct {
			name string
			heap *heap
		}{{"#~", &r.tables}, {"#-", &r.tables}, {"#GUID", &r.guids}, {"#Strings", &r.strings}, {"#Blob", &r.blobs}, {"#US", &r.users}} {
			if strings.HasPrefix(name, h.name) {
				if !h.heap.present || h.heap == &r.guids { // of the others the first counts
					*h.heap = here
				}
				break
			}
		}
		at += 8 + int64(len(name)) + 4 - int64(len(name)%4)
	}
}

func (r *reader) readGUIDs(a *Assembly) {
	a.HasGUIDs = true
	at := r.guids.offset
	for size := min(r.guids.size, 16*maxGUIDs); size >= 16 && r.fits(at, 16); size, at = size-16, at+16 {
		b := r.data[at : at+16]
		a.GUIDs = append(a.GUIDs, fmt.Sprintf("%08x-%04x-%04x-%x-%x", r.u32(at), r.u16(at+4), r.u16(at+6), b[8:10], b[10:]))
	}
}

func (r *reader) readUserStrings(a *Assembly) {
	at, end := r.users.offset, r.users.offset+r.users.size
	if r.users.size == 0 || !r.fits(at, r.users.size) || r.data[at] != 0 {
		return
	}
	a.HasUser = true
	for at++; at < end && len(a.UserStrings) < maxUserStrings; {
		content, next, ok := r.blob(at)
		if !ok {
			return
		}
		// The last byte tells how the text may be written, and is none of it.
		if len(content) <= 1 {
			at = next - int64(len(content))
			continue
		}
		a.UserStrings = append(a.UserStrings, string(content[:len(content)-1]))
		at = next - 1
	}
}
