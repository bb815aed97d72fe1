package main

import (
	"bytes"
	"crypto/sha256"
	"encoding/csv"
	"fmt"
	"io"
	"io/fs"
	"os"
	"path/filepath"
	"strings"
	"sync"
)

// peer runs one of the programs that the hunt is compared with.
func peer(name string, args []string) error {
	if len(args) != 1 {
		return fmt.Errorf("peer %s: want one argument", name)
	}
	switch name {
	case "read":
		return readAll(args[0], 2)
	case "hash":
		return hashAll(args[0])
	case "csv":
		return csvAll(args[0])
	case "judge":
		return judgePeer(args[0])
	case "sigma":
		return sigmaPeer(args[0])
	case "client":
		return visitAll(args[0])
	case "spin":
		for { // until it is killed
		}
	}
	return fmt.Errorf("peer %s: there is none", name)
}

func files(dir string, each func(path string) error) error {
	return filepath.WalkDir(dir, func(path string, d fs.DirEntry, err error) error {
		if err != nil || !d.Type().IsRegular() {
			return err
		}
		return each(path)
	})
}

// readAll reads every file with some threads and does nothing else.
func readAll(dir string, threads int) error {
	paths := make(chan string, 256)
	errs := make(chan error, threads)
	var workers sync.WaitGroup
	for range threads {
		workers.Go(func() {
			buf := make([]byte, 256<<10)
			for p := range paths {
				f, err := os.Open(p)
				for err == nil {
					_, err = f.Read(buf)
				}
				f.Close()
				if err != io.EOF {
					select {
					case errs <- err:
					default:
					}
				}
			}
		})
	}
	err := files(dir, func(p string) error { paths <- p; return nil })
	close(paths)
	workers.Wait()
	select {
	case e := <-errs:
		return e
	default:
		return err
	}
}

// hashAll reads every file and takes its SHA-256.
func hashAll(dir string) error {
	return files(dir, func(p string) error {
		f, err := os.Open(p)
		if err != nil {
			return err
		}
		defer f.Close()
		_, err = io.Copy(sha256.New(), f)
		return err
	})
}

// csvAll is the plain program: every log through encoding/csv, the deciding
// literals looked for in every cell of every row.
func csvAll(dir string) error {
	wanted := strings.Split("serverinfo~,beresource-cookie,backend-cookie,/aspnet_client/,/oab/,/owa/auth/,/ecp/auth/,proxylogon.ecp,ddiservice,virtualdirectory,outlookanywhere,temporary file", ",")
	hits := 0
	err := files(dir, func(p string) error {
		f, err := os.Open(p)
		if err != nil {
			return err
		}
		defer f.Close()
		r := csv.NewReader(f)
		r.FieldsPerRecord, r.LazyQuotes, r.ReuseRecord = -1, true, true
		if strings.HasPrefix(filepath.Base(p), "u_ex") {
			r.Comma = ' '
		}
		for {
			cells, err := r.Read()
			if err == io.EOF {
				return nil
			}
			if err != nil {
				continue
			}
			for _, c := range cells {
				lower := bytes.ToLower([]byte(c))
				for _, w := range wanted {
					if bytes.Contains(lower, []byte(w)) {
						hits++
					}
				}
			}
		}
	})
	fmt.Println(hits)
	return err
}

// makeSmall makes a tree of small files such as a web folder holds.
func makeSmall(dir string, n int) error {
	if _, err := os.Stat(dir); err == nil {
		return nil
	}
	names := []string{"page%d.css", "script%d.js", "icon%d.gif", "text%d.txt", "view%d.htm"}
	body := strings.Repeat("body { margin: 0; font: 12px sans-serif }\n", 40)
	for i := range n {
		sub := filepath.Join(dir, "inetpub", "wwwroot", fmt.Sprintf("d%03d", i/200))
		if i%200 == 0 {
			if err := os.MkdirAll(sub, 0o755); err != nil {
				return err
			}
		}
		name := filepath.Join(sub, fmt.Sprintf(names[i%len(names)], i))
		if err := os.WriteFile(name, []byte(fmt.Sprintf("/* %d */\n%s", i, body[:400+i%1200])), 0o644); err != nil {
			return err
		}
	}
	return nil
}
