// Package witness cosigns checkpoints of transparency logs (c2sp.org/tlog-witness, c2sp.org/tlog-cosignature).
//
// A [Witness] knows some logs by their keys and remembers the newest checkpoint of each. It cosigns the next one only
// if the log signed it and a consistency proof leads to it from the one remembered, and only after the next one is
// remembered durably by its [Keeper]. So of two histories of a log it cosigns one at most: whatever is asked at once,
// and whenever it dies. It says nothing about what is in a log, nor whether that is true.
package witness

import (
	"bytes"
	"context"
	"crypto/ed25519"
	"crypto/sha256"
	"encoding/base64"
	"encoding/binary"
	"errors"
	"fmt"
	"io"
	"log/slog"
	"net/http"
	"strconv"
	"strings"
	"sync"
	"time"

	"github.com/transparency-dev/merkle/rfc6962"

	"github.com/writ-run/writ/provenance"
	"github.com/writ-run/writ/provenance/logproof"
)

// Bounds on what a request may cost.
const (
	maxLines  = 63 // hashes of a proof
	maxBody   = logproof.MaxProof + 64*64
	maxAtOnce = 64 // requests; more are told to come again
)

// A Keeper remembers the newest checkpoint of each log. [Folder] is one.
type Keeper interface {
	// Load returns the checkpoint that was saved last, or nothing if none ever was.
	Load(origin string) ([]byte, error)
	// Save remembers a checkpoint. It is durable when Save returns nil; after an error it may be remembered or not.
	Save(origin string, checkpoint []byte) error
	// Convict keeps a checkpoint that the log signed and that contradicts the one remembered.
	Convict(origin string, checkpoint []byte) error
}

// Config says what a [Witness] is made of. All but Now and Log is required.
type Config struct {
	Name string             // of its key; without space or plus, best a URL without scheme
	Key  ed25519.PrivateKey // for nothing else
	Logs []logproof.Key
	Keep Keeper           // of this witness alone: two with one key and two memories can be made to cosign a fork
	Now  func() time.Time // time.Now if nil
	Log  *slog.Logger     // logs nothing if nil
}

// A Witness is an http.Handler: POST /add-checkpoint, and GET / for its key. It may be used by many goroutines at once.
type Witness struct {
	cfg    Config
	vkey   string
	hash   [4]byte
	policy logproof.Policy
	known  map[string]*known // by origin; not changed
	places chan struct{}     // of requests under way
}

// known is what is remembered of one log.
type known struct {
	mu  sync.Mutex // held from the check until the signature is made
	raw []byte     // the newest; guarded by mu
	// sure says that the newest is durable: not so after a failed Save, nor before the first of this process.
	sure bool
	at   logproof.Checkpoint // of raw
}

// New returns a witness, or an error that names what is wrong. What is remembered must be readable: a witness without
// its memory could be made to cosign a second history.
func New(cfg Config) (*Witness, error) {
	switch {
	case cfg.Name == "" || strings.ContainsAny(cfg.Name, "+ \t\r\n"):
		return nil, fmt.Errorf("a witness's name is not empty and has no plus and no space: %.100q", cfg.Name)
	case len(cfg.Key) != ed25519.PrivateKeySize:
		return nil, errors.New("a witness needs an Ed25519 key")
	case cfg.Keep == nil:
		return nil, errors.New("a witness needs a memory")
	case len(cfg.Logs) == 0:
		return nil, errors.New("a witness needs the key of a log")
	}
	if cfg.Now == nil {
		cfg.Now = time.Now
	}
	if cfg.Log == nil {
		cfg.Log = slog.New(slog.DiscardHandler)
	}
	w := &Witness{cfg: cfg, policy: logproof.Policy{Logs: cfg.Logs}, known: map[string]*known{},
		places: make(chan struct{}, maxAtOnce)}
	public := append([]byte{4}, cfg.Key.Public().(ed25519.PublicKey)...) // 4: cosignature/v1
	sum := sha256.Sum256(append([]byte(cfg.Name+"\n"), public...))
	w.hash = [4]byte(sum[:4])
	w.vkey = fmt.Sprintf("%s+%x+%s", cfg.Name, w.hash, base64.StdEncoding.EncodeToString(public))
	for _, l := range cfg.Logs {
		k := &known{}
		if err := w.loadRemembered(l.Origin(), k); err != nil {
			return nil, err
		}
		w.known[l.Origin()] = k
	}
	return w, nil
}

// VKey returns the witness's name and public key, as policies name it.
func (w *Witness) VKey() string { return w.vkey }

