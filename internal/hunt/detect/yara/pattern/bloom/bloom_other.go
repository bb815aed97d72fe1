//go:build !amd64

package bloom

// fast says that markSlow has to do all.
func fast() bool { return false }

func mark([]uint8, []byte, []uint32, uint) {}
