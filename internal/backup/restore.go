package backup

import (
	"bytes"
	"cmp"
	"context"
	"crypto/ed25519"
	"encoding/hex"
	"encoding/json"
	"errors"
	"fmt"
	"io"
	"io/fs"
	"os"
	"path/filepath"
	"strings"
	"time"

	"filippo.io/age"
	"github.com/gofrs/flock"

	"github.com/writ-run/writ/internal/datadir"
	"github.com/writ-run/writ/internal/store"
	"github.com/writ-run/writ/provenance/logproof"
	"github.com/writ-run/writ/provenance/translog"
)

const operatorFile = "operator.key"

// A Restoring says how a backup is restored.
type Restoring struct {
	Backup   string
	Data     string         // folder that is not there, or is empty
	Keys     []age.Identity // that open the sealed keys
	Operator string         // file with a copy of operator.key, if no keys are in the backup
	Chain    *Chain         // is asked what was sent since; nil if it shall not be
	Origin   string         // of the log, as transparency.origin has it; made of the key if empty
	Seen     [][]byte       // checkpoints of the log that others have
	Tell     func(what string, done, total int64)

	wrote func(what string) // hears of each change on the disk; nil outside of tests
}

// A Report says what a restoration has done.
type Report struct {
	Data     string         `json:"data"`
	Backup   Manifest       `json:"backup"`
	Ended    store.Restored `json:"ended"`
	Chain    string         `json:"chain"` // "asked", or "not asked"
	Sent     []SentView     `json:"sent,omitempty"`
	LogEpoch int            `json:"log_epoch"`
	LogKey   string         `json:"log_key"`
	LogGood  uint64         `json:"log_good"` // entries that both logs have in common
	LogSeen  []uint64       `json:"log_seen,omitempty"`
	Unbound  bool           `json:"unbound,omitempty"` // a key binding was for the log before
}

// A SentView is an amount that had left an account.
type SentView struct {
	To     string `json:"to"`
	Amount string `json:"amount"`
}

// Restore makes a data folder of a backup. Nothing stands under its name before all of it is done: a restoration that
// is cut short leaves a folder beside it, which the next one removes.
func Restore(ctx context.Context, r Restoring) (out Report, err error) {
	stage, lock, err := r.makeStage()
	if err != nil {
		return out, err
	}
	done := false
	defer func() {
		if !done {
			err = errors.Join(err, os.RemoveAll(stage))
		}
		err = errors.Join(err, lock.Unlock())
	}()
	out.Data = r.Data
	if out.Backup, err = checkInto(ctx, r.Backup, stage, "", r.Tell); err != nil {
		return out, err
	}
	r.note("unpacked")
	keys, err := r.readKeys(stage, out.Backup)
	if err != nil {
		return out, err
	}
	operator, err := parseKey(keys[operatorFile])
	if err != nil || hex.EncodeToString(operator.Public().(ed25519.PublicKey)) != out.Backup.Operator {
		return out, refuse("the key is not the operator key %s that made the backup; "+
			"give --operator-key with that one's copy", out.Backup.Operator)
	}
	if err := r.restoreStore(ctx, filepath.Join(stage, datadir.StoreFile), operator, &out); err != nil {
		return out, err
	}
	if _, out.Unbound = keys[datadir.BindingFile]; out.Unbound { // it names the log that ends
		delete(keys, datadir.BindingFile)
	}
	if err := r.writeKeys(stage, keys, operator); err != nil {
		return out, err
	}
	done, err = r.finish(stage)
	return out, err
}