// loadRemembered reads what is remembered of a log; k.mu is held, or nobody else has k.
func (w *Witness) loadRemembered(origin string, k *known) error {
	raw, err := w.cfg.Keep.Load(origin)
	if err != nil {
		return fmt.Errorf("what is remembered of %s: %w", origin, err)
	}
	if len(raw) == 0 && len(k.raw) > 0 {
		return fmt.Errorf("what is remembered of %s is gone, of size %d; restore it, and never begin without it",
			origin, k.at.Size)
	}
	if len(raw) == 0 {
		k.raw, k.at, k.sure = nil, logproof.Checkpoint{Origin: origin}, false
		return nil
	}
	c, err := w.policy.OpenCheckpoint(raw)
	if err == nil && c.Origin != origin {
		err = fmt.Errorf("it is of %s", c.Origin)
	}
	if err != nil {
		return fmt.Errorf("what is remembered of %s is damaged; restore it, and never begin without it: %w", origin,
			err)
	}
	if c.Size < k.at.Size {
		return fmt.Errorf("what is remembered of %s is older than it was: of size %d, and was of %d; restore it",
			origin, c.Size, k.at.Size)
	}
	k.raw, k.at, k.sure = raw, c, false
	return nil
}

// Remembers says whether a checkpoint of a log was remembered when the witness was made, or has been since.
func (w *Witness) Remembers(origin string) bool {
	k := w.known[origin]
	if k == nil {
		return false
	}
	k.mu.Lock()
	defer k.mu.Unlock()
	return len(k.raw) > 0
}

// A refusal is the answer to a request that gets no signature.
type refusal struct {
	status int
	text   string
	size   bool // text is the size that is remembered
}

func (r *refusal) Error() string { return r.text }

func newRefusal(status int, format string, args ...any) error {
	return &refusal{status: status, text: fmt.Sprintf(format, args...)}
}

// ServeHTTP implements http.Handler.
func (w *Witness) ServeHTTP(rw http.ResponseWriter, r *http.Request) {
	h := rw.Header()
	h.Set("X-Content-Type-Options", "nosniff")
	h.Set("Cache-Control", "no-store")
	h.Set("Content-Type", "text/plain; charset=utf-8")
	switch {
	case r.URL.Path == "/" && (r.Method == http.MethodGet || r.Method == http.MethodHead):
		fmt.Fprintln(rw, w.vkey)
		return
	case r.URL.Path != "/add-checkpoint":
		http.Error(rw, "a witness has /add-checkpoint", http.StatusNotFound)
		return
	case r.Method != http.MethodPost:
		h.Set("Allow", "POST")
		http.Error(rw, "only POST", http.StatusMethodNotAllowed)
		return
	}
	// The body comes first: who sends it slowly holds no place.
	body, err := io.ReadAll(http.MaxBytesReader(rw, r.Body, maxBody))
	select {
	case w.places <- struct{}{}:
		defer func() { <-w.places }()
	default:
		h.Set("Retry-After", "1")
		http.Error(rw, "too many requests at once; come again", http.StatusServiceUnavailable)
		return
	}
	var line []byte
	if _, long := errors.AsType[*http.MaxBytesError](err); long {
		err = newRefusal(http.StatusRequestEntityTooLarge, "more than %d bytes", maxBody)
	} else if err == nil {
		line, err = w.Cosign(r.Context(), body)
	}
	w.answer(rw, r, line, err)
}

// answer writes the cosignature, or says why there is none.
func (w *Witness) answer(rw http.ResponseWriter, r *http.Request, line []byte, err error) {
	no, refused := errors.AsType[*refusal](err)
	switch {
	case err == nil:
		_, _ = rw.Write(line) // who asked may be gone; the next request gets it
	case refused && no.size:
		rw.Header().Set("Content-Type", "text/x.tlog.size")
		rw.WriteHeader(no.status)
		_, _ = io.WriteString(rw, no.text+"\n")
	case refused:
		http.Error(rw, no.text, no.status)
	default:
		w.cfg.Log.ErrorContext(r.Context(), "nothing is cosigned", "err", err)
		http.Error(rw, "the witness cannot remember; come again", http.StatusInternalServerError)
	}
}

