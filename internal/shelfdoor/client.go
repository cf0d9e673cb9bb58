package shelfdoor

import (
	"bytes"
	"context"
	"encoding/json"
	"fmt"
	"io"
	"net/http"
	"strings"
	"time"

	"github.com/writ-run/writ/internal/library"
)

// maxAnswer bounds what is read of an answer: a list of as many documents as a library may have.
const maxAnswer = 64 << 20

// A Client keeps the documents of a server elsewhere.
type Client struct {
	URL  string       // of the server
	Pass string       // a secret
	HTTP *http.Client //
}

// A Fault says why a server did not do what it was asked.
type Fault struct {
	Code string // "unreachable", or one of the server's
	Says string
}

// Error implements error.
func (f *Fault) Error() string { return f.Says }

// IsNetwork says whether the server did not answer as it should.
func (f *Fault) IsNetwork() bool { return f.Code == "unreachable" || f.Code == codeBusy }

func (c *Client) ask(ctx context.Context, o order, data []byte) (out answer, err error) {
	unreachable := func(format string, args ...any) (answer, error) {
		return answer{}, &Fault{"unreachable", fmt.Sprintf(format, args...)}
	}
	line, err := json.Marshal(o)
	if err != nil {
		return out, err
	}
	ctx, stop := context.WithTimeout(ctx, 2*maxTime)
	defer stop()
	body := io.MultiReader(bytes.NewReader(append(line, '\n')), bytes.NewReader(data))
	r, err := http.NewRequestWithContext(ctx, http.MethodPost, strings.TrimSuffix(c.URL, "/")+Path, body)
	if err != nil {
		return unreachable("%s is no server's address", c.URL)
	}
	r.Header.Set("Authorization", "Bearer "+c.Pass)
	resp, err := c.HTTP.Do(r)
	if err != nil {
		return unreachable("no server answers at %s; give --server URL, or start it", c.URL)
	}
	defer resp.Body.Close()
	text, err := io.ReadAll(io.LimitReader(resp.Body, maxAnswer))
	if err != nil {
		return unreachable("the server's answer did not come whole; ask again, which does nothing twice")
	}
	switch err := json.Unmarshal(text, &out); {
	case err == nil && out.Error != nil && out.Error.Code == codeNotFound:
		return out, library.ErrNotFound
	case err == nil && out.Error != nil:
		return out, &Fault{out.Error.Code, out.Error.Message}
	case err != nil || resp.StatusCode != http.StatusOK:
		return unreachable("%s does not take documents so: %s", c.URL, strings.TrimSpace(string(text[:min(len(text), 200)])))
	}
	return out, nil
}

// List lists documents, as [library.Library.List].
func (c *Client) List(ctx context.Context, source string) ([]library.Entry, error) {
	out, err := c.ask(ctx, order{Do: doList, Source: source}, nil)
	return out.Documents, err
}

// Places lists where collections are from, as [library.Library.Places].
func (c *Client) Places(ctx context.Context, source string) ([]library.Place, error) {
	out, err := c.ask(ctx, order{Do: doList, Source: source}, nil)
	return out.Places, err
}

// Put takes documents in, one after the other: an error says how many were. To put them again changes nothing.
func (c *Client) Put(ctx context.Context, list ...library.Document) (all []library.Entry, err error) {
	for i, d := range list {
		out, err := c.ask(ctx, order{
			Do: doPut, Source: d.Source, Name: d.Name, Media: d.Media, Integrity: d.Integrity.String(),
			Secrecy: d.Secrecy.String(), Readers: d.Readers,
		}, d.Data)
		if f, ok := err.(*Fault); ok && len(list) > 1 {
			f.Says = fmt.Sprintf("%s; %d of %d documents were taken in", f.Says, i, len(list))
		}
		if err != nil {
			return all, err
		}
		all = append(all, out.Documents...)
	}
	return all, nil
}

// Remove deletes documents, as [library.Library.Remove].
func (c *Client) Remove(ctx context.Context, source, name string) (int, error) {
	out, err := c.ask(ctx, order{Do: doRemove, Source: source, Name: name}, nil)
	return out.Changed, err
}

// SetReaders says anew who may read, as [library.Library.SetReaders].
func (c *Client) SetReaders(ctx context.Context, source, name string, readers []library.Reader) (int, error) {
	out, err := c.ask(ctx, order{Do: doAllow, Source: source, Name: name, Readers: readers}, nil)
	return out.Changed, err
}

// NotePlace notes what came of reading a place, as [library.Library.NotePlace].
func (c *Client) NotePlace(ctx context.Context, source, place, fault string) error {
	_, err := c.ask(ctx, order{Do: doNotePlace, Source: source, Place: place, Fault: fault}, nil)
	return err
}

// NoteName notes the newest record of a name, as [library.Library.NoteName].
func (c *Client) NoteName(ctx context.Context, name string, sequence uint64, until time.Time, root string) error {
	_, err := c.ask(ctx, order{Do: doNoteName, Name: name, Sequence: sequence, Until: until, Place: root}, nil)
	return err
}
