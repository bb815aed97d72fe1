package main

import (
	"fmt"
	"os"
	"os/exec"
	"strconv"
	"strings"
	"syscall"
	"time"

	"golang.org/x/sys/unix"
)

// usage is what one run of a program took.
type usage struct {
	cpu, wall float64 // seconds
	rss       float64 // MiB
}

// run runs a program to its end. Exit codes above 2 are those of a hunt that
// found something; ripgrep's 1 is that it found nothing.
func run(c *exec.Cmd) (usage, error) {
	c.Stderr = os.Stderr
	start := time.Now()
	err := c.Run()
	if c.ProcessState == nil {
		return usage{}, err
	}
	if code := c.ProcessState.ExitCode(); err != nil && code != 3 && code != 4 {
		return usage{}, fmt.Errorf("%s: %w", c.Path, err)
	}
	r := c.ProcessState.SysUsage().(*syscall.Rusage)
	return usage{
		cpu:  (c.ProcessState.UserTime() + c.ProcessState.SystemTime()).Seconds(),
		wall: time.Since(start).Seconds(),
		rss:  float64(r.Maxrss) / 1024,
	}, nil
}

// evict drops the files of a folder from the page cache, which needs no rights,
// once they are on disk.
func evict(dir string) error {
	unix.Sync()
	return files(dir, func(path string) error {
		f, err := os.Open(path)
		if err != nil {
			return err
		}
		defer f.Close()
		return unix.Fadvise(int(f.Fd()), 0, 0, unix.FADV_DONTNEED)
	})
}

// processUsage gives the CPU time that a running process has used, and its peak memory.
func processUsage(pid int) (cpu, peak float64, err error) {
	stat, err := os.ReadFile(fmt.Sprintf("/proc/%d/stat", pid))
	if err != nil {
		return 0, 0, err
	}
	_, rest, _ := strings.Cut(string(stat), ") ") // the name may hold anything
	fields := strings.Fields(rest)
	if len(fields) < 13 {
		return 0, 0, fmt.Errorf("/proc/%d/stat: %q", pid, rest)
	}
	for _, i := range []int{11, 12} { // user and system, in hundredths of a second
		ticks, err := strconv.ParseFloat(fields[i], 64)
		if err != nil {
			return 0, 0, err
		}
		cpu += ticks / 100
	}
	status, err := os.ReadFile(fmt.Sprintf("/proc/%d/status", pid))
	if err != nil {
		return 0, 0, err
	}
	for line := range strings.Lines(string(status)) {
		if rest, ok := strings.CutPrefix(line, "VmHWM:"); ok {
			_, err = fmt.Sscan(rest, &peak)
		}
	}
	return cpu, peak / 1024, err
}

// ownUsage gives the CPU time that this process has used.
func ownUsage() (time.Duration, error) {
	var r unix.Rusage
	err := unix.Getrusage(unix.RUSAGE_SELF, &r)
	return time.Duration(r.Utime.Nano() + r.Stime.Nano()), err
}
