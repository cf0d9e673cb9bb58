// Package shelfdoor lets operators keep a server's documents over HTTP, with files of their own machine.
//
// [New] answers requests, each of which bears a pass; a [Client] makes them, and has the methods of a library that
// commands use. A request is POST /operator/docs: a line of JSON that says what is to be done, and then the bytes of a
// document, if one is put. The server has seen to it that it comes from this machine, such as by a tunnel of SSH.
package shelfdoor

import (
	"bufio"
	"bytes"
	"cmp"
	"context"
	"encoding/json"
	"errors"
	"fmt"
	"io"
	"log/slog"
	"net/http"
	"slices"
	"strings"
	"time"

	"github.com/writ-run/writ/internal/library"
	"github.com/writ-run/writ/policies/label"
)

// Path is where a server takes requests.
const Path = "/operator/docs"

// Bounds.
const (
	maxOrder  = 64 << 10        // bytes of the line that says what is to be done
	maxTime   = 2 * time.Minute // in which a document is here
	maxAtOnce = 2               // requests that are done at a time
)

// MaxBody is how many bytes a request may have.
const MaxBody = maxOrder + library.MaxDocument + 1

// What an order wants.
const (
	doList      = "list"
	doPut       = "put"
	doRemove    = "remove"
	doAllow     = "allow"
	doNotePlace = "note_place"
	doNoteName  = "note_name"
)

// An order is the first line of a request.
type order struct {
	Do        string           `json:"do"`
	Source    string           `json:"source,omitempty"` // all collections of a list if empty
	Name      string           `json:"name,omitempty"`   // or a document's CID; the whole collection if empty
	Media     string           `json:"media,omitempty"`
	Integrity string           `json:"integrity,omitempty"`
	Secrecy   string           `json:"secrecy,omitempty"`
	Readers   []library.Reader `json:"readers,omitempty"`

	Place    string    `json:"place,omitempty"` // that a collection was made of, or what a name points to
	Fault    string    `json:"fault,omitempty"`
	Sequence uint64    `json:"sequence,omitempty"`
	Until    time.Time `json:"until,omitzero"`
}

// An answer is what came of an order.
type answer struct {
	Documents []library.Entry `json:"documents,omitempty"`
	Places    []library.Place `json:"places,omitempty"`
	Changed   int             `json:"changed,omitempty"` // documents
	Error     *fault          `json:"error,omitempty"`
}

type fault struct {
	Code    string `json:"code"`
	Message string `json:"message"`
}

// Codes of faults.
const (
	codePass     = "pass"
	codeOrder    = "order"
	codeBusy     = "busy"
	codeNotFound = "not_found"
	codeRefused  = "refused"
)

var statuses = map[string]int{
	codePass: http.StatusForbidden, codeOrder: http.StatusBadRequest, codeBusy: http.StatusServiceUnavailable,
	codeNotFound: http.StatusNotFound, codeRefused: http.StatusUnprocessableEntity,
}

// A Config says whose documents are kept, and by whom.
type Config struct {
	Library *library.Library        // nil if agents search in none
	Check   func(pass string) error // why somebody may not; its error is told
	Log     *slog.Logger            // of what is changed
}

type door struct {
	Config
	turns chan struct{}
}

// New returns what answers requests.
func New(c Config) http.Handler { return &door{c, make(chan struct{}, maxAtOnce)} }

// ServeHTTP implements http.Handler.
func (d *door) ServeHTTP(w http.ResponseWriter, r *http.Request) {
	w.Header().Set("Content-Type", "application/json")
	w.Header().Set("Cache-Control", "no-store")
	out := d.answer(w, r)
	if out.Error != nil {
		w.WriteHeader(statuses[out.Error.Code])
	}
	_ = json.NewEncoder(w).Encode(out) // who asked may be gone
}

func refuse(code, format string, args ...any) answer {
	return answer{Error: &fault{code, fmt.Sprintf(format, args...)}}
}

