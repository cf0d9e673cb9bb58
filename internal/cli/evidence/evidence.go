// Package evidence opens what a command is shown: data folders, CAR files and key files.
package evidence

import (
	"bufio"
	"context"
	"encoding/base64"
	"errors"
	"fmt"
	"io"
	"os"
	"path/filepath"
	"time"

	"filippo.io/age"

	"github.com/ipfs/go-cid"

	"github.com/writ-run/writ/agent/wire"
	"github.com/writ-run/writ/internal/archive"
	"github.com/writ-run/writ/internal/cli"
	"github.com/writ-run/writ/internal/datadir"
	"github.com/writ-run/writ/internal/journal"
	"github.com/writ-run/writ/internal/store"
	"github.com/writ-run/writ/provenance"
)

// ReceiptWait bounds how long a command stays for a receipt: the log publishes a checkpoint a second, or more often.
const ReceiptWait = 3 * time.Second

// OpenData opens the store of a data folder that is there already.
func OpenData(ctx context.Context, dir string) (journal.Database, error) {
	there, err := datadir.CheckStore(dir)
	switch {
	case err != nil:
		return nil, err
	case !there && !isThere(dir):
		return nil, cli.Usage("%s is no data folder: there is none; give the --data of the server", dir)
	case !there:
		return nil, cli.Usage("%s is no data folder yet: it has no writ.db with anything in it; give the --data of the "+
			"server, or start it: writ serve", dir)
	}
	return OpenBeside(ctx, dir)
}

func isThere(dir string) bool {
	_, err := os.Stat(dir)
	return err == nil
}

// OpenBeside opens the store of a data folder that a server may be using, or makes one if there was none. If no server
// uses it, it has the folder to itself while it opens the store, which looks for damage; a server has done so at its
// start.
func OpenBeside(ctx context.Context, dir string) (journal.Database, error) {
	lock, alone, err := datadir.TryLock(dir)
	if err != nil {
		return nil, err
	}
	defer lock.Close()
	if _, err := datadir.CheckStore(dir); err != nil {
		return nil, err
	}
	db, err := store.Open(ctx, store.Config{DSN: store.SQLite(filepath.Join(dir, datadir.StoreFile)), Shared: !alone})
	if errors.Is(err, journal.ErrCorrupt) || errors.Is(err, journal.ErrNewer) {
		return nil, err
	}
	if err != nil {
		return nil, cli.Failf(cli.ExitInternal, "store", "%s", err)
	}
	return db, nil
}

// OpenCAR opens and checks a CAR file. The caller closes the file.
func OpenCAR(path string) (*provenance.CAR, *os.File, error) {
	f, err := os.Open(path)
	if err != nil {
		return nil, nil, err
	}
	info, err := f.Stat()
	var src *provenance.CAR
	if err == nil && !info.Mode().IsRegular() {
		err = cli.Usage("%s is not a file", path)
	}
	if err == nil {
		src, err = provenance.OpenCAR(f, info.Size())
	}
	if err != nil {
		f.Close()
		if fault, ok := errors.AsType[*provenance.Fault](err); ok {
			return nil, nil, fmt.Errorf("%s: %w; fetch or export the file again", path, fault)
		}
		return nil, nil, err
	}
	return src, f, nil
}

// OpenKeys reads a file of keys; without one there are none.
func OpenKeys(path, identity string) (map[provenance.Link]provenance.LeafKey, error) {
	return OpenKeysBy(path, identity, func(r io.Reader) io.Reader { return r })
}

// OpenKeysBy is [OpenKeys] of what by makes of the file.
func OpenKeysBy(path, identity string, by func(io.Reader) io.Reader) (map[provenance.Link]provenance.LeafKey, error) {
	if path == "" {
		return nil, nil
	}
	f, err := os.Open(path)
	if err != nil {
		return nil, err
	}
	defer f.Close()
	in, err := decryptKeys(by(f), identity)
	if err != nil {
		return nil, cli.Failf(cli.ExitUsage, "keys.locked", "%s: %s", path, err)
	}
	keys, err := provenance.ReadKeys(in)
	if err != nil {
		return nil, fmt.Errorf("%s: %w", path, err)
	}
	return keys, nil
}

// decryptKeys reads a key file that may be encrypted to a reader's age identity, by writ disclose.
func decryptKeys(f io.Reader, identity string) (io.Reader, error) {
	in := bufio.NewReader(f)
	if begin, _ := in.Peek(len(ageMagic)); string(begin) != ageMagic {
		return in, nil
	}
	if identity == "" {
		return nil, errors.New("it is encrypted; give --identity with the file that age-keygen made")
	}
	k, err := os.Open(identity)
	if err != nil {
		return nil, err
	}
	defer k.Close()
	ids, err := age.ParseIdentities(k)
	if err != nil {
		return nil, errors.New("the identity file is none of age's") // what is in it is not shown
	}
	out, err := age.Decrypt(in, ids...)
	if _, other := errors.AsType[*age.NoIdentityMatchError](err); other {
		return nil, errors.New("it is encrypted to somebody else")
	}
	return out, err
}

// ageMagic is how every age file begins.
const ageMagic = "age-encryption.org/v1\n"

// ExportFolder writes the record of a run in a data folder as a CAR, and returns its leaves' keys if they are wanted.
func ExportFolder(ctx context.Context, data string, run cid.Cid, w io.Writer, keys bool) ([]provenance.Leaf, error) {
	db, err := OpenData(ctx, data)
	if err != nil {
		return nil, err
	}
	defer db.Close()
	if _, err := archive.Export(ctx, db, w, run); errors.Is(err, journal.ErrNotFound) {
		return nil, cli.Failf(cli.ExitIncomplete, "not_found", "the data folder %s has no run %s; writ runs ls shows yours",
			data, run)
	} else if err != nil {
		return nil, err
	}
	if !keys {
		return nil, nil
	}
	all, err := archive.Keys(ctx, db, run)
	if err != nil {
		return nil, err
	}
	var leaves []provenance.Leaf
	for link, k := range all {
		leaves = append(leaves, provenance.Leaf{CID: link, Key: k})
	}
	return leaves, nil
}

// LeavesOf reads the keys that a server gave with a record.
func LeavesOf(p wire.Provenance) ([]provenance.Leaf, error) {
	var leaves []provenance.Leaf
	for name, key := range p.Keys {
		link, err := cid.Decode(name)
		var k []byte
		if err == nil {
			k, err = base64.StdEncoding.Strict().DecodeString(key)
		}
		if err != nil || len(k) != len(provenance.LeafKey{}) {
			return nil, cli.Failf(cli.ExitIntegrity, "keys.form",
				"the server sent keys that are none; export without --keys, or tell the operator")
		}
		leaves = append(leaves, provenance.Leaf{CID: link, Key: provenance.LeafKey(k)})
	}
	return leaves, nil
}
