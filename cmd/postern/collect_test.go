package main

import (
	"archive/tar"
	"archive/zip"
	"bytes"
	"compress/gzip"
	"encoding/json"
	"fmt"
	"io"
	"maps"
	"os"
	"path"
	"path/filepath"
	"slices"
	"strings"

	"github.com/rogpeppe/go-internal/testscript"
	yeka "github.com/yeka/zip"

	"postern/internal/hunt/parse/regftest"
)

// collect KIND OUT DIR HOST packs the drives in a folder as a collector of that kind
// would bring them from a host.
func collect(ts *testscript.TestScript, neg bool, args []string) {
	if neg || len(args) != 4 {
		ts.Fatalf("usage: collect velociraptor|velociraptor-password|velociraptor-folder|kape|kape-zip|cylr|robocopy|tar OUT DIR HOST")
	}
	kind, out, drives, host := args[0], ts.MkAbs(args[1]), tree(ts, ts.MkAbs(args[2])), args[3]
	files := make(map[string][]byte)
	switch kind {
	case "velociraptor", "velociraptor-password", "velociraptor-folder":
		files = velociraptor(ts, drives, host)
	case "kape", "kape-zip":
		const at = "2021-03-12T090000_0000000"
		maps.Copy(files, drives)
		files[at+"_CopyLog.csv"] = []byte("CopiedTimestamp,SourceFile,DestinationFile,FileSize,SourceFileSha1,DeferredCopy,CreatedOnUtc,ModifiedOnUtc,LastAccessedOnUtc,CopyDuration\r\n")
		files[at+"_SkipLog.csv"] = []byte("SourceFile,SourceFileSha1,Reason\r\n")
		files[at+"_ConsoleLog.txt"] = fmt.Appendf(nil, "[2021-03-12 09:00:00.00 | INF] System info: Machine name: %s, 64-bit: True, User: admin, OS: Windows10 (10.0.14393)\r\n", host)
	case "robocopy":
		for name, content := range drives {
			drive, rest, _ := strings.Cut(name, "/")
			files[host+"/"+drive+"$/"+rest] = content
		}
	default:
		files = drives
	}
	switch kind {
	case "velociraptor-folder", "kape", "robocopy":
		for name, content := range files {
			to := filepath.Join(out, filepath.FromSlash(name))
			ts.Check(os.MkdirAll(filepath.Dir(to), 0o755))
			ts.Check(os.WriteFile(to, content, 0o644))
		}
	case "tar":
		ts.Check(os.WriteFile(out, tarred(ts, files, host), 0o644))
	case "velociraptor-password":
		var b bytes.Buffer
		w := yeka.NewWriter(&b)
		m, err := w.Create("metadata.json")
		ts.Check(err)
		_, err = io.WriteString(m, `{"EncryptedPass":"","Scheme":"password"}`)
		ts.Check(err)
		m, err = w.Encrypt("data.zip", "correct-horse", yeka.AES256Encryption)
		ts.Check(err)
		_, err = m.Write(zipped(ts, files))
		ts.Check(err)
		ts.Check(w.Close())
		ts.Check(os.WriteFile(out, b.Bytes(), 0o644))
	default:
		ts.Check(os.WriteFile(out, zipped(ts, files), 0o644))
	}
}

