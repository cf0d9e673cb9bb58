// Package attach reads the files that a request brings with it.
//
// The signed request names each by the CID, size and media type of its bytes; the event beside it has the bytes, in
// pieces that fit a payload. [Read] holds one to the other, so who can read a run's record knows that the model was
// given just the files that its user signed for. What a file says is material: no rule reads an order in it, and no
// value of it is typed by the user. Its label says so, whoever attached it: users attach what others have written.
package attach

import (
	"bytes"
	"encoding/json"
	"fmt"
	"slices"
	"strings"
	"unicode/utf8"

	"github.com/ipfs/go-cid"

	"github.com/writ-run/writ/agent/definition"
	"github.com/writ-run/writ/agent/model"
	"github.com/writ-run/writ/agent/wire"
	"github.com/writ-run/writ/policies/label"
	"github.com/writ-run/writ/policies/turn"
	"github.com/writ-run/writ/provenance"
)

// Bounds of files, in bytes but for MaxFiles.
const (
	MaxFiles = 8         // of a request
	MaxText  = 256 << 10 // of a text
	MaxImage = 4 << 20   // of an image
	MaxSum   = 8 << 20   // of a request's files together
	MaxRun   = 16 << 20  // of a run's
)

// A FileError says why a file is not taken: it is not what it is called, or is none that can be attached.
type FileError struct{ Says string } // a sentence for the user, without its full stop

// Error says it in one sentence for the user.
func (e *FileError) Error() string { return "a file cannot be attached: " + e.Says }

// Refuse makes a [FileError].
func Refuse(format string, args ...any) error { return &FileError{fmt.Sprintf(format, args...)} }

// Origin is where what a file says comes from, as labels name it.
const Origin = "user:attachment"

// LabelOf is the label of files; the zero label if there are none. They are the session's to see, as the user's words
// are, and trusted no more than a page that the user might have named: who shows a letter has not written it.
func LabelOf(files []model.File) label.Label {
	if len(files) == 0 {
		return label.Label{}
	}
	return label.Label{Integrity: label.Untrusted, Secrecy: label.Session, Origins: []string{Origin}}
}

// Measure returns what policies see of files.
func Measure(files []model.File) (f turn.Files) {
	var types []string
	for _, x := range files {
		f.Count++
		f.Bytes += int64(len(x.Data))
		f.Largest = max(f.Largest, int64(len(x.Data)))
		if x.IsImage() {
			f.Images++
		}
		types = append(types, x.Type)
	}
	slices.Sort(types)
	f.Types = strings.Join(slices.Compact(types), " ")
	return f
}

// CIDOf returns the name of a file's bytes.
func CIDOf(data []byte) string { return provenance.Sum(cid.Raw, data).String() }

// Split cuts a file into pieces that fit a payload each.
func Split(data []byte) (pieces []provenance.Piece) {
	for {
		n := min(len(data), provenance.MaxPayload)
		pieces = append(pieces, provenance.Piece{Data: provenance.NewPayload(data[:n])})
		if data = data[n:]; len(data) == 0 {
			return pieces
		}
	}
}

// Read returns the files that a request names, of the pieces beside it. before is how many bytes of files the run has
// already. It fails with a [FileError], or with definition.ErrSealed if a piece is not open.
func Read(named []wire.Attached, pieces []provenance.Piece, before int64) ([]model.File, error) {
	if err := Check(named); err != nil {
		return nil, err
	}
	if sum := before + Sum(named); sum > MaxRun {
		return nil, Refuse("the files of a run have %d bytes, more than %d; begin another run", sum, MaxRun)
	}
	var files []model.File
	for _, f := range named {
		var data []byte
		for left := int64(f.Size); left > 0; left -= provenance.MaxPayload {
			if len(pieces) == 0 {
				return nil, Refuse("a piece of %s is missing", f.CID)
			}
			b, open := pieces[0].Data.Bytes()
			if !open {
				return nil, fmt.Errorf("the file %s: %w", f.CID, definition.ErrSealed)
			}
			data, pieces = append(data, b...), pieces[1:]
		}
		if err := CheckData(f, data); err != nil {
			return nil, err
		}
		files = append(files, model.File{CID: f.CID, Name: f.Name, Type: f.Type, Data: data})
	}
	if len(pieces) > 0 {
		return nil, Refuse("there are pieces of no file that the request names")
	}
	return files, nil
}

