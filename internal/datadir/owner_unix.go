//go:build unix

package datadir

import (
	"io/fs"
	"syscall"
)

// ownerOf says whose a file is and how many names it has.
func ownerOf(info fs.FileInfo) (uid int, links uint64, known bool) {
	s, ok := info.Sys().(*syscall.Stat_t)
	if !ok {
		return 0, 0, false
	}
	return int(s.Uid), uint64(s.Nlink), true
}
