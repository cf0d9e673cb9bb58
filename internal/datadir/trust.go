package datadir

import (
	"errors"
	"io/fs"
	"os"
	"path/filepath"
)

// CheckTrust refuses a data folder that others could have filled, or can change: one that belongs to another user, that
// others may write to, or in which a link, a file of somebody else's or one with a second name stands. Keys that are
// read from such a folder are not the operator's, and what is written there may go anywhere. A folder that is not there
// is no fault. The files below log/ are built again if they are not right, so that of those only the folders are looked
// at.
func CheckTrust(dir string) error {
	info, err := os.Stat(dir) // the folder itself may be a link, which is the operator's word
	if errors.Is(err, fs.ErrNotExist) {
		return nil
	}
	if err != nil {
		return unusable("the data folder cannot be read: %s", err)
	}
	if !info.IsDir() {
		return unusable("%s is no folder; give another --data", dir)
	}
	if err := checkOwn(dir, info); err != nil {
		return err
	}
	if err := checkInside(dir, true); err != nil {
		return err
	}
	for _, sub := range []string{LogFolder, filepath.Join(LogFolder, ".state"), filepath.Join(LogFolder, "tile")} {
		if err := checkInside(filepath.Join(dir, sub), false); err != nil {
			return err
		}
	}
	return nil
}

// checkInside looks at what a folder holds; at its files only if that is asked for.
func checkInside(dir string, files bool) error {
	entries, err := os.ReadDir(dir)
	if errors.Is(err, fs.ErrNotExist) {
		return nil
	}
	if err != nil {
		return unusable("the data folder cannot be read: %s", err)
	}
	for _, e := range entries {
		path := filepath.Join(dir, e.Name())
		info, err := e.Info() // of a link, the link
		if errors.Is(err, fs.ErrNotExist) {
			continue // a command beside has come and gone
		}
		switch {
		case err != nil:
			return unusable("the data folder cannot be read: %s", err)
		case info.Mode()&fs.ModeSymlink != 0:
			return unusable("%s is a link, which no server has made; look where it leads, and move it away", path)
		case !info.IsDir() && !info.Mode().IsRegular():
			return unusable("%s is neither a file nor a folder; move it away", path)
		case files || info.IsDir():
			if err := checkOwn(path, info); err != nil {
				return err
			}
		}
	}
	return nil
}

// checkOwn says whether a file or folder is this user's alone to write.
func checkOwn(path string, info fs.FileInfo) error {
	uid, links, known := ownerOf(info)
	me := os.Geteuid()
	switch {
	case known && uid != me && uid != 0:
		return unusable("%s belongs to user %d and this is user %d: what it holds is not to be trusted; chown it if it is "+
			"yours, "+
			"or give another --data", path, uid, me)
	case info.Mode().Perm()&0o022 != 0:
		return unusable("others can write %s: what it holds is not to be trusted; if nobody has, chmod go-w it", path)
	case known && info.Mode().IsRegular() && links > 1:
		return unusable("%s has another name besides this one, by which others may change it; put a copy in its place", path)
	}
	return nil
}
