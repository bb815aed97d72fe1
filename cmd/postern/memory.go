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
	memoryFloor = 28 << 20 // the packs' rules are some 2 MB of what is kept
	memorySpare = 4 << 20
	memoryEvery = 100 * time.Millisecond
	// memoryMost is the garbage that may lie beside much that is kept, such as the
	// compiled rules of all public collections.
	memoryMost = 64 << 20
	// garbagePercent lets garbage reach the bound: collecting sooner costs time and
	// frees nothing that anybody waits for.
	garbagePercent = 400
)

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
		live := []metrics.Sample{{Name: "/gc/heap/live:bytes"}}
		for {
			select {
			case <-done:
				debug.SetMemoryLimit(before)
				debug.SetGCPercent(percent)
				return
			case <-tick.C:
				metrics.Read(live)
				kept := int64(live[0].Value.Uint64())
				debug.SetMemoryLimit(max(floor, kept+min(kept/2, memoryMost)+memorySpare))
			}
		}
	}()
	return func() { close(done); <-ended }
}
