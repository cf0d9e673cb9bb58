// Package backup copies a server's data folder while it is in use, checks such copies, and makes a folder of one that a
// server can go on with.
//
// A backup is one file, a tar archive:
//
//	manifest.json  what is in it, with digests
//	manifest.sig   the operator's signature over the manifest
//	writ.db        the store as it was at one moment
//	docs.db        the documents that agents search, as they were just after; only if there are any
//	keys.age       the folder's keys, sealed to a reader; only on wish
//
// The log's files are not in it: they are built again from the store. The store holds the keys of sealed payloads, so a
// backup is as secret as the folder itself.
//
// [Restore] is not unpacking. Between a backup and its restoration a server has paid, and its journal does not know: so
// what was reserved counts as spent, the chain is asked what was sent, sessions end, and the log goes on under another
// name, for what it has lost may have been seen.
package backup

import (
	"archive/tar"
	"bytes"
	"context"
	"crypto/ed25519"
	"crypto/sha256"
	"encoding/hex"
	"encoding/json"
	"errors"
	"fmt"
	"io"
	"io/fs"
	"os"
	"path/filepath"
	"slices"
	"strings"
	"time"

	"filippo.io/age"

	"github.com/writ-run/writ/internal/datadir"
	"github.com/writ-run/writ/internal/library"
	"github.com/writ-run/writ/internal/store"
)

// A Refusal says why something is not done, and what helps. Damaged is about what a backup holds.
type Refusal struct {
	Code    string
	Says    string
	Damaged bool
	Chain   bool // it could not be asked
}

func (r *Refusal) Error() string { return r.Says }

func refuse(format string, args ...any) error {
	return &Refusal{Code: "backup", Says: fmt.Sprintf(format, args...)}
}

func damaged(format string, args ...any) error {
	return &Refusal{Code: "backup.damaged", Says: fmt.Sprintf(format, args...) + "; take another backup", Damaged: true}
}

// Names in an archive.
const (
	manifestFile  = "manifest.json"
	signatureFile = "manifest.sig"
	keysFile      = "keys.age"

	manifestMagic = "writ/backup/1\n" // before what is signed
	maxManifest   = 1 << 20
	maxKeys       = 1 << 20
)

// A Manifest says what a backup holds.
type Manifest struct {
	Version  int            `json:"version"` // 1
	Made     string         `json:"made"`    // RFC 3339, UTC: the moment of which the store is, or just before
	Program  string         `json:"program"`
	Operator string         `json:"operator"` // public key, hex
	Holds    store.Contents `json:"holds"`
	Files    []File         `json:"files"`
	Keys     string         `json:"keys"` // "left out" or "sealed"
	// Documents are those that agents search.
	Documents int64 `json:"documents,omitempty"`
}

// A File of an archive.
type File struct {
	Name   string `json:"name"`
	Size   int64  `json:"size"`
	SHA256 string `json:"sha256"`
}

// A Making says how a backup is made.
type Making struct {
	Data    string // folder
	To      string // file, or a folder in which the file gets a name by the time
	Program string
	Readers []age.Recipient // who can open the keys; they are left out if there are none
	Tell    func(what string, done, total int64)
}

// Make makes a backup, and reads it again before it stands under its name. It returns the file's name.
func Make(ctx context.Context, m Making) (path string, out Manifest, err error) {
	if err := datadir.CheckTrust(m.Data); err != nil {
		return "", out, err
	}
	if there, err := datadir.CheckStore(m.Data); err != nil {
		return "", out, err
	} else if !there {
		return "", out, refuse("%s is no data folder: it has no writ.db; give the --data of the server", m.Data)
	}
	now := time.Now().UTC()
	path = m.To
	if info, err := os.Stat(path); err == nil && info.IsDir() || strings.HasSuffix(path, "/") {
		path = filepath.Join(path, "writ-"+now.Format("20060102T150405Z")+".backup")
	}
	if _, err := os.Lstat(path); err == nil {
		return "", out, refuse("%s is there already; give another name, or a folder", path)
	}
	stage, closeStage, err := openStage(filepath.Dir(path))
	if err != nil {
		return "", out, refuse("the backup cannot be written there: %s", err)
	}
	defer func() { err = errors.Join(err, closeStage()) }()
	key, err := operatorKey(filepath.Join(m.Data, operatorFile))
	if err != nil {
		return "", out, err
	}
	out = Manifest{
		Version: 1, Made: now.Format(time.RFC3339), Program: m.Program,
		Operator: hex.EncodeToString(key.Public().(ed25519.PublicKey)), Keys: "left out",
	}
	if err := m.gather(ctx, stage, &out); err != nil {
		return "", out, err
	}
	draft, err := m.writeChecked(ctx, stage, out, key)
	if err != nil {
		return "", out, err
	}
	if err := os.Link(draft, path); err != nil { // fails if something has come to stand there
		return "", out, refuse("the backup cannot be put under its name: %s", err)
	}
	return path, out, syncFolder(filepath.Dir(path))
}

