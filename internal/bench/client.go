package main

import (
	"bufio"
	"bytes"
	"crypto/tls"
	"fmt"
	"io"
	"net"
	"os"
	"strconv"
	"strings"
	"sync"
	"time"

	"postern/internal/exposure"
)

// The minimal client is what a patient person would write by hand: the same
// handshakes and the same requests as the scan made, from a list, and a look for a
// version in what comes back. It decides nothing, bounds nothing and keeps nothing.

// clientWorkers is how many hosts the minimal client visits at once.
const clientWorkers = 64

// writePlan writes the list, a line a host: address, name, profile, paths. It gives
// the number of pages.
func writePlan(name string, list []exposure.Observation, plain bool) (pages int, err error) {
	var b bytes.Buffer
	for i := range list {
		r, paths := &list[i], pathsOf(&list[i])
		profile := r.TLS.Profile
		if plain {
			profile = "plain"
		}
		if len(paths) == 0 || len(paths) != r.Requests || profile == "" {
			return 0, fmt.Errorf("%s: %d requests and %d pages over %q: the list would not be the same", r.Target, r.Requests, len(paths), profile)
		}
		fmt.Fprintln(&b, net.JoinHostPort(r.Address, strconv.Itoa(r.Port)), r.Name, profile, strings.Join(paths, " "))
		pages += len(paths)
	}
	return pages, os.WriteFile(name, b.Bytes(), 0o644)
}

// visitAll visits every host of the list and prints how many showed a version.
func visitAll(plan string) error {
	f, err := os.Open(plan)
	if err != nil {
		return err
	}
	defer f.Close()
	lines := make(chan []string)
	var work sync.WaitGroup
	var mu sync.Mutex
	found, failed := 0, 0
	for range clientWorkers {
		work.Go(func() {
			for w := range lines {
				ok, err := visitOne(w[0], w[1], w[2], w[3:])
				mu.Lock()
				if ok {
					found++
				}
				if err != nil {
					if failed++; failed < 5 {
						fmt.Fprintln(os.Stderr, w[0], err)
					}
				}
				mu.Unlock()
			}
		})
	}
	in := bufio.NewScanner(f)
	for in.Scan() {
		lines <- strings.Fields(in.Text())
	}
	close(lines)
	work.Wait()
	fmt.Println(found)
	if failed > 0 {
		return fmt.Errorf("%d hosts failed", failed)
	}
	return in.Err()
}

// connect shakes hands in the profile, which for old hosts is the second try.
func connect(address, name, profile string) (net.Conn, error) {
	c, err := net.DialTimeout("tcp", address, 10*time.Second)
	if err != nil || profile == "plain" {
		return c, err
	}
	_ = c.SetDeadline(time.Now().Add(10 * time.Second))
	t := tls.Client(c, &tls.Config{ServerName: name, InsecureSkipVerify: true, CurvePreferences: []tls.CurveID{tls.X25519, tls.CurveP256}, NextProtos: []string{"http/1.1"}})
	if err = t.Handshake(); err == nil {
		return t, nil
	}
	c.Close()
	if profile != "legacy" {
		return nil, err
	}
	if c, err = net.DialTimeout("tcp", address, 10*time.Second); err != nil {
		return nil, err
	}
	_ = c.SetDeadline(time.Now().Add(10 * time.Second))
	old := &tls.Config{ServerName: name, InsecureSkipVerify: true, MinVersion: tls.VersionTLS10, MaxVersion: tls.VersionTLS12, CurvePreferences: []tls.CurveID{tls.X25519, tls.CurveP256}}
	for _, s := range append(tls.CipherSuites(), tls.InsecureCipherSuites()...) {
		old.CipherSuites = append(old.CipherSuites, s.ID)
	}
	t = tls.Client(c, old)
	return t, t.Handshake()
}

func visitOne(address, name, profile string, paths []string) (found bool, err error) {
	c, err := connect(address, name, profile)
	if err != nil {
		return false, err
	}
	defer c.Close()
	_ = c.SetDeadline(time.Now().Add(10 * time.Second))
	br := bufio.NewReader(c)
	for _, path := range paths {
		if _, err := io.WriteString(c, "GET "+path+" HTTP/1.1\r\nHost: "+name+"\r\nUser-Agent: minimal\r\nAccept: */*\r\n\r\n"); err != nil {
			return false, err
		}
		length := 0
		for {
			line, err := br.ReadString('\n')
			if err != nil {
				return false, err
			}
			if line = strings.TrimSpace(line); line == "" {
				break
			}
			key, value, _ := strings.Cut(line, ": ")
			switch {
			case strings.EqualFold(key, "Content-Length"):
				length, _ = strconv.Atoi(value)
			case strings.EqualFold(key, "X-OWA-Version"):
				found = true
			}
		}
		body := make([]byte, length)
		if _, err := io.ReadFull(br, body); err != nil {
			return false, err
		}
		found = found || bytes.Contains(body, []byte("/owa/auth/15."))
	}
	return found, nil
}
