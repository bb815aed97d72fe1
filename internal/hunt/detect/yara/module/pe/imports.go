package pe

import (
	"crypto/md5"
	"encoding/hex"
	"strings"
)

// Library is one imported library.
type Library struct {
	Name      string
	Functions []Function
}

// Function is one imported function.
type Function struct {
	Name      string
	Ordinal   uint16
	ByOrdinal bool
	RVA       uint64 // of its entry in the import address table
}

func (p *Image) readImports() []Library {
	dir := p.Directory(DirImport)
	if dir.VirtualAddress == 0 {
		return nil
	}
	at, ok := p.Offset(uint64(dir.VirtualAddress))
	if !ok {
		return nil
	}
	var list []Library
	total, steps := 0, 0
	for n := 0; n < maxImports && p.fits(at, 20) && p.u32(at+12) != 0; n, at = n+1, at+20 {
		nameAt, ok := p.Offset(uint64(p.u32(at + 12)))
		if !ok {
			continue
		}
		name, ended := p.text(nameAt, maxLibraryName)
		if !ended || !validLibrary(name) {
			continue
		}
		functions := p.thunks(name, p.u32(at), p.u32(at+16), &total, &steps)
		if len(functions) > 0 {
			list = append(list, Library{name, functions})
		}
	}
	return list
}

// thunks reads the functions of one library from its lookup table, or from its
// address table if it has none.
func (p *Image) thunks(library string, lookup, address uint32, total, steps *int) []Function {
	at, ok := p.Offset(uint64(lookup))
	if !ok || at == 0 {
		if at, ok = p.Offset(uint64(address)); !ok {
			return nil
		}
	}
	width, byOrdinal, last := int64(4), uint64(1)<<31, uint64(0x8000ffff)
	if p.is64 {
		width, byOrdinal, last = 8, 1<<63, 0x800000000000ffff
	}
	var list []Function
	for i := int64(0); i < maxImports && *total < maxImports && *steps < maxSteps && p.fits(at, width); i, at = i+1, at+width {
		*steps++
		thunk := p.pointer(at)
		if thunk == 0 {
			break
		}
		f := Function{RVA: uint64(address) + uint64(width*i)}
		if !p.is64 {
			f.RVA = uint64(uint32(f.RVA))
		}
		if thunk&byOrdinal != 0 {
			if thunk > last {
				continue
			}
			f.ByOrdinal, f.Ordinal = true, uint16(thunk)
			f.Name = ordinalName(library, f.Ordinal)
		} else {
			nameAt, ok := p.Offset(thunk)
			if !ok || !p.fits(nameAt, 3) {
				continue
			}
			f.Name, _ = p.text(nameAt+2, maxNameLength)
			if !validFunction(f.Name) {
				continue
			}
		}
		list = append(list, f)
		*total++
	}
	return list
}

// pointer reads a number of the program's own width.
func (p *Image) pointer(at int64) uint64 {
	if p.is64 {
		return p.u64(at)
	}
	return uint64(p.u32(at))
}

func (p *Image) readDelayedImports() []Library {
	dir := p.Directory(DirDelayImport)
	if dir.VirtualAddress == 0 {
		return nil
	}
	at, ok := p.Offset(uint64(dir.VirtualAddress))
	if !ok {
		return nil
	}
	header := p.Header()
	var list []Library
	steps := 0
	for ; p.fits(at, 32) && steps < maxSteps; at += 32 {
		steps++
		if strings.Trim(string(p.data[at:at+32]), "\x00") == "" {
			break
		}
		attributes := p.u32(at)
		if attributes > 1 {
			break
		}
		name, addresses, names := p.u32(at+4), p.u32(at+12), p.u32(at+16)
		absolute := attributes == 0 // as Visual C++ 6.0 wrote them
		if absolute && !p.is64 {
			name = uint32(relative(uint64(name), header.ImageBase))
			addresses = uint32(relative(uint64(addresses), header.ImageBase))
			names = uint32(relative(uint64(names), header.ImageBase))
		}
		if names >= header.ImageSize || addresses >= header.ImageSize || name < dosHeaderSize || names < dosHeaderSize {
			break
		}
		nameAt, ok := p.Offset(uint64(name))
		if !ok {
			continue
		}
		library, ended := p.text(nameAt, maxTextLength)
		if !ended || !validLibrary(library) {
			continue
		}
		list = append(list, Library{library, p.delayedThunks(library, uint64(names), uint64(addresses), absolute, header.ImageBase, &steps)})
	}
	return list
}