// writeChecked writes the archive, and reads it again.
func (m *Making) writeChecked(
	ctx context.Context, stage string, out Manifest, key ed25519.PrivateKey,
) (draft string, err error) {
	draft = filepath.Join(stage, "archive")
	if err := writeArchive(ctx, draft, stage, out, key, m.Tell); err != nil {
		return "", err
	}
	again := filepath.Join(stage, "again")
	if err := os.Mkdir(again, 0o700); err != nil {
		return "", err
	}
	_, err = unpack(ctx, draft, again, m.Tell)
	return draft, err
}

// gather puts the files of a backup into a folder.
func (m *Making) gather(ctx context.Context, stage string, out *Manifest) error {
	copied := filepath.Join(stage, datadir.StoreFile)
	err := store.Snapshot(ctx, filepath.Join(m.Data, datadir.StoreFile), copied, func(done, total int) {
		m.tell("copying pages", int64(done), int64(total))
	})
	if err != nil {
		return err
	}
	names := []string{datadir.StoreFile}
	err = library.Copy(ctx, filepath.Join(m.Data, library.FileName), filepath.Join(stage, library.FileName))
	switch {
	case err == nil:
		names = append(names, library.FileName)
	case !errors.Is(err, fs.ErrNotExist):
		return err
	}
	if len(m.Readers) > 0 {
		if err := sealKeys(m.Data, filepath.Join(stage, keysFile), m.Readers); err != nil {
			return err
		}
		names, out.Keys = append(names, keysFile), "sealed"
	}
	for _, name := range names { // before SQLite looks at the copy, which may change how it is laid out
		f, err := describeFile(ctx, filepath.Join(stage, name))
		if err != nil {
			return err
		}
		out.Files = append(out.Files, f)
	}
	if out.Documents, err = checkDocuments(ctx, stage, *out); err != nil {
		return damaged("the data folder is damaged: %s", err)
	}
	looked := copied + ".looked"
	if err := copyFile(ctx, copied, looked); err != nil {
		return err
	}
	out.Holds, err = store.Check(ctx, looked)
	if err != nil {
		return damaged("the data folder is damaged: %s", err)
	}
	return nil
}

// checkDocuments says how many documents a folder with the files of a backup has.
func checkDocuments(ctx context.Context, dir string, m Manifest) (int64, error) {
	if !slices.ContainsFunc(m.Files, func(f File) bool { return f.Name == library.FileName }) {
		return 0, nil
	}
	return library.Check(ctx, filepath.Join(dir, library.FileName))
}

func (m *Making) tell(what string, done, total int64) {
	if m.Tell != nil {
		m.Tell(what, done, total)
	}
}

// sealKeys writes all keys of a folder to a file that only the readers can open.
func sealKeys(data, to string, readers []age.Recipient) error {
	list, err := filepath.Glob(filepath.Join(data, "*.key"))
	if err != nil {
		return err
	}
	keys := map[string]string{}
	for _, path := range append(list, filepath.Join(data, datadir.BindingFile)) {
		b, err := os.ReadFile(path)
		if errors.Is(err, fs.ErrNotExist) {
			continue
		}
		if err != nil {
			return err
		}
		keys[filepath.Base(path)] = hex.EncodeToString(b)
	}
	text, err := json.Marshal(keys)
	if err != nil {
		return err
	}
	var sealed bytes.Buffer
	w, err := age.Encrypt(&sealed, readers...)
	if err == nil {
		_, err = w.Write(text)
	}
	if err == nil {
		err = w.Close()
	}
	if err != nil {
		return fmt.Errorf("seal the keys: %w", err)
	}
	return datadir.WriteSecret(to, sealed.Bytes())
}

