package main

import (
	"bufio"
	"errors"
	"fmt"
	"io"
	"os"
	"os/exec"
	"path/filepath"
	"slices"
	"strings"
	"sync"
	"time"
)

// watching measures "postern watch" over a server that writes its logs at a given rate,
// with web folders of the usual size. What is played are the logs of exercise evidence:
// the first half of each folder lies there, the second is written, one file after the
// other. A row of an attempt is written every two seconds, to see whether each is raised
// and how soon.
type watching struct {
	*bench
	rate    float64 // bytes an hour
	seconds int
}

// webFiles lie in the web folders of an Exchange server.
const webFiles = 5000

func (b *watching) run() error {
	evidence, err := b.evidence("watched", 120e6, 2)
	if err != nil {
		return err
	}
	live := filepath.Join(b.dir, "live")
	growing, err := layOut(evidence, live)
	if err != nil {
		return err
	}
	if err := makeSmall(filepath.Join(live, "EX01/C/Program Files/Microsoft/Exchange Server/V15/FrontEnd/HttpProxy/owa/auth"), webFiles); err != nil {
		return err
	}
	state := filepath.Join(b.dir, "state")
	c := exec.Command(b.postern, "watch", live, "--state", state)
	out, err := c.StdoutPipe()
	if err != nil {
		return err
	}
	if err := c.Start(); err != nil {
		return err
	}
	defer c.Process.Kill()
	for end := time.Now().Add(time.Minute); ; time.Sleep(50 * time.Millisecond) {
		if _, err := os.Stat(filepath.Join(state, "positions")); err == nil {
			if text, _ := os.ReadFile(filepath.Join(state, "positions")); strings.Contains(string(text), `"log"`) {
				break
			}
		}
		if time.Now().After(end) {
			return errors.New("the watch does not begin")
		}
	}
	seen := newSightings(out)
	before, _, err := processUsage(c.Process.Pid)
	if err != nil {
		return err
	}
	start := time.Now()
	written, knocks, err := b.play(growing, live, seen)
	if err != nil {
		return err
	}
	wall := time.Since(start).Seconds()
	after, peak, err := processUsage(c.Process.Pid)
	if err != nil {
		return err
	}
	found, slowest := seen.wait(knocks)
	cpu := (after - before) / wall
	fmt.Printf("watch: %.1f MB in %.0f s (%.0f MB/h), %d web files: %.2f %% of one core (goal ≤ 2 %%), peak RSS %.1f MiB (goal ≤ 64)\n",
		float64(written)/1e6, wall, float64(written)/1e6/wall*3600, webFiles, 100*cpu, peak)
	fmt.Printf("watch: %d of %d attempts raised, the slowest after %.1f s (goal: all, ≤ 5 s)\n", found, knocks, slowest.Seconds())
	return nil
}

// layOut copies the first half of each folder's logs and everything else, and gives the
// rest to be played, by folder.
func layOut(from, to string) (map[string][]string, error) {
	growing := make(map[string][]string)
	err := files(from, func(name string) error {
		if strings.EqualFold(filepath.Ext(name), ".log") {
			dir := filepath.Dir(name)
			growing[dir] = append(growing[dir], name)
			return nil
		}
		return copyTo(from, to, name, -1)
	})
	for dir, names := range growing {
		slices.Sort(names)
		half := len(names) / 2
		for _, name := range names[:half] {
			err = errors.Join(err, copyTo(from, to, name, -1))
		}
		if growing[dir] = names[half:]; half == 0 { // one log for all: its first half
			info, bad := os.Stat(names[0])
			if err = errors.Join(err, bad); bad == nil {
				err = errors.Join(err, copyTo(from, to, names[0], info.Size()/2))
			}
			delete(growing, dir)
		}
	}
	return growing, err
}

func copyTo(from, to, name string, most int64) error {
	rel, err := filepath.Rel(from, name)
	if err != nil {
		return err
	}
	target := filepath.Join(to, rel)
	if err := os.MkdirAll(filepath.Dir(target), 0o755); err != nil {
		return err
	}
	in, err := os.Open(name)
	if err != nil {
		return err
	}
	defer in.Close()
	out, err := os.Create(target)
	if err != nil {
		return err
	}
	r := io.Reader(in)
	if most >= 0 {
		r = io.LimitReader(in, most)
	}
	_, err = io.Copy(out, r)
	return errors.Join(err, out.Close())
}