// Cosign reads the body of an add-checkpoint request and returns the signature line.
func (w *Witness) Cosign(ctx context.Context, body []byte) ([]byte, error) {
	old, hashes, raw, err := parseRequest(body)
	if err != nil {
		return nil, err
	}
	c, err := w.policy.OpenCheckpoint(raw)
	if f, ok := errors.AsType[*provenance.Fault](err); ok {
		status := map[provenance.Code]int{logproof.CodeLogOrigin: http.StatusNotFound,
			logproof.CodeLogKey: http.StatusForbidden}[f.Code]
		if status == 0 {
			status = http.StatusBadRequest
		}
		return nil, newRefusal(status, "%s", f.Detail)
	} else if err != nil {
		return nil, err
	}
	if old > c.Size {
		return nil, newRefusal(http.StatusBadRequest, "the old size %d is above the checkpoint's, %d", old, c.Size)
	}
	k := w.known[c.Origin]
	k.mu.Lock()
	defer k.mu.Unlock()
	if !k.sure { // a save failed, and perhaps not: ask what is there
		if err := w.loadRemembered(c.Origin, k); err != nil {
			return nil, err
		}
	}
	if err := w.judgeNext(ctx, k, old, hashes, c, raw); err != nil {
		return nil, err
	}
	// What is remembered already need not be written again, if it is known to be durable.
	if !k.sure || c.Size != k.at.Size || len(k.raw) == 0 {
		k.sure = false
		if err := w.cfg.Keep.Save(c.Origin, raw); err != nil {
			return nil, fmt.Errorf("remember size %d of %s: %w", c.Size, c.Origin, err)
		}
		k.raw, k.at, k.sure = raw, c, true
	}
	return w.signText(raw), nil
}

// judgeNext says whether a checkpoint may follow what is remembered; k.mu is held.
func (w *Witness) judgeNext(ctx context.Context, k *known, old uint64, hashes [][32]byte, c logproof.Checkpoint,
	raw []byte) error {
	if old != k.at.Size {
		return &refusal{status: http.StatusConflict, text: strconv.FormatUint(k.at.Size, 10), size: true}
	}
	if c.Size == 0 && !bytes.Equal(c.Root[:], rfc6962.DefaultHasher.EmptyRoot()) || old == 0 && len(hashes) > 0 {
		return newRefusal(http.StatusUnprocessableEntity, "the proof does not lead to the checkpoint")
	}
	if len(k.raw) > 0 && c.Size == k.at.Size && c.Root != k.at.Root {
		w.cfg.Log.ErrorContext(ctx, "a log has signed two histories", "origin", c.Origin, "size", c.Size)
		if err := w.cfg.Keep.Convict(c.Origin, raw); err != nil {
			w.cfg.Log.ErrorContext(ctx, "the proof of it is not kept", "err", err)
		}
		return newRefusal(http.StatusConflict, "another root is cosigned for size %d", c.Size)
	}
	if err := k.at.Consistent(c, hashes); err != nil {
		w.cfg.Log.WarnContext(ctx, "a checkpoint that does not follow", "origin", c.Origin, "size", c.Size, "known",
			k.at.Size)
		return newRefusal(http.StatusUnprocessableEntity, "the proof does not lead from size %d to the checkpoint", old)
	}
	return nil
}

// signText makes the signature line over a checkpoint's text (cosignature/v1).
func (w *Witness) signText(raw []byte) []byte {
	text := raw[:bytes.Index(raw, []byte("\n\n"))+1]
	now := uint64(w.cfg.Now().Unix())
	sig := binary.BigEndian.AppendUint64(w.hash[:4:4], now)
	sig = append(sig, ed25519.Sign(w.cfg.Key, fmt.Appendf(nil, "cosignature/v1\ntime %d\n%s", now, text))...)
	return fmt.Appendf(nil, "— %s %s\n", w.cfg.Name, base64.StdEncoding.EncodeToString(sig))
}

// parseRequest reads the body of a request: the old size, the proof, an empty line, the checkpoint.
func parseRequest(body []byte) (old uint64, hashes [][32]byte, checkpoint []byte, err error) {
	bad := func(what string) (uint64, [][32]byte, []byte, error) {
		return 0, nil, nil, newRefusal(http.StatusBadRequest, "%s", what)
	}
	head, checkpoint, ok := bytes.Cut(body, []byte("\n\n"))
	if !ok {
		return bad("an old size, a proof, an empty line and a checkpoint are asked for")
	}
	// The text that is signed ends where its signatures begin, by every reader's way of looking for that.
	if i := bytes.Index(checkpoint, []byte("\n\n")); i < 0 || i != bytes.LastIndex(checkpoint, []byte("\n\n")) {
		return bad("a checkpoint has one empty line, before its signatures")
	}
	lines := strings.Split(string(head), "\n")
	size, named := strings.CutPrefix(lines[0], "old ")
	old, err = strconv.ParseUint(size, 10, 63)
	if !named || err != nil || strconv.FormatUint(old, 10) != size {
		return bad("the first line is old and a size")
	}
	if len(lines)-1 > maxLines {
		return bad("more than 63 lines of proof")
	}
	for _, l := range lines[1:] {
		b, err := base64.StdEncoding.Strict().DecodeString(l)
		if err != nil || len(b) != sha256.Size {
			return bad("a line of the proof is not a hash in base64")
		}
		hashes = append(hashes, [32]byte(b))
	}
	return old, hashes, checkpoint, nil
}