// restoreStore makes the store go on from the backup: what was sent since is spent, sessions end, and a new log begins.
func (r *Restoring) restoreStore(
	ctx context.Context, path string, operator ed25519.PrivateKey, out *Report,
) (err error) {
	what := store.Restoration{Unknown: r.Chain == nil}
	out.Chain = "not asked"
	if r.Chain != nil {
		if what.Sent, err = r.Chain.sentSince(ctx, out.Backup); err != nil {
			return err
		}
		out.Chain = "asked"
		for _, s := range what.Sent {
			out.Sent = append(out.Sent, viewSent(s))
		}
	}
	epoch, statement, err := r.endEpoch(ctx, path, operator, out.Backup)
	if err != nil {
		return err
	}
	what.Epoch = &epoch
	out.tellEpoch(epoch, statement)
	if out.Ended, err = store.Restore(ctx, path, what); err != nil {
		return err
	}
	r.note("store")
	return nil
}

func (r *Restoring) note(what string) {
	if r.wrote != nil {
		r.wrote(what)
	}
}

// makeStage makes the folder in which all is prepared, and locks it as a server locks its own: nobody else restores to
// there, and no server starts in it before it is whole.
func (r *Restoring) makeStage() (string, *flock.Flock, error) {
	entries, err := os.ReadDir(r.Data)
	if err != nil && !errors.Is(err, fs.ErrNotExist) {
		return "", nil, refuse("the data folder cannot be read: %s", err)
	}
	if len(entries) > 0 {
		return "", nil, refuse("%s is not empty: a backup is restored into a new folder; give another --data", r.Data)
	}
	stage := strings.TrimRight(r.Data, "/") + datadir.StageSuffix
	if err := clearStage(stage); err != nil {
		return "", nil, err
	}
	if err := os.MkdirAll(filepath.Dir(stage), 0o700); err != nil {
		return "", nil, refuse("the data folder cannot be made: %s", err)
	}
	if err := os.Mkdir(stage, 0o700); err != nil {
		return "", nil, refuse("the data folder cannot be made: %s", err)
	}
	r.note("folder")
	if err := os.WriteFile(filepath.Join(stage, datadir.StageMark), nil, 0o600); err != nil {
		return "", nil, err
	}
	r.note("mark")
	lock, err := datadir.Lock(stage)
	return stage, lock, err
}

// clearStage removes what a restoration that was cut short has left: a folder with our mark, or without anything.
func clearStage(stage string) error {
	entries, err := os.ReadDir(stage)
	if errors.Is(err, fs.ErrNotExist) {
		return nil
	}
	if err != nil {
		return refuse("what an earlier restoration left cannot be read: %s", err)
	}
	if len(entries) > 0 {
		if _, err := os.Lstat(filepath.Join(stage, datadir.StageMark)); err != nil {
			return refuse("%s is there and no restoration of ours made it; move it away", stage)
		}
		lock, alone, err := datadir.TryLock(stage)
		if err != nil {
			return err
		}
		defer lock.Close()
		if !alone {
			return refuse("another restoration to there is under way; wait for its end")
		}
	}
	return os.RemoveAll(stage)
}

// finish puts the folder under its name, and says whether it stands there. The mark goes last: where it is gone,
// nothing is ever removed.
func (r *Restoring) finish(stage string) (done bool, err error) {
	if err := syncFolder(stage); err != nil {
		return false, err
	}
	if err := os.Remove(r.Data); err != nil && !errors.Is(err, fs.ErrNotExist) {
		return false, refuse("%s is not empty any more; move what came there away: %s", r.Data, err)
	}
	r.note("place")
	if err := os.Rename(stage, r.Data); err != nil {
		return false, err
	}
	r.note("name")
	if err := syncFolder(filepath.Dir(strings.TrimRight(r.Data, "/"))); err != nil {
		return true, err
	}
	if err := os.Remove(filepath.Join(r.Data, datadir.StageMark)); err != nil {
		return true, err
	}
	r.note("done")
	return true, syncFolder(r.Data)
}