// play writes the logs at the rate, ten times a second, all folders in turn.
func (b *watching) play(growing map[string][]string, live string, seen *sightings) (written int64, knocks int, err error) {
	from := filepath.Join(b.dir, "watched")
	type player struct {
		names []string
		in    *os.File
		out   *os.File
	}
	var players []*player
	for _, names := range growing {
		players = append(players, &player{names: names})
	}
	iis := filepath.Join(live, "EX01/C/inetpub/logs/LogFiles/W3SVC1/u_ex991231.log")
	if err := os.WriteFile(iis, []byte("#Software: Microsoft Internet Information Services 10.0\r\n#Version: 1.0\r\n#Fields: date time s-ip cs-method cs-uri-stem cs-uri-query s-port cs-username c-ip cs(User-Agent) cs(Referer) sc-status sc-substatus sc-win32-status time-taken\r\n"), 0o644); err != nil {
		return 0, 0, err
	}
	const step = 100 * time.Millisecond
	each := int64(b.rate / 3600 * step.Seconds() / float64(max(len(players), 1)))
	tick := time.NewTicker(step)
	defer tick.Stop()
	for n := range b.seconds * int(time.Second/step) {
		<-tick.C
		for _, p := range players {
			if p.in == nil {
				if len(p.names) == 0 {
					continue
				}
				rel, err := filepath.Rel(from, p.names[0])
				if err != nil {
					return 0, 0, err
				}
				if p.in, err = os.Open(p.names[0]); err != nil {
					return 0, 0, err
				}
				if p.out, err = os.Create(filepath.Join(live, rel)); err != nil {
					return 0, 0, err
				}
				p.names = p.names[1:]
			}
			m, err := io.CopyN(p.out, p.in, each)
			written += m
			if err != nil {
				p.in.Close()
				p.out.Close()
				p.in = nil
			}
		}
		if n%20 == 10 {
			name := fmt.Sprintf("/aspnet_client/knock%d.aspx", knocks)
			f, err := os.OpenFile(iis, os.O_APPEND|os.O_WRONLY, 0)
			if err != nil {
				return 0, 0, err
			}
			seen.wrote(name)
			_, err = fmt.Fprintf(f, "2021-03-03 10:00:00 10.0.0.5 GET %s - 443 - 198.51.100.%d Mozilla/5.0 - 404 0 2 15\r\n", name, knocks%250+1)
			if err = errors.Join(err, f.Close()); err != nil {
				return 0, 0, err
			}
			knocks++
		}
	}
	return written, knocks, nil
}

// sightings notes when attempts were written and when they were raised.
type sightings struct {
	mu      sync.Mutex
	at      map[string]time.Time
	took    map[string]time.Duration
	arrived chan struct{}
}

func newSightings(r io.Reader) *sightings {
	s := &sightings{at: make(map[string]time.Time), took: make(map[string]time.Duration), arrived: make(chan struct{}, 1)}
	go func() {
		lines := bufio.NewScanner(r)
		lines.Buffer(nil, 1<<20)
		for lines.Scan() {
			s.read(lines.Text())
		}
	}()
	return s
}

func (s *sightings) wrote(name string) {
	s.mu.Lock()
	defer s.mu.Unlock()
	s.at[name] = time.Now()
}

func (s *sightings) read(line string) {
	s.mu.Lock()
	defer s.mu.Unlock()
	for name, at := range s.at {
		if _, twice := s.took[name]; !twice && strings.Contains(line, name) {
			s.took[name] = time.Since(at)
		}
	}
	select {
	case s.arrived <- struct{}{}:
	default:
	}
}

// wait waits for the last of the attempts and gives how many were raised, and the
// longest time that one took.
func (s *sightings) wait(n int) (found int, slowest time.Duration) {
	for end := time.After(10 * time.Second); ; {
		s.mu.Lock()
		found, slowest = len(s.took), 0
		for _, took := range s.took {
			slowest = max(slowest, took)
		}
		s.mu.Unlock()
		if found == n {
			return found, slowest
		}
		select {
		case <-s.arrived:
		case <-end:
			return found, slowest
		}
	}
}
