package datadir

import (
	"os"
	"path/filepath"
	"slices"
	"strings"
)

// ExposedSecrets returns those of the files with secrets that others on this machine may read though their owner, who
// this user is, could forbid it: OpenSSH's rule for keys. The keys in the data folder are looked at too. What a
// platform mounts has the mode that the platform gave it, and is left alone: files of other owners, those below
// /run/secrets and $CREDENTIALS_DIRECTORY, and those that Kubernetes puts behind a link named ..data.
func ExposedSecrets(dir string, files []string) []string {
	keys, _ := filepath.Glob(filepath.Join(dir, "*.key")) // an error is one of the pattern
	all := slices.Concat(keys, files)
	slices.Sort(all)
	return slices.DeleteFunc(slices.Compact(all), func(path string) bool { return !isExposed(path) })
}

// HideSecret returns the command that keeps others from reading a file.
func HideSecret(path string) string {
	return "chmod 600 '" + strings.ReplaceAll(path, "'", `'\''`) + "'"
}

func isExposed(path string) bool {
	info, err := os.Stat(path)
	if err != nil || !info.Mode().IsRegular() || info.Mode().Perm()&0o044 == 0 {
		return false
	}
	uid, _, known := ownerOf(info)
	return known && uid == os.Geteuid() && !isMounted(path)
}

func isMounted(path string) bool {
	path, err := filepath.Abs(path)
	if err != nil {
		return false
	}
	if to, err := os.Readlink(path); err == nil && strings.HasPrefix(to, "..data/") {
		return true
	}
	for _, dir := range []string{"/run/secrets", os.Getenv("CREDENTIALS_DIRECTORY")} {
		if dir != "" && strings.HasPrefix(path, filepath.Clean(dir)+"/") {
			return true
		}
	}
	return strings.Contains(path, "/..data/")
}