// Check says what is wrong with the files that a request names, before their bytes are looked at.
func Check(named []wire.Attached) error {
	if len(named) > MaxFiles {
		return Refuse("a request attaches %d files at most, not %d", MaxFiles, len(named))
	}
	for i, f := range named {
		most := uint64(MaxText)
		switch {
		case images[f.Type] != nil:
			most = MaxImage
		case f.Type != "application/json" && !strings.HasPrefix(f.Type, "text/"):
			return Refuse("%s is of the type %s; texts, CSV, Markdown, JSON and images as PNG, JPEG, WebP and GIF are "+
				"taken. Save it as one of these", nameOf(f), f.Type)
		}
		if f.Size == 0 || f.Size > most {
			return Refuse("%s has %d bytes; as %s, 1 to %d are taken", nameOf(f), f.Size, f.Type, most)
		}
		for _, other := range named[:i] {
			if other.CID == f.CID {
				return Refuse("%s is attached twice", nameOf(f))
			}
		}
	}
	if sum := Sum(named); sum > MaxSum {
		return Refuse("the files have %d bytes together; at most %d are taken with one request", sum, MaxSum)
	}
	return nil
}

// Sum is how many bytes the files have together.
func Sum(named []wire.Attached) (n int64) {
	for _, f := range named {
		n += int64(f.Size)
	}
	return n
}

// CheckData holds the bytes of a file to what a request says of it.
func CheckData(f wire.Attached, data []byte) error {
	is := ImageType(data)
	switch {
	case uint64(len(data)) != f.Size || CIDOf(data) != f.CID:
		return Refuse("the bytes are not those of %s", f.CID)
	case images[f.Type] != nil && is != f.Type:
		return Refuse("%s is called %s, and its bytes are not one", nameOf(f), f.Type)
	case images[f.Type] != nil:
		return nil
	case is != "" || !utf8.Valid(data) || bytes.IndexFunc(data, isControl) >= 0:
		return Refuse("%s is called %s, and its bytes are no text in UTF-8", nameOf(f), f.Type)
	case f.Type == "application/json" && !json.Valid(data):
		return Refuse("%s is called application/json, and is not JSON", nameOf(f))
	}
	return nil
}

// isControl says whether a character is none of a text.
func isControl(r rune) bool {
	return r < ' ' && r != '\n' && r != '\r' && r != '\t' && r != '\f' || r == 0x7f
}

// images say by what the bytes of each form of image begin.
var images = map[string]func(b []byte) bool{
	"image/png":  func(b []byte) bool { return bytes.HasPrefix(b, []byte("\x89PNG\r\n\x1a\n")) },
	"image/jpeg": func(b []byte) bool { return bytes.HasPrefix(b, []byte("\xff\xd8\xff")) },
	"image/gif": func(b []byte) bool {
		return bytes.HasPrefix(b, []byte("GIF87a")) || bytes.HasPrefix(b, []byte("GIF89a"))
	},
	"image/webp": func(b []byte) bool {
		return len(b) >= 12 && bytes.HasPrefix(b, []byte("RIFF")) && string(b[8:12]) == "WEBP"
	},
}

// ImageType returns what image bytes are, by what they begin with; empty if they are none that is taken.
func ImageType(data []byte) string {
	for name, is := range images {
		if is(data) {
			return name
		}
	}
	return ""
}

// TypeOf returns the media type of a file that its user does not say: an image's by its bytes, a text's by the end of
// its name, which is no more than a word of the user's. It is empty if the file is none that is taken.
func TypeOf(name string, data []byte) string {
	if is := ImageType(data); is != "" {
		return is
	}
	is := "text/plain"
	for end, of := range map[string]string{
		".md": "text/markdown", ".markdown": "text/markdown", ".csv": "text/csv", ".json": "application/json",
		".html": "text/html", ".htm": "text/html",
	} {
		if strings.HasSuffix(strings.ToLower(name), end) {
			is = of
		}
	}
	f := wire.Attached{CID: CIDOf(data), Size: uint64(len(data)), Type: is}
	if CheckData(f, data) != nil {
		return ""
	}
	return is
}

func nameOf(f wire.Attached) string {
	if f.Name == "" {
		return f.CID
	}
	return fmt.Sprintf("%q", f.Name)
}
