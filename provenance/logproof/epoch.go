package logproof

import (
	"bytes"
	"crypto/ed25519"
	"encoding/base64"
	"errors"
	"fmt"
	"regexp"
	"slices"
	"strconv"
	"strings"

	"golang.org/x/mod/sumdb/note"

	"github.com/writ-run/writ/provenance"
)

// CodeLogEpoch says that a statement of a log's next epoch does not hold.
const CodeLogEpoch provenance.Code = "log.epoch"

const (
	epochMagic = "writ log epoch/1"
	maxSeen    = 16  // newer checkpoints that a statement names
	maxWhy     = 500 // bytes of a reason
	maxEpoch   = 8 << 10
)

// MaxEpochs is how many epochs of one log are followed.
const MaxEpochs = 1000

// An Epoch is an operator's statement that a log ends, and under which name and key another goes on: a restored
// backup lacks what was logged since, or journal and log have told two histories. It is signed as the log that ends, so
// that who trusts that one's key can follow.
type Epoch struct {
	N    int    // 2 for the first one
	Log  string // the name of the log that ends
	Next string // the key of the one that goes on: origin+hash+key
	// Size and Root are what both have in common: the last good state.
	Size uint64
	Root [32]byte
	// Seen are states of the log that ends, beyond Size, which others may know: its other history.
	Seen []Checkpoint
	At   string // RFC 3339, UTC, seconds
	Why  string // one line
}

// text is what is signed.
func (e Epoch) text() string {
	var b strings.Builder
	fmt.Fprintf(&b, "%s\nepoch: %d\nlog: %s\nnext: %s\ngood: %d %s\n", epochMagic, e.N, e.Log, e.Next, e.Size,
		base64.StdEncoding.EncodeToString(e.Root[:]))
	for _, c := range e.Seen {
		fmt.Fprintf(&b, "seen: %d %s\n", c.Size, base64.StdEncoding.EncodeToString(c.Root[:]))
	}
	fmt.Fprintf(&b, "at: %s\nwhy: %s\n", e.At, e.Why)
	return b.String()
}

// Sign writes the statement, signed with the key of the log that ends.
func (e Epoch) Sign(key ed25519.PrivateKey) ([]byte, error) {
	if err := e.check(); err != nil {
		return nil, err
	}
	public, ok := key.Public().(ed25519.PublicKey)
	if !ok {
		return nil, errors.New("the key is none")
	}
	vkey, err := note.NewEd25519VerifierKey(e.Log, public)
	if err != nil {
		return nil, fmt.Errorf("sign the epoch: %w", err)
	}
	hash := strings.Split(vkey, "+")[1]
	signer, err := note.NewSigner("PRIVATE+KEY+" + e.Log + "+" + hash + "+" +
		base64.StdEncoding.EncodeToString(append([]byte{1}, key.Seed()...)))
	if err != nil {
		return nil, fmt.Errorf("sign the epoch: %w", err)
	}
	return note.Sign(&note.Note{Text: e.text()}, signer)
}

func (e Epoch) check() error {
	switch {
	case e.N < 2 || e.N > MaxEpochs:
		return fmt.Errorf("epoch %d is none", e.N)
	case strings.ContainsAny(e.Why+e.Log+e.Next+e.At, "\r\n") || e.Why == "" || len(e.Why) > maxWhy:
		return fmt.Errorf("the reason is one line of at most %d bytes", maxWhy)
	case len(e.Seen) > maxSeen:
		return fmt.Errorf("%d checkpoints were seen, more than %d", len(e.Seen), maxSeen)
	}
	next, err := ParseKey(e.Next)
	if err != nil {
		return err
	}
	base, n := splitOrigin(e.Log)
	if after, m := splitOrigin(next.Origin()); after != base || m != e.N || n != e.N-1 {
		return fmt.Errorf("%.100q is not the name of epoch %d after %.100q", next.Origin(), e.N, e.Log)
	}
	return nil
}

// OpenEpoch reads a statement that key has signed as the log that it names. The error is a [*provenance.Fault].
func OpenEpoch(raw []byte, key Key) (Epoch, error) {
	if len(raw) > maxEpoch || key.verifier == nil {
		return Epoch{}, provenance.Faultf(CodeLogEpoch, "the statement of an epoch is too long, or no key is given")
	}
	n, err := note.Open(raw, note.VerifierList(key.verifier))
	if err != nil {
		return Epoch{}, provenance.Faultf(CodeLogEpoch, "the statement of an epoch is not signed by the key of %.100q",
			key.Origin())
	}
	e, err := parseEpoch(n.Text)
	if err == nil && e.Log != key.Origin() {
		err = errors.New("it is of another log")
	}
	if err == nil && e.text() != n.Text { // one spelling
		err = errors.New("it is not in its form")
	}
	if err != nil {
		return Epoch{}, provenance.Faultf(CodeLogEpoch, "the statement of an epoch: %v", err)
	}
	return e, nil
}