func describeFile(ctx context.Context, path string) (File, error) {
	f, err := os.Open(path)
	if err != nil {
		return File{}, err
	}
	defer f.Close()
	sum := sha256.New()
	n, err := io.Copy(sum, &reading{ctx, f, nil})
	return File{filepath.Base(path), n, hex.EncodeToString(sum.Sum(nil))}, err
}

func copyFile(ctx context.Context, from, to string) error {
	in, err := os.Open(from)
	if err != nil {
		return err
	}
	defer in.Close()
	out, err := os.OpenFile(to, os.O_CREATE|os.O_EXCL|os.O_WRONLY, 0o600)
	if err != nil {
		return err
	}
	_, err = io.Copy(out, &reading{ctx, in, nil})
	return errors.Join(err, out.Close())
}

// A reading ends with its context.
type reading struct {
	ctx  context.Context
	r    io.Reader
	tell func(n int)
}

func (r *reading) Read(b []byte) (int, error) {
	if err := context.Cause(r.ctx); err != nil {
		return 0, err
	}
	n, err := r.r.Read(b)
	if r.tell != nil {
		r.tell(n)
	}
	return n, err
}

func writeArchive(ctx context.Context, path, stage string, m Manifest, key ed25519.PrivateKey,
	tell func(string, int64, int64)) (err error) {
	text, err := json.MarshalIndent(m, "", "  ")
	if err != nil {
		return err
	}
	f, err := os.OpenFile(path, os.O_CREATE|os.O_EXCL|os.O_WRONLY, 0o600)
	if err != nil {
		return err
	}
	defer func() { err = errors.Join(err, f.Close()) }()
	w := tar.NewWriter(f)
	sig := ed25519.Sign(key, append([]byte(manifestMagic), text...))
	for _, small := range []struct {
		name string
		data []byte
	}{{manifestFile, text}, {signatureFile, []byte(hex.EncodeToString(sig) + "\n")}} {
		err := w.WriteHeader(&tar.Header{Name: small.name, Mode: 0o600, Size: int64(len(small.data))})
		if err == nil {
			_, err = w.Write(small.data)
		}
		if err != nil {
			return err
		}
	}
	for _, file := range m.Files {
		if err := addFile(ctx, w, filepath.Join(stage, file.Name), file, tell); err != nil {
			return err
		}
	}
	if err := w.Close(); err != nil {
		return err
	}
	return f.Sync()
}

func addFile(ctx context.Context, w *tar.Writer, path string, file File, tell func(string, int64, int64)) error {
	f, err := os.Open(path)
	if err != nil {
		return err
	}
	defer f.Close()
	if err := w.WriteHeader(&tar.Header{Name: file.Name, Mode: 0o600, Size: file.Size}); err != nil {
		return err
	}
	_, err = io.Copy(w, &reading{ctx, f, counter("writing "+file.Name, file.Size, tell)})
	return err
}

func counter(what string, total int64, tell func(string, int64, int64)) func(int) {
	if tell == nil {
		return nil
	}
	done := int64(0)
	return func(n int) {
		done += int64(n)
		tell(what, done, total)
	}
}

// Check reads a backup whole: its signature, its digests, and all that the store in it says. operator, if it is not
// empty, is the key that must have signed it.
func Check(ctx context.Context, path, operator string, tell func(string, int64, int64)) (m Manifest, err error) {
	dir, err := os.MkdirTemp(filepath.Dir(path), ".writ-check-*")
	if err != nil {
		return m, refuse("a backup is unpacked beside itself to be checked: %s", err)
	}
	defer func() { err = errors.Join(err, os.RemoveAll(dir)) }()
	return checkInto(ctx, path, dir, operator, tell)
}

// checkInto unpacks a backup into an empty folder and checks it there.
func checkInto(ctx context.Context, path, dir, operator string, tell func(string, int64, int64)) (Manifest, error) {
	m, err := unpack(ctx, path, dir, tell)
	if err != nil {
		return m, err
	}
	if operator != "" && !strings.EqualFold(operator, m.Operator) {
		return m, damaged("the backup is signed by operator key %s, not by %s", m.Operator, operator)
	}
	holds, err := store.Check(ctx, filepath.Join(dir, datadir.StoreFile))
	if err != nil {
		return m, damaged("the store in the backup is damaged: %s", err)
	}
	if holds.Epoch != m.Holds.Epoch || holds.Entries != m.Holds.Entries || holds.Blocks != m.Holds.Blocks {
		return m, damaged("the store in the backup is not the one that its manifest describes")
	}
	documents, err := checkDocuments(ctx, dir, m)
	if err != nil {
		return m, damaged("the documents in the backup are damaged: %s", err)
	}
	if documents != m.Documents {
		return m, damaged("the documents in the backup are not those that its manifest describes")
	}
	return m, nil
}

