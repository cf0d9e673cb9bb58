package datadir

import (
	"errors"
	"io/fs"
	"os"
	"path/filepath"
	"strings"
)

const (
	// StageSuffix ends the name of the folder beside a data folder in which a restoration of it is prepared.
	StageSuffix = ".restoring"
	// StageMark is the file in such a folder by which a restoration knows its own.
	StageMark = "writ-restoring"
)

// CheckStore says whether a data folder has a store, and refuses one that had a store and has it no more: a new store
// in its place would know nothing of what was spent. A server makes the mark and the log only once its store stands, so
// they show that there was one; the operator's key is no sign, since writ key bind makes it before the first start. A
// store without a byte is what a first start that was cut short leaves: it counts as none. A folder for which a
// restoration was begun and not ended is refused too.
func CheckStore(dir string) (there bool, err error) {
	stage := strings.TrimRight(dir, "/")
	if !strings.HasSuffix(stage, StageSuffix) {
		stage += StageSuffix
	}
	info, err := os.Stat(filepath.Join(dir, StoreFile))
	if err != nil && !errors.Is(err, fs.ErrNotExist) {
		return false, unusable("the data folder cannot be read: %s", err)
	}
	missing := err != nil
	switch {
	case !missing && !info.Mode().IsRegular():
		return false, unusable("%s is no file; move it away", filepath.Join(dir, StoreFile))
	case exists(filepath.Join(stage, StageMark)) && (missing || stage == strings.TrimRight(dir, "/")):
		return false, lost("a restoration to %s was cut short, or is under way: wait for its end or begin it again with "+
			"writ restore; to give it up, remove %s", strings.TrimSuffix(stage, StageSuffix), stage)
	case !missing && info.Size() > 0:
		return true, nil
	}
	state := "has no " + StoreFile
	if !missing {
		state = "has an empty " + StoreFile
	}
	for _, sign := range []string{StoreFile + "-mark", StoreFile + "-wal", LogFolder} {
		if exists(filepath.Join(dir, sign)) {
			return false, lost("%s %s, and its %s shows that there was a store: a new one would forget what was spent; put "+
				"the store back, or restore a backup into a new folder: writ restore BACKUP --data NEW", dir, state, sign)
		}
	}
	return false, nil
}

func exists(path string) bool {
	_, err := os.Lstat(path)
	return err == nil
}