func parseEpoch(text string) (e Epoch, err error) {
	lines := strings.Split(strings.TrimSuffix(text, "\n"), "\n")
	if lines[0] != epochMagic {
		return e, errors.New("it does not begin with " + epochMagic)
	}
	for _, line := range lines[1:] {
		name, value, ok := strings.Cut(line, ": ")
		if !ok {
			return e, errors.New("a line is no field")
		}
		switch name {
		case "epoch":
			e.N, err = strconv.Atoi(value)
		case "log":
			e.Log = value
		case "next":
			e.Next = value
		case "good":
			var c Checkpoint
			c, err = parseState(value)
			e.Size, e.Root = c.Size, c.Root
		case "seen":
			var c Checkpoint
			c, err = parseState(value)
			e.Seen = append(e.Seen, c)
		case "at":
			e.At = value
		case "why":
			e.Why = value
		default:
			err = errors.New("a field is not known")
		}
		if err != nil {
			return e, err
		}
	}
	for i := range e.Seen {
		e.Seen[i].Origin = e.Log
	}
	return e, e.check()
}

func parseState(s string) (c Checkpoint, err error) {
	size, root, _ := strings.Cut(s, " ")
	var ok [2]bool
	c.Size, ok[0] = parseDecimal(size)
	c.Root, ok[1] = parseHash(root)
	if !ok[0] || !ok[1] {
		err = errors.New("a state is a size and a root")
	}
	return c, err
}

// EpochOrigin returns the name of a log in its nth epoch. The mark, 8 hex digits, is another each time: one backup that
// is restored twice begins two logs, and they must not have one name.
func EpochOrigin(origin string, n int, mark [4]byte) string {
	return fmt.Sprintf("%s/epoch/%d-%x", origin, n, mark)
}

var epochName = regexp.MustCompile(`^(.+)/epoch/([0-9]{1,4})-[0-9a-f]{8}$`)

// splitOrigin returns the name that a log has in its first epoch, and which epoch a name is of.
func splitOrigin(name string) (base string, n int) {
	m := epochName.FindStringSubmatch(name)
	if m == nil {
		return name, 1
	}
	n, _ = strconv.Atoi(m[2]) // four digits
	return m[1], n
}

// nextOrigin returns the name of the log that goes on.
func (e Epoch) nextOrigin() string {
	name, _, _ := strings.Cut(e.Next, "+")
	return name
}

// maxFollowed is how many statements are followed at once.
const maxFollowed = 64

// FollowEpochs returns the logs that are trusted by who trusts these logs and has the statements of epochs, in any
// order: each must be signed by a log that is trusted already. The error is a [*provenance.Fault].
func FollowEpochs(logs []Key, statements [][]byte) (trusted []Key, all []Epoch, err error) {
	if len(statements) > maxFollowed {
		return nil, nil, provenance.Faultf(CodeLogEpoch, "%d statements of epochs are more than %d", len(statements),
			maxFollowed)
	}
	trusted = slices.Clone(logs)
	for left := slices.Clone(statements); len(left) > 0; {
		var rest [][]byte
		for _, raw := range left {
			e, bad := openByAny(raw, trusted)
			if err = bad; bad != nil {
				rest = append(rest, raw)
				continue
			}
			next, bad := ParseKey(e.Next)
			if bad != nil {
				return nil, nil, bad // it was parsed when the statement was opened
			}
			trusted, all = append(trusted, next), append(all, e)
		}
		if len(rest) == len(left) {
			return nil, nil, err
		}
		left = rest
	}
	return trusted, all, nil
}

// openByAny opens a statement by the key of the log that it names, if that is one of these.
func openByAny(raw []byte, keys []Key) (e Epoch, err error) {
	err = provenance.Faultf(CodeLogEpoch, "the statement of an epoch ends no log that is trusted; give the key "+
		"of the log that it ends")
	for _, k := range keys {
		var bad error
		if e, bad = OpenEpoch(raw, k); bad == nil {
			return e, nil
		}
		if bytes.Contains(raw, []byte("\nlog: "+k.Origin()+"\n")) {
			err = bad
		}
	}
	return Epoch{}, err
}

// A Way is the epochs from one log to another that goes on from it, in order.
type Way []Epoch

// FindWay returns the epochs by which the log named from became the one named to; ok is false if none say so.
func FindWay(epochs []Epoch, from, to string) (way Way, ok bool) {
	for range MaxEpochs {
		if to == from {
			slices.Reverse(way)
			return way, true
		}
		i := slices.IndexFunc(epochs, func(e Epoch) bool { return e.nextOrigin() == to })
		if i < 0 {
			break
		}
		way, to = append(way, epochs[i]), epochs[i].Log
	}
	return nil, false
}

// Kept is how many entries of the first log the last one has.
func (w Way) Kept() uint64 {
	kept := uint64(1<<64 - 1)
	for _, e := range w {
		kept = min(kept, e.Size)
	}
	return kept
}
