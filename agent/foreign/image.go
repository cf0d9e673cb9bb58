package foreign

import (
	"encoding/base64"
	"encoding/json"
	"errors"
	"slices"
	"strings"

	"github.com/writ-run/writ/agent/attach"
	"github.com/writ-run/writ/agent/wire"
)

// An image is one of a part: OpenAI's with an address in the form of a data URL, Anthropic's with its bytes beside.
type image struct {
	URL    json.RawMessage `json:"image_url"` // {"url"} of Chat Completions, a text of Responses
	Source struct {
		Type  string `json:"type"`
		Media string `json:"media_type"`
		Data  string `json:"data"`
		URL   string `json:"url"`
	} `json:"source"`
}

var errRemote = wire.Errorf(wire.CodeParams, "An image is named by a URL, and this server fetches nothing for a "+
	"request: send the image itself, as a data: URL or as base64.")

// bytes returns the image, whose form is by its bytes and not by what it is called.
func (i image) bytes() ([]byte, error) {
	data := i.Source.Data
	if len(i.URL) > 0 {
		var url string
		var object struct {
			URL string `json:"url"`
		}
		if json.Unmarshal(i.URL, &url) != nil && json.Unmarshal(i.URL, &object) != nil {
			return nil, wire.Errorf(wire.CodeParams, "%q must be a text, or an object with a url.", "image_url")
		}
		if url == "" {
			url = object.URL
		}
		form, rest, found := strings.Cut(url, ";base64,")
		if !found || !strings.HasPrefix(form, "data:image/") {
			return nil, errRemote
		}
		data = rest
	} else if i.Source.Type != "base64" {
		return nil, errRemote
	}
	b, err := base64.StdEncoding.DecodeString(data)
	if err != nil || attach.ImageType(b) == "" {
		return nil, wire.Errorf(wire.CodeParams, "An image is not PNG, JPEG, WebP or GIF in base64.")
	}
	return b, nil
}

// addFile notes a file of a conversation, once.
func (r *Request) addFile(data []byte) error {
	f := wire.Attached{CID: attach.CIDOf(data), Size: uint64(len(data)), Type: attach.ImageType(data)}
	if slices.ContainsFunc(r.Files, func(o wire.Attached) bool { return o.CID == f.CID }) {
		return nil
	}
	r.Files, r.Data = append(r.Files, f), append(r.Data, data)
	if err := attach.Check(r.Files); err != nil {
		return explainFile(err)
	}
	return nil
}

func explainFile(err error) error {
	if f, ok := errors.AsType[*attach.FileError](err); ok {
		return wire.Errorf(wire.CodeParams, "A file cannot be attached: %s.", f.Says)
	}
	return err
}
