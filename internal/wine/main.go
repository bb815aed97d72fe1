// Command wine runs tests of this module as Windows programs, for whoever has no Windows
// at hand: it builds them for windows/amd64 and has Debian's wine run them.
//
// Input: packages, by default those that change or seal what lies on a disk. Output:
// that of "go test". Without wine it says so and ends well. wine is not Windows: what is
// not tested this way is in the list below, and what passes has still to be seen there.
//
//	apt-get install --no-install-recommends wine wine64
//	go run ./internal/wine [-run TEST] [PACKAGE…]
package main

import (
	"bytes"
	"encoding/binary"
	"encoding/json"
	"errors"
	"flag"
	"fmt"
	"os"
	"os/exec"
	"path/filepath"
	"slices"
	"strings"
)

// rooms are tested if no others are named.
var rooms = []string{"./internal/bundle", "./internal/respond/...", "./internal/hunt/source"}

// beyond are tests that wine 8 cannot pass whatever the program does.
var beyond = []struct{ test, because string }{
	{"TestApplyRefuses$", "a symbolic link that is made in wine is none"},
	{"TestFind$", "the same"},
	{"TestFindsBelowTheRoot$", "it makes a file with the name of a device, which wine refuses as Windows does"},
}

func main() {
	run := flag.String("run", "", "only these tests, as for go test")
	flag.Parse()
	packages := flag.Args()
	if len(packages) == 0 {
		packages = rooms
	}
	loader, err := find()
	if err != nil {
		fmt.Println("skipped: no wine here. Debian: apt-get install --no-install-recommends wine wine64")
		return
	}
	if err := test(loader, *run, packages); err != nil {
		fmt.Fprintln(os.Stderr, "wine:", err)
		os.Exit(1)
	}
}

// find looks for the program that runs others: Debian keeps it out of the path.
func find() (string, error) {
	for _, name := range []string{"/usr/lib/wine/wine64", "wine64", "wine"} {
		if path, err := exec.LookPath(name); err == nil {
			return path, nil
		}
	}
	return "", exec.ErrNotFound
}

func test(loader, run string, packages []string) (err error) {
	dir, err := os.MkdirTemp("", "postern-wine-")
	if err != nil {
		return err
	}
	defer func() { err = errors.Join(err, os.RemoveAll(dir)) }()
	env := append(slices.DeleteFunc(os.Environ(), func(s string) bool { return strings.HasPrefix(s, "DISPLAY=") }),
		"WINEPREFIX="+filepath.Join(dir, "prefix"), "WINEARCH=win64", "WINEDEBUG=-all")
	start := func(extra []string, name string, args ...string) error {
		c := exec.Command(name, args...)
		c.Env, c.Stdout, c.Stderr = append(slices.Clone(env), extra...), os.Stdout, os.Stderr
		return c.Run()
	}
	if err := start(nil, loader, "wineboot", "-i"); err != nil {
		return fmt.Errorf("make a Windows: %w", err)
	}
	// The server of this Windows ends, and with it all that may still run in it. It says
	// so with an error if it has ended already.
	defer func() { _ = start(nil, "wineserver", "-k") }()
	if err := provide(filepath.Join(dir, "prefix", "drive_c", "windows", "system32")); err != nil {
		return err
	}
	overlay, err := removal(dir)
	if err != nil {
		return err
	}
	var skip []string
	for _, b := range beyond {
		fmt.Printf("not here: %s %s\n", b.test, b.because)
		skip = append(skip, b.test)
	}
	args := []string{"test", "-overlay", overlay, "-exec", loader, "-run", run, "-skip", strings.Join(skip, "|")}
	return start([]string{"GOOS=windows", "GOARCH=amd64", "CGO_ENABLED=0"}, "go", append(args, packages...)...)
}

// removal makes the standard library remove files in the way that it has for FAT32 and
// older systems: the other one is not there in wine 8.
func removal(dir string) (overlay string, err error) {
	root, err := exec.Command("go", "env", "GOROOT").Output()
	if err != nil {
		return "", fmt.Errorf("find the standard library: %w", err)
	}
	name := filepath.Join(strings.TrimSpace(string(root)), "src/internal/syscall/windows/at_windows.go")
	src, err := os.ReadFile(name)
	if err != nil {
		return "", err
	}
	const before, after = "\nvar TestDeleteatFallback bool\n", "\nvar TestDeleteatFallback = true\n"
	if !bytes.Contains(src, []byte(before)) {
		return "", fmt.Errorf("%s has no%sany more", name, strings.ReplaceAll(before, "\n", " "))
	}
	changed := filepath.Join(dir, "at_windows.go")
	if err := os.WriteFile(changed, bytes.Replace(src, []byte(before), []byte(after), 1), 0o600); err != nil {
		return "", err
	}
	b, err := json.Marshal(map[string]any{"Replace": map[string]string{name: changed}})
	if err != nil {
		return "", err
	}
	overlay = filepath.Join(dir, "overlay.json")
	return overlay, os.WriteFile(overlay, b, 0o600)
}

// provide puts the one library into a Windows that Go needs and wine 8 does not have:
// bcryptprimitives.dll, whose ProcessPrng fills a buffer with random bytes, as
// SystemFunction036 of advapi32.dll does with the same arguments.
func provide(system32 string) error {
	name := filepath.Join(system32, "bcryptprimitives.dll")
	if _, err := os.Stat(name); err == nil {
		return nil
	}
	return os.WriteFile(name, forwarder("bcryptprimitives.dll", "ProcessPrng", "advapi32.SystemFunction036"), 0o600)
}

// forwarder makes a library with one name in it that stands for one of another: headers
// and a table of exports (PE format, Microsoft), and no code. Names have up to 31 bytes.
func forwarder(library, name, target string) []byte {
	const (
		base, table   = 0x1_8000_0000, 0x1000 // where it is loaded, and its one section
		file          = 0x200                 // the section in the file; no header is longer
		header        = 0x40
		optional      = header + 24
		section       = optional + 240
		functions     = 0x28 // places in the table
		names         = 0x2c
		ordinals      = 0x30
		libraryName   = 0x40
		exportName    = 0x60
		forwardedName = 0x80
	)
	b := make([]byte, 2*file)
	put := func(at int, v any) {
		_, _ = binary.Encode(b[at:], binary.LittleEndian, v) // it is long enough
	}
	copy(b, "MZ")
	put(0x3c, uint32(header))
	copy(b[header:], "PE\x00\x00")
	put(header+4, []uint16{0x8664, 1})           // x64, one section
	put(header+20, []uint16{240, 0x2022})        // a library
	put(optional, uint16(0x20b))                 // PE32+
	put(optional+24, uint64(base))               // then how sections lie
	put(optional+32, []uint32{table, file})      // in memory and in the file
	put(optional+40, []uint16{6, 0, 0, 0, 6, 0}) // for Windows 6.0
	put(optional+56, []uint32{2 * table, file})  // sizes of image and headers
	put(optional+68, []uint16{2, 0x100})         // no console, no data is run
	put(optional+108, []uint32{16, table, file}) // directories; the first are exports
	copy(b[section:], ".rdata")
	put(section+8, []uint32{file, table, file, file}) // sizes and places
	put(section+36, uint32(0x4000_0040))              // data, to be read
	put(file+12, []uint32{table + libraryName, 1, 1, 1, table + functions, table + names, table + ordinals})
	put(file+functions, []uint32{table + forwardedName, table + exportName, 0})
	copy(b[file+libraryName:], library)
	copy(b[file+exportName:], name)
	copy(b[file+forwardedName:], target)
	return b
}