// readKeys reads the folder's keys: those that are sealed in the backup, or the operator's alone from a file.
func (r *Restoring) readKeys(stage string, m Manifest) (map[string][]byte, error) {
	if r.Operator != "" {
		b, err := os.ReadFile(r.Operator)
		if err != nil {
			return nil, refuse("the operator's key cannot be read: %s", err)
		}
		return map[string][]byte{operatorFile: b}, os.RemoveAll(filepath.Join(stage, keysFile))
	}
	if m.Keys != "sealed" {
		return nil, refuse("the backup holds no keys: give --operator-key with the copy of operator.key that was kept apart")
	}
	if len(r.Keys) == 0 {
		return nil, refuse("the keys in the backup are sealed: give --identity with the file that age-keygen made")
	}
	f, err := os.Open(filepath.Join(stage, keysFile))
	if err != nil {
		return nil, err
	}
	defer f.Close()
	in, err := age.Decrypt(f, r.Keys...)
	if err != nil {
		return nil, refuse("the identity does not open the keys in the backup; give the one that they were sealed to")
	}
	text, err := io.ReadAll(io.LimitReader(in, maxKeys))
	sealed := map[string]string{}
	if err == nil {
		err = json.Unmarshal(text, &sealed)
	}
	keys := map[string][]byte{}
	for name, data := range sealed {
		b, bad := hex.DecodeString(data)
		if bad != nil || name != filepath.Base(name) || !strings.HasSuffix(name, ".key") && name != datadir.BindingFile {
			return nil, damaged("the keys in the backup are none")
		}
		keys[name] = b
	}
	if err != nil {
		return nil, damaged("the keys in the backup cannot be read")
	}
	return keys, os.Remove(filepath.Join(stage, keysFile))
}

func parseKey(text []byte) (ed25519.PrivateKey, error) {
	seed, err := hex.DecodeString(string(bytes.TrimSpace(text)))
	if err != nil || len(seed) != ed25519.SeedSize {
		return nil, errors.New("an operator's key is 64 hex digits") // what it is instead is not shown
	}
	return ed25519.NewKeyFromSeed(seed), nil
}

func operatorKey(path string) (ed25519.PrivateKey, error) {
	b, err := os.ReadFile(path)
	if err != nil {
		return nil, refuse("the operator's key cannot be read, which signs a backup: %s", err)
	}
	key, err := parseKey(b)
	if err != nil {
		return nil, refuse("%s does not hold the operator's key: %s", path, err)
	}
	return key, nil
}

func (r *Restoring) writeKeys(dir string, keys map[string][]byte, operator ed25519.PrivateKey) error {
	for name, data := range keys {
		if err := datadir.WriteSecret(filepath.Join(dir, name), data); err != nil {
			return err
		}
		r.note("key")
	}
	public := hex.EncodeToString(operator.Public().(ed25519.PublicKey)) + "\n"
	return datadir.WriteSecret(filepath.Join(dir, "operator.pub"), []byte(public))
}

// endEpoch makes the statement that ends the log which the backup is of.
func (r *Restoring) endEpoch(ctx context.Context, path string, operator ed25519.PrivateKey, m Manifest) (
	epoch journalEpoch, statement logproof.Epoch, err error) {
	db, err := store.Open(ctx, store.Config{DSN: store.SQLite(path), Shared: true})
	if err != nil {
		return epoch, statement, err
	}
	defer func() { err = errors.Join(err, db.Close()) }()
	key, err := datadir.LogKey(operator)
	if err != nil {
		return epoch, statement, err
	}
	origin := r.Origin
	if origin == "" {
		origin = datadir.LogOrigin(operator)
	}
	epoch, statement, err = translog.EndEpoch(ctx, translog.Ending{
		Store: db, Key: key, Origin: origin, Seen: r.Seen, At: time.Now(),
		Why: "restored from the backup of " + m.Made,
	})
	if err != nil {
		return epoch, statement, refuse("the log of the backup cannot be ended: %s; give checkpoints of this log, and "+
			"transparency.origin as it was", err)
	}
	return epoch, statement, nil
}

