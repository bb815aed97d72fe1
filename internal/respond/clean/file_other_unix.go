//go:build unix && !linux

package clean

import "syscall"

func renameNew(a int, name string, b int, as string) error { return renameChecked(a, name, b, as) }

func accessTime(st *syscall.Stat_t) (int64, int64) {
	return int64(st.Atimespec.Sec), int64(st.Atimespec.Nsec)
}
