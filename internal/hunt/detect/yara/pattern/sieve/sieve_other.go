//go:build !amd64

package sieve

// fast says that markSlow has to do all.
func fast() bool { return false }

func (t *tables) markBlocks([]uint64, []byte) {}
