package grounds

import (
	"cmp"
	"encoding/json"
	"errors"
	"fmt"

	"github.com/writ-run/writ/agent/attach"
	"github.com/writ-run/writ/agent/foreign"
	"github.com/writ-run/writ/agent/search"
	"github.com/writ-run/writ/agent/wire"
	"github.com/writ-run/writ/provenance"
)

// AddStep takes in what a step of the run says: the request, or what a tool returned.
func (e *Evidence) AddStep(s *provenance.Step) {
	switch ev := s.Event.(type) {
	case *provenance.Ask:
		params, open := ev.Request.Bytes()
		var files []wire.Attached
		var sent wire.SendParams
		if open && ev.Method == wire.RunSend && wire.DecodeStrict(params, &sent) == nil {
			e.AddRequest(sent.Text)
			files = sent.Files
		} else if p, _, err := foreign.ReadAsk(ev.Method, params); open && err == nil {
			e.AddRequest(p.Input)
			files = p.Files
		} else {
			e.sealed = true
		}
		e.addFiles(files, ev.Files)
	case *provenance.Result:
		if ev.Output == nil {
			return
		}
		out, open := ev.Output.Bytes()
		if !open {
			e.sealed = true
			return
		}
		e.AddResult(s.Seq, out)
	}
}

// addFiles takes in the texts that the user attached. What an image shows is not known here.
func (e *Evidence) addFiles(named []wire.Attached, pieces []provenance.Piece) {
	files, err := attach.Read(named, pieces, 0)
	if err != nil {
		e.sealed = true
	}
	for _, f := range files {
		if f.IsImage() {
			e.sealed = true
		} else {
			e.addText("the file "+cmp.Or(f.Name, f.CID), "", string(f.Data))
		}
	}
	e.sealed = e.sealed || len(files) > 0 && len(e.known) == maxKnown
}

// Complete says whether all steps could be read. If not, a figure that rests on nothing may rest on what is sealed, or
// on what an image shows.
func (e *Evidence) Complete() bool { return !e.sealed }

// AnswerOf returns what a step says to the user.
func AnswerOf(s *provenance.Step) (text string, ok bool) {
	for _, x := range s.Does {
		if say, is := x.(*provenance.Say); is {
			b, open := say.Text.Bytes()
			text, ok = string(b), open
		}
	}
	return text, ok
}

// ErrPassage says that a passage is not what its CID or its number says.
var ErrPassage = errors.New("a passage is not what it is called")

// CheckPassages holds the passages of a search in a library to their CIDs and numbers: each chunk's CID is that of its
// four fields, and its number that of the call, of, and its place; numbers go on from call to call of a step. It
// returns the CIDs. What is no such result passes.
func CheckPassages(of provenance.Ref, output []byte) (chunks []string, err error) {
	var out struct {
		Snapshot  string
		Documents []struct {
			Cite, Chunk    string
			Document, Text string
			From           int
			Heading        string
		}
	}
	if json.Unmarshal(output, &out) != nil || out.Snapshot == "" {
		return nil, nil
	}
	for i, d := range out.Documents {
		c := search.Chunk{Document: d.Document, From: d.From, Heading: d.Heading, Text: d.Text}
		if is := search.CIDOf(c.Bytes()); is != d.Chunk {
			return nil, fmt.Errorf("passage %s is called %s and its CID is %s: %w", d.Cite, d.Chunk, is, ErrPassage)
		}
		if want := fmt.Sprintf("%d.%d", of.Seq, int(of.Index)*search.MaxHits+i+1); d.Cite != want {
			return nil, fmt.Errorf("the passage at the place of %s is called %s: %w", want, d.Cite, ErrPassage)
		}
		chunks = append(chunks, d.Chunk)
	}
	return chunks, nil
}
