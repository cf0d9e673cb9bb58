// Package wire is the protocol writ.v1.json as Go types: JSON-RPC 2.0, one object a WebSocket text frame, or one a POST
// to [Path]. docs/protocol.md tells it to those who write a client.
//
// A client sends a [Request] that [ParseRequest] reads strictly, and gets a [Response] with a result or an [*Error].
// The server also sends [Notification]s: first [Hello], which names the channel, then [RunEvent]s, [RunDelta]s and
// [SessionRevoked]. [Methods] lists every method with the types of its params and result; [OpenRPC] describes them
// to machines, from the same types.
//
// A method that acts is signed. The request then carries an extra member beside the four of JSON-RPC,
//
//	"auth": {"seq": 1, "sig": "<base64url of the session key's signature>"}
//
// and what is signed is the session, the channel, seq, the method and the exact bytes of params as they stand in the
// frame. seq counts the signed requests of one channel from 1 without gaps.
//
// Everything is bounded: [MaxFrame], [MaxDepth], and the form of each text, which stands in the types' "form" tags.
// There is no null: an optional key is absent.
package wire

import (
	"bytes"
	"encoding/base64"
	"encoding/json"
	"fmt"
	"strconv"
	"unicode/utf8"
)

// Subprotocol is the WebSocket subprotocol that both sides must name.
const Subprotocol = "writ.v1.json"

// Over plain HTTP, requests go to Path, and those that belong to a channel name it in the header Channel, as [Hello]
// gave it.
const (
	Path    = "/rpc"
	Channel = "Writ-Channel"
)

// Bounds of a frame.
const (
	MaxFrame      = 256 << 10 // bytes, once a session is open
	MaxFrameEarly = 64 << 10  // bytes, before
	MaxDepth      = 32        // nested arrays and objects
)

// Codes with which the server closes a socket, besides those of RFC 6455.
const (
	CloseUnauthorized = 4401 // no session was opened in time, or it expired
	CloseRevoked      = 4403 // the session was revoked
	CloseRate         = 4429 // too many frames, even after -32005
)

// A Request is one call by a client.
type Request struct {
	JSONRPC string          `json:"jsonrpc" form:"text" max:"3"`
	ID      json.RawMessage `json:"id"` // a text of 1 to 64 bytes, or an integer within 2^53, as it was written
	Method  string          `json:"method" form:"text" max:"64"`
	Params  json.RawMessage `json:"params,omitempty"` // an object; the exact bytes of the frame
	Auth    *Auth           `json:"auth,omitempty"`   // signed methods only
}

// Auth signs a request.
type Auth struct {
	Seq uint64    `json:"seq"`
	Sig Signature `json:"sig" form:"base64url" max:"128"`
}

// A Signature is bytes that travel as base64url without padding.
type Signature []byte

// MarshalText writes base64url without padding.
func (s Signature) MarshalText() ([]byte, error) {
	return base64.RawURLEncoding.AppendEncode(nil, s), nil
}

// UnmarshalText reads the one spelling that MarshalText writes.
func (s *Signature) UnmarshalText(b []byte) error {
	out, err := base64.RawURLEncoding.Strict().DecodeString(string(b))
	if err != nil {
		return fmt.Errorf("not base64url without padding")
	}
	*s = out
	return nil
}

// ParseRequest reads a client's frame. If the frame is bad but its id could be read, the Request holds that id, so
// that the answer can name it. The error is an [*Error].
func ParseRequest(frame []byte) (Request, error) {
	var r Request
	for _, c := range frame {
		if c == '[' {
			return Request{}, Errorf(CodeBatch, "Send one request object a frame; batches are not taken.")
		}
		if c != ' ' && c != '\t' && c != '\n' && c != '\r' {
			break
		}
	}
	if err := DecodeStrict(frame, &r); err != nil {
		e := errorOfWire(err)
		if e.Data.Code == CodeParams { // the envelope's fields are not params
			e = Errorf(CodeRequest, "%s", e.Message)
		}
		return Request{ID: findID(frame)}, e
	}
	switch {
	case isBadID(r.ID):
		return Request{}, Errorf(CodeRequest, "id must be a text of 1 to 64 bytes or an integer within 2^53.")
	case r.JSONRPC != "2.0":
		return Request{ID: r.ID}, Errorf(CodeRequest, `jsonrpc must be "2.0".`)
	case r.Params != nil && r.Params[0] != '{':
		return Request{ID: r.ID}, Errorf(CodeRequest, "params must be an object.")
	case r.Auth != nil && len(r.Auth.Sig) != 64 && len(r.Auth.Sig) != 65:
		return Request{ID: r.ID}, Errorf(CodeRequest, "auth.sig must be 64 or 65 bytes in base64url.")
	}
	return r, nil
}

// findID returns the id of a frame that is an object of JSON and no request of this protocol, or nil if it has none or
// two.
func findID(frame []byte) (id json.RawMessage) {
	d := json.NewDecoder(bytes.NewReader(frame))
	if open, err := d.Token(); err != nil || open != json.Delim('{') {
		return nil
	}
	for d.More() {
		key, err := d.Token()
		var value json.RawMessage
		if err == nil {
			err = d.Decode(&value)
		}
		if err != nil || key == "id" && id != nil {
			return nil
		}
		if key == "id" {
			id = value
		}
	}
	if _, err := d.Token(); err != nil || isBadID(id) || !utf8.Valid(id) {
		return nil
	}
	return id
}

func isBadID(id json.RawMessage) bool {
	if len(id) == 0 {
		return true
	}
	if id[0] == '"' {
		var s string
		return json.Unmarshal(id, &s) != nil || s == "" || len(s) > 64
	}
	n, err := strconv.ParseInt(string(id), 10, 64)
	return err != nil || n > 1<<53 || n < -1<<53
}

// A Response answers one request. Exactly one of Result and Error is there. ID is the request's, or null if that
// could not be read.
type Response struct {
	JSONRPC string          `json:"jsonrpc"`
	ID      json.RawMessage `json:"id"`
	Result  any             `json:"result,omitempty"`
	Error   *Error          `json:"error,omitempty"`
}

// A Notification is what the server says unasked. Method is one of the Note constants.
type Notification struct {
	JSONRPC string `json:"jsonrpc"`
	Method  string `json:"method"`
	Params  any    `json:"params"`
}

// Methods of notifications.
const (
	NoteHello   = "hello"           // [Hello]
	NoteEvent   = "run.event"       // [RunEvent]
	NoteDelta   = "run.delta"       // [RunDelta]
	NoteReceipt = "run.receipt"     // [RunReceipt]
	NoteRevoked = "session.revoked" // [SessionRevoked]
)

// Hello is the first frame of every socket, and what the method [Greet] returns.
type Hello struct {
	Channel string `json:"channel" form:"hex32"` // chance, part of what signed requests sign
	Server  string `json:"server" form:"text" max:"64"`
	Version string `json:"version" form:"text" max:"64"`
	Epoch   string `json:"epoch" form:"text" max:"128"` // of the store; see [From]
}
