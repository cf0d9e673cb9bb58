package x402

import (
	"bytes"
	"crypto/sha256"
	"encoding/hex"
	"encoding/json"
	"errors"

	"github.com/writ-run/writ/internal/strictjson"
	"github.com/writ-run/writ/tools"
)

// Arguments of a call that posts a body, and of what type the body is: JSON if nothing is said.
const (
	ArgBody  = "body"
	ArgType  = "type"
	TypeJSON = "application/json"
	TypeText = "text/plain"
)

// A Request is what a server is asked, and paid, for: a body that is posted. It is what a call's result says of that,
// as the member "request". The bytes of the body are those of the call's argument.
type Request struct {
	Method string `json:"method"`
	URL    string `json:"url"`
	Type   string `json:"type"`
	Bytes  int    `json:"bytes"`
	SHA256 string `json:"sha256"` // of the body, lower-case hex
}

// RequestOf returns what a call posts; nil if it has no body, as one that is made with GET.
func RequestOf(args tools.Args) *Request {
	body, media := args.Value(ArgBody), args.Value(ArgType)
	if !body.Set {
		return nil
	}
	sum := sha256.Sum256([]byte(body.Text))
	r := &Request{"POST", args.Value("url").Text, TypeJSON, len(body.Text), hex.EncodeToString(sum[:])}
	if media.Set {
		r.Type = media.Text
	}
	return r
}

// CheckBody says in an error why a body is not of its type: JSON must be an object or a list that all read alike.
func (r *Request) CheckBody(body string) error {
	if r.Type != TypeJSON {
		return nil
	}
	raw := []byte(body)
	if !json.Valid(raw) || strictjson.CheckDoubled(raw) != nil {
		return errors.New("it is not JSON, or a member stands twice in it")
	}
	if first := bytes.TrimLeft(raw, " \t\r\n")[0]; first != '{' && first != '[' {
		return errors.New("it is neither an object nor a list")
	}
	return nil
}

// checkRequest compares what a result says was posted with the call.
func (in *Intent) checkRequest(said *Request) error {
	switch want := RequestOf(in.Args); {
	case want == nil && said == nil, want != nil && said != nil && *want == *said:
		return nil
	case want == nil:
		return errors.New("the call has no body, and the result says that one was posted")
	case said == nil:
		return errors.New("the call has a body, and the result does not say what was posted")
	}
	return errors.New("what the result says was posted is not the call's method, address and body")
}