func (d *door) answer(w http.ResponseWriter, r *http.Request) answer {
	pass, _ := strings.CutPrefix(r.Header.Get("Authorization"), "Bearer ")
	if err := d.Check(pass); err != nil { // before anything is read
		return refuse(codePass, "%s", err)
	}
	if d.Library == nil {
		return refuse(codeRefused, "the server has no library: set library.on")
	}
	select {
	case d.turns <- struct{}{}:
		defer func() { <-d.turns }()
	default:
		return refuse(codeBusy, "others keep documents at this moment; ask again")
	}
	_ = http.NewResponseController(w).SetReadDeadline(time.Now().Add(maxTime)) // else the server's own time holds
	in := bufio.NewReaderSize(http.MaxBytesReader(w, r.Body, MaxBody), maxOrder)
	line, err := in.ReadSlice('\n')
	if err != nil {
		return refuse(codeOrder, "a request begins with a line of JSON of at most %d bytes", maxOrder)
	}
	var o order
	dec := json.NewDecoder(bytes.NewReader(line))
	dec.DisallowUnknownFields()
	if err := dec.Decode(&o); err != nil {
		return refuse(codeOrder, "the first line is no order: %s", err)
	}
	data, err := io.ReadAll(in)
	switch {
	case err != nil || len(data) > library.MaxDocument:
		return refuse(codeRefused, "the document did not come whole, or has more than %d bytes", library.MaxDocument)
	case o.Do != doPut && len(data) > 0:
		return refuse(codeOrder, "only %s brings a document", doPut)
	}
	out, err := d.perform(r.Context(), o, data)
	switch {
	case errors.Is(err, library.ErrNotFound):
		return refuse(codeNotFound, "there is no such document; writ docs ls lists them")
	case err != nil:
		return refuse(codeRefused, "%s", err)
	}
	if o.Do != doList {
		d.Log.InfoContext(r.Context(), "documents were kept from elsewhere", "do", o.Do, "source", o.Source,
			"changed", out.Changed)
	}
	return out
}

func (d *door) perform(ctx context.Context, o order, data []byte) (out answer, err error) {
	if o.Source == "" && o.Do != doList && o.Do != doNoteName {
		return out, errors.New("the order names no collection")
	}
	switch o.Do {
	case doList:
		if out.Documents, err = d.Library.List(ctx, o.Source); err == nil {
			out.Places, err = d.Library.Places(ctx, o.Source)
		}
	case doPut:
		return d.put(ctx, o, data)
	case doRemove:
		out.Changed, err = d.Library.Remove(ctx, o.Source, o.Name)
	case doAllow:
		out.Changed, err = d.Library.SetReaders(ctx, o.Source, o.Name, o.Readers)
	case doNotePlace:
		err = d.Library.NotePlace(ctx, o.Source, o.Place, o.Fault)
	case doNoteName:
		err = d.Library.NoteName(ctx, o.Name, o.Sequence, o.Until, o.Place)
	default:
		err = fmt.Errorf("there is no order %q", o.Do)
	}
	return out, err
}

// put takes a document in. One that is there as it is is left alone, so that a request may be made again.
func (d *door) put(ctx context.Context, o order, data []byte) (out answer, err error) {
	doc := library.Document{Source: o.Source, Name: o.Name, Media: o.Media, Data: data, Readers: o.Readers}
	if doc.Integrity, err = label.ParseIntegrity(cmp.Or(o.Integrity, "untrusted")); err != nil {
		return out, err
	}
	if doc.Secrecy, err = label.ParseSecrecy(cmp.Or(o.Secrecy, "session")); err != nil {
		return out, err
	}
	there, err := d.Library.List(ctx, o.Source)
	if err != nil {
		return out, err
	}
	if doc.IsIn(there) {
		i := slices.IndexFunc(there, func(e library.Entry) bool { return e.Name == doc.Name })
		return answer{Documents: there[i : i+1]}, nil
	}
	out.Documents, err = d.Library.Put(ctx, doc)
	out.Changed = len(out.Documents)
	return out, err
}