// EndLog ends the log of a data folder that no server uses, and begins a new one. What the old one has stays beside it.
func EndLog(ctx context.Context, data, origin, why string, seen [][]byte) (out Report, err error) {
	lock, err := datadir.Lock(data)
	if err != nil {
		return out, err
	}
	defer func() { err = errors.Join(err, lock.Unlock()) }()
	path := filepath.Join(data, datadir.StoreFile)
	if _, err := os.Stat(path); err != nil {
		return out, refuse("%s is no data folder: it has no writ.db", data)
	}
	ending, err := readEnding(data, origin)
	if err != nil {
		return out, err
	}
	ending.Seen, ending.Why = seen, why
	epoch, statement, err := planEnding(ctx, data, ending)
	if err != nil {
		return out, err
	}
	// The journal changes first: were the files moved before it, a start in between would build them again under the name
	// that ends, as another history.
	dir := filepath.Join(data, datadir.LogFolder)
	if err := store.BeginEpoch(ctx, path, epoch); err != nil {
		return out, err
	}
	if err := os.Rename(dir, translog.KeptDir(dir, epoch.N-1)); err != nil && !errors.Is(err, fs.ErrNotExist) {
		return out, refuse("the log that ended cannot be put aside: %s; the next start does it", err)
	}
	binding := filepath.Join(data, datadir.BindingFile)
	if err := os.Rename(binding, fmt.Sprintf("%s.epoch-%d", binding, epoch.N-1)); err == nil {
		out.Unbound = true
	}
	if err := syncFolder(data); err != nil {
		return out, err
	}
	out.Data = data
	out.tellEpoch(epoch, statement)
	return out, nil
}

// readEnding reads the key of the log that ends, and its name if none is given.
func readEnding(data, origin string) (e translog.Ending, err error) {
	operator, err := operatorKey(filepath.Join(data, operatorFile))
	if err != nil {
		return e, err
	}
	e = translog.Ending{Origin: cmp.Or(origin, datadir.LogOrigin(operator)), At: time.Now()}
	e.Key, err = datadir.LogKey(operator)
	return e, err
}

// tellEpoch says which log goes on, and how much of the one that ended was good.
func (out *Report) tellEpoch(epoch journalEpoch, statement logproof.Epoch) {
	out.LogEpoch, out.LogKey, out.LogGood = epoch.N, epoch.VKey, statement.Size
	for _, c := range statement.Seen {
		out.LogSeen = append(out.LogSeen, c.Size)
	}
}

// LogOrigin returns the name that the log of a data folder has in its newest epoch; origin is that of its first.
func LogOrigin(ctx context.Context, data, origin string) (name string, err error) {
	path := filepath.Join(data, datadir.StoreFile)
	if _, err := os.Stat(path); errors.Is(err, fs.ErrNotExist) { // nothing was logged
		return origin, nil
	}
	db, err := store.Open(ctx, store.Config{DSN: store.SQLite(path), Shared: true}) // a server may use it
	if err != nil {
		return "", err
	}
	defer func() { err = errors.Join(err, db.Close()) }()
	epochs, err := db.LogEpochs(ctx)
	return translog.OriginNow(origin, epochs), err
}

func planEnding(ctx context.Context, data string, end translog.Ending) (e journalEpoch, s logproof.Epoch, err error) {
	db, err := store.Open(ctx, store.Config{DSN: store.SQLite(filepath.Join(data, datadir.StoreFile))})
	if err != nil {
		return e, s, err
	}
	defer func() { err = errors.Join(err, db.Close()) }()
	end.Store = db
	epochs, err := db.LogEpochs(ctx)
	if err != nil {
		return e, s, err
	}
	end.Dir = filepath.Join(data, datadir.LogFolder)
	if err := translog.PutAside(end.Dir, end.Origin, epochs); err != nil { // an ending was cut short
		return e, s, err
	}
	e, s, err = translog.EndEpoch(ctx, end)
	if err != nil {
		err = refuse("the log cannot be ended: %s", err)
	}
	return e, s, err
}