// velociraptor lays files out as its offline collector does: through two accessors,
// names escaped, with its notes.
func velociraptor(ts *testscript.TestScript, drives map[string][]byte, host string) map[string][]byte {
	files := map[string][]byte{
		"client_info.json":        fmt.Appendf(nil, `{"Hostname":%q,"Fqdn":%q,"Name":"velociraptor","Version":"0.7.1"}`, host, host+".contoso.example"),
		"collection_context.json": []byte(`{"session_id":"F.CRS2A7T0G1","state":2,"artifacts_with_results":["Windows.KapeFiles.Targets/Uploads"]}`),
		"log.json":                []byte(`{"level":"INFO","message":"Starting collection"}` + "\n"),
		"requests.json":           []byte("{}"),
		"results/Windows.KapeFiles.Targets%2FUploads.json": []byte(`{"SourceFile":"C:\\x"}` + "\n"),
	}
	escape := strings.NewReplacer(":", "%3A", `\`, "%5C", "%", "%25")
	var uploads bytes.Buffer
	for _, name := range slices.Sorted(maps.Keys(drives)) {
		drive, rest, _ := strings.Cut(name, "/")
		accessor := []string{"uploads", "auto", drive + ":"}
		if strings.HasPrefix(rest, "Windows/") {
			accessor = []string{"uploads", "ntfs", `\\.\` + drive + ":"}
		}
		parts := append(accessor, strings.Split(rest, "/")...)
		escaped := make([]string, len(parts))
		for i, part := range parts {
			escaped[i] = escape.Replace(part)
		}
		files[strings.Join(escaped, "/")] = drives[name]
		row, err := json.Marshal(map[string]any{"vfs_path": strings.Join(parts, "/"), "_Components": parts, "file_size": len(drives[name]), "uploaded_size": len(drives[name])})
		ts.Check(err)
		uploads.Write(append(row, '\n'))
	}
	files["uploads.json"] = uploads.Bytes()
	return files
}

func zipped(ts *testscript.TestScript, files map[string][]byte) []byte {
	var b bytes.Buffer
	w := zip.NewWriter(&b)
	for _, name := range slices.Sorted(maps.Keys(files)) {
		m, err := w.Create(name)
		ts.Check(err)
		_, err = m.Write(files[name])
		ts.Check(err)
	}
	ts.Check(w.Close())
	return b.Bytes()
}

func tarred(ts *testscript.TestScript, files map[string][]byte, host string) []byte {
	var b bytes.Buffer
	z := gzip.NewWriter(&b)
	w := tar.NewWriter(z)
	for _, name := range slices.Sorted(maps.Keys(files)) {
		ts.Check(w.WriteHeader(&tar.Header{Name: path.Join(host, name), Mode: 0o644, Size: int64(len(files[name]))}))
		_, err := w.Write(files[name])
		ts.Check(err)
	}
	ts.Check(w.Close())
	ts.Check(z.Close())
	return b.Bytes()
}

// hive FILE HOST writes a SYSTEM hive of a host in which a service does what none should.
func hive(ts *testscript.TestScript, neg bool, args []string) {
	if neg || len(args) != 2 {
		ts.Fatalf("usage: hive FILE HOST")
	}
	b := regftest.Hive(true, regftest.Key{Name: "ControlSet001", Keys: []regftest.Key{
		regftest.At(`Control\ComputerName`, regftest.Set("ComputerName", "ComputerName", args[1])),
		{Name: "Services", Keys: []regftest.Key{regftest.Set("W3SVC", "ImagePath", `%windir%\system32\svchost.exe -k iissvcs`), regftest.Set("abcd", "ImagePath", `%COMSPEC% /C `+`echo abcd > \\.\pipe\abcd`)}},
	}})
	to := ts.MkAbs(args[0])
	ts.Check(os.MkdirAll(filepath.Dir(to), 0o755))
	ts.Check(os.WriteFile(to, b, 0o644))
}

// alike ONE TWO checks that two JSON documents say the same of the same hosts: verdicts,
// what covers the window, and which rules found how much.
func alike(ts *testscript.TestScript, neg bool, args []string) {
	if neg || len(args) != 2 {
		ts.Fatalf("usage: alike ONE TWO")
	}
	if one, two := gist(ts, args[0]), gist(ts, args[1]); one != two {
		ts.Fatalf("%s says\n%s%s says\n%s", args[0], one, args[1], two)
	}
}

func gist(ts *testscript.TestScript, file string) string {
	var doc struct {
		Hosts []struct {
			Host, Build string
			Verdict     struct {
				Level      int
				Confidence string
				Conclusive bool
			}
			Findings []struct {
				Rule  string
				Level int
			}
			Coverage []struct {
				Source, Status, From, To string
				Records                  int64
			}
		}
	}
	ts.Check(json.Unmarshal([]byte(ts.ReadFile(file)), &doc))
	var b strings.Builder
	for _, h := range doc.Hosts {
		fmt.Fprintf(&b, "%s %s level %d %s %v\n", h.Host, h.Build, h.Verdict.Level, h.Verdict.Confidence, h.Verdict.Conclusive)
		for _, c := range h.Coverage {
			fmt.Fprintf(&b, "  %s %s %s %s %d\n", c.Source, c.Status, c.From, c.To, c.Records)
		}
		found := make(map[string]int)
		for _, f := range h.Findings {
			found[fmt.Sprint(f.Rule, " ", f.Level)]++
		}
		for _, rule := range slices.Sorted(maps.Keys(found)) {
			fmt.Fprintf(&b, "  %s: %d\n", rule, found[rule])
		}
	}
	return b.String()
}
