//go:build !linux

package main

import (
	"errors"
	"os/exec"
	"time"
)

type usage struct{ cpu, wall, rss float64 }

var errLinux = errors.New("the benchmarks run on Linux only: they read its accounting of processes")

func run(*exec.Cmd) (usage, error) { return usage{}, errLinux }

func evict(string) error { return errLinux }

func processUsage(int) (cpu, peak float64, err error) { return 0, 0, errLinux }

func ownUsage() (time.Duration, error) { return 0, errLinux }