// unpack writes the files of a backup into a folder, and checks that they are what the manifest says.
func unpack(ctx context.Context, path, dir string, tell func(string, int64, int64)) (m Manifest, err error) {
	f, err := os.Open(path)
	if err != nil {
		return m, err
	}
	defer f.Close()
	r := tar.NewReader(&reading{ctx, f, nil})
	if m, err = readManifest(r, path); err != nil {
		return m, err
	}
	for _, file := range m.Files {
		if !slices.Contains([]string{datadir.StoreFile, library.FileName, keysFile}, file.Name) || file.Size < 0 {
			return m, damaged("%s: its manifest names %q, which no backup has", path, file.Name)
		}
		h, err := r.Next()
		if err != nil || h.Name != file.Name || h.Size != file.Size || h.Typeflag != tar.TypeReg {
			return m, damaged("%s ends before %s, or has something else there", path, file.Name)
		}
		if err := unpackFile(ctx, r, filepath.Join(dir, file.Name), file, tell); err != nil {
			return m, err
		}
	}
	if _, err := r.Next(); !errors.Is(err, io.EOF) {
		return m, damaged("%s has more in it than its manifest says, or is cut off", path)
	}
	if !slices.ContainsFunc(m.Files, func(f File) bool { return f.Name == datadir.StoreFile }) {
		return m, damaged("%s has no store", path)
	}
	return m, nil
}

// readManifest reads the manifest, and checks its signature.
func readManifest(r *tar.Reader, path string) (m Manifest, err error) {
	text, err := smallFile(r, manifestFile)
	if err != nil {
		return m, err
	}
	sig, err := smallFile(r, signatureFile)
	if err != nil {
		return m, err
	}
	d := json.NewDecoder(bytes.NewReader(text))
	d.DisallowUnknownFields()
	if err := d.Decode(&m); err != nil || m.Version != 1 {
		return m, damaged("%s: its manifest is not one that this version reads", path)
	}
	public, err := hex.DecodeString(m.Operator)
	raw, err2 := hex.DecodeString(strings.TrimSpace(string(sig)))
	if err != nil || err2 != nil || len(public) != ed25519.PublicKeySize ||
		!ed25519.Verify(public, append([]byte(manifestMagic), text...), raw) {
		return m, damaged("%s: its manifest is not signed by the operator key that it names", path)
	}
	return m, nil
}

func smallFile(r *tar.Reader, name string) ([]byte, error) {
	h, err := r.Next()
	if errors.Is(err, context.Canceled) || errors.Is(err, context.DeadlineExceeded) {
		return nil, err
	}
	if err != nil || h.Name != name || h.Size > maxManifest || h.Typeflag != tar.TypeReg {
		return nil, damaged("this is no backup of writ, or it is cut off: it has no %s", name)
	}
	b, err := io.ReadAll(io.LimitReader(r, maxManifest))
	if err != nil {
		return nil, damaged("the backup is cut off in %s", name)
	}
	return b, nil
}

func unpackFile(ctx context.Context, r io.Reader, to string, file File, tell func(string, int64, int64)) error {
	out, err := os.OpenFile(to, os.O_CREATE|os.O_EXCL|os.O_WRONLY, 0o600)
	if err != nil {
		return err
	}
	sum := sha256.New()
	n, err := io.Copy(io.MultiWriter(out, sum), &reading{ctx, r, counter("reading "+file.Name, file.Size, tell)})
	if err == nil {
		err = out.Sync()
	}
	err = errors.Join(err, out.Close())
	switch {
	case context.Cause(ctx) != nil:
		return context.Cause(ctx)
	case errors.Is(err, io.ErrUnexpectedEOF) || err == nil && n != file.Size:
		return damaged("the backup is cut off in %s", file.Name)
	case err != nil:
		return err
	case hex.EncodeToString(sum.Sum(nil)) != file.SHA256:
		return damaged("%s in the backup does not have the digest of its manifest", file.Name)
	}
	return nil
}

func syncFolder(dir string) error {
	d, err := os.Open(dir)
	if err != nil {
		return err
	}
	return errors.Join(d.Sync(), d.Close())
}
