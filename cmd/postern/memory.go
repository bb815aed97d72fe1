package main

import (
	"runtime/debug"
	"runtime/metrics"
	"time"
)

// Bounds of the memory that the collector of garbage lets a hunt have: a hunt
// makes much garbage and keeps little, and may run on the mail server itself, where
// memory is short.
const (
	memoryFloor = 29 << 20
	memorySpare = 5 << 20
	memoryEvery = 100 * time.Millisecond
	// memoryPlain is about what a hunt keeps that has no rules of the user. What is
	// kept beyond it may have several times as much garbage beside it: looking through
	// it takes the collector long, and must not be done for every few megabytes.
	memoryPlain = 20 << 20
	// memorySigma and memoryYARA are added where the user brings rules: each time that
	// garbage is collected all of them are looked through. Files that YARA rules are asked
	// about leave more of it than rows and records do.
	memorySigma = 32 << 20
	memoryYARA  = 64 << 20
	// memoryMost is the garbage that may lie beside much that is kept, such as the
	// compiled rules of all public collections.
	memoryMost = 64 << 20
	// garbagePercent lets garbage reach the bound: collecting sooner costs time and
	// frees nothing that anybody waits for.
	garbagePercent = 400
)

// memoryBound gives the bound for what is really kept, and for what stacks and the
// collector take beside it, which counts towards the bound as well.
func memoryBound(kept, beside int64) int64 {
	garbage := kept/4 + 2*max(0, kept-memoryPlain)
	return kept + beside + min(garbage, memoryMost) + memorySpare
}

// boundMemory keeps garbage from piling up beyond some megabytes, however large
// the evidence. What is really kept, such as the findings of a server under heavy
// attack, raises the bound, so that the collector never runs in circles. A bound
// that the user has set in GOMEMLIMIT stands. The function that it gives ends it.
func (a *app) boundMemory() (stop func()) { return a.boundMemoryAt(memoryFloor, garbagePercent) }

// boundMemoryAt is the same with another floor, and another share of garbage below it.
func (a *app) boundMemoryAt(floor int64, garbage int) (stop func()) {
	if _, set := a.env("GOMEMLIMIT"); set {
		return func() {}
	}
	before, percent := debug.SetMemoryLimit(floor), debug.SetGCPercent(garbage)
	done, ended := make(chan struct{}), make(chan struct{})
	go func() {
		defer close(ended)
		tick := time.NewTicker(memoryEvery)
		defer tick.Stop()
		of := []metrics.Sample{{Name: "/gc/heap/live:bytes"}, {Name: "/memory/classes/total:bytes"}, {Name: "/memory/classes/heap/released:bytes"},
			{Name: "/memory/classes/heap/objects:bytes"}, {Name: "/memory/classes/heap/free:bytes"},
			{Name: "/memory/classes/heap/unused:bytes"}}
		for {
			select {
			case <-done:
				debug.SetMemoryLimit(before)
				debug.SetGCPercent(percent)
				return
			case <-tick.C:
				metrics.Read(of)
				value := func(i int) int64 { return int64(of[i].Value.Uint64()) }
				debug.SetMemoryLimit(max(floor, memoryBound(value(0), value(1)-value(2)-value(3)-value(4)-value(5))))
			}
		}
	}()
	return func() { close(done); <-ended }
}

// watchPercent is the garbage, in percent of what is kept, that a watch lets pile up: it
// keeps some 20 MiB for years and makes a little garbage every second.
const watchPercent = 40

// smallMemory is for a command that runs for ever: no clock that looks at memory, and what
// loading has left is given back.
func (a *app) smallMemory() (stop func()) {
	if _, set := a.env("GOMEMLIMIT"); set {
		return func() {}
	}
	percent := debug.SetGCPercent(watchPercent)
	debug.FreeOSMemory()
	return func() { debug.SetGCPercent(percent) }
}