func (p *Image) delayedThunks(library string, names, addresses uint64, absolute bool, base uint64, steps *int) []Function {
	width, byOrdinal := int64(4), uint64(1)<<31
	if p.is64 {
		width, byOrdinal = 8, 1<<63
	}
	var list []Function
	for ; *steps < maxSteps && len(list) < maxImports; names, addresses = names+uint64(width), addresses+uint64(width) {
		*steps++
		nameAt, ok1 := p.Offset(names)
		addressAt, ok2 := p.Offset(addresses)
		if !ok1 || !ok2 || !p.fits(nameAt, width) || !p.fits(addressAt, width) {
			break
		}
		name := p.pointer(nameAt)
		if name == 0 || p.pointer(addressAt) == 0 {
			break
		}
		f := Function{RVA: addresses}
		if name&byOrdinal != 0 {
			f.ByOrdinal, f.Ordinal = true, uint16(name)
			f.Name = ordinalName(library, f.Ordinal)
		} else {
			if absolute {
				name = relative(name, base)
			}
			textAt, ok := p.Offset(name + 2)
			if !ok {
				continue
			}
			f.Name, _ = p.text(textAt, maxNameLength)
		}
		list = append(list, f)
	}
	return list
}

// relative makes an RVA of an absolute address, if it can be one.
func relative(address, base uint64) uint64 {
	if address > base {
		return address - base
	}
	return address
}

// validLibrary says whether Windows could have a file of that name.
func validLibrary(name string) bool {
	for i := range len(name) {
		if c := name[i]; c < ' ' || c > '~' || strings.IndexByte(`"*<>?|`, c) >= 0 {
			return false
		}
	}
	return name != ""
}

// validFunction leaves out names that no compiler makes: they are other data.
func validFunction(name string) bool {
	for i := range len(name) {
		c := name[i]
		if (c < 'a' || c > 'z') && (c < 'A' || c > 'Z') && (c < '0' || c > '9') && strings.IndexByte("._?@$()<>", c) < 0 {
			return false
		}
	}
	return name != ""
}

// ImportHash is the MD5 of all imported functions in their order, each as
// "library.function" in lower case, by which programs of one origin are known
// (Mandiant, "Tracking Malware with Import Hashing", 2014).
func (p *Image) ImportHash() string { return p.imphash() }

func (p *Image) hashImports() string {
	sum := md5.New()
	separator := ""
	for _, l := range p.Imports() {
		name := l.Name
		if dot := strings.LastIndexByte(name, '.'); dot >= 0 {
			for _, ext := range []string{".ocx", ".sys", ".dll"} {
				if hasPrefixFold(name[dot:], ext) {
					name = name[:dot]
					break
				}
			}
		}
		for _, f := range l.Functions {
			sum.Write([]byte(separator + lower(name) + "." + lower(f.Name)))
			separator = ","
		}
	}
	return hex.EncodeToString(sum.Sum(nil))
}

// lower changes ASCII letters only, as names are bytes.
func lower(s string) string {
	b := []byte(s)
	for i, c := range b {
		if c >= 'A' && c <= 'Z' {
			b[i] = c | 0x20
		}
	}
	return string(b)
}

func hasPrefixFold(s, prefix string) bool {
	return len(s) >= len(prefix) && lower(s[:len(prefix)]) == prefix
}
