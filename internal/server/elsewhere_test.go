package server

import (
	"encoding/json"
	"testing"

	"github.com/ipfs/go-cid"

	"github.com/writ-run/writ/agent/wire"
)

// A wallet may sign here for a place elsewhere; what was opened then is of no use here, on its own connection, on
// another one, or posted. Its number is not taken, so that its owner can go on where it is good.
func TestASessionForAnotherPlaceIsOfNoUseHere(t *testing.T) {
	f := serve(t, Limits{}, nil)
	owners := f.connect().signIn(wallet(1)).start("key-00002").String()
	for name, tt := range map[string]struct {
		from []string
		want wire.Code
	}{
		"this machine":      {[]string{"127.0.0.1", "::1"}, ""},
		"another network":   {[]string{"203.0.113.0/24"}, wire.CodeElsewhere},
		"a page":            {[]string{"https://app.example.com"}, wire.CodeElsewhere},
		"here, by a page":   {[]string{"127.0.0.0/8", "https://app.example.com"}, wire.CodeElsewhere},
		"what is no source": {[]string{"example.com"}, wire.CodeParams},
		"nothing":           {[]string{}, wire.CodeParams},
	} {
		t.Run(name, func(t *testing.T) {
			key := f.connect()
			limits := map[string]any{"from": tt.from}
			params := map[string]any{
				"account": wallet(1).Address().Hex(), "chain": 1337, "key": key.key.Public().String(), "agent": "reader", "limits": limits,
			}
			a := key.call(wire.SessionAsk, params)
			if a.Error != nil {
				if a.code() != tt.want {
					t.Errorf("challenge: %+v, want %q", a.Error, tt.want)
				}
				return
			}
			var ch wire.Challenge
			if err := json.Unmarshal(a.Result, &ch); err != nil {
				t.Fatal(err)
			}
			var s wire.Session
			if a := key.act(wire.SessionOpen, signed(t, wallet(1), ch.Message)); a.Error != nil || json.Unmarshal(a.Result, &s) != nil {
				t.Fatalf("open: %+v", a.Error)
			}
			key.session = cid.MustParse(s.ID)
			if a := key.call(wire.RunList, wire.ListParams{}); a.code() != tt.want {
				t.Errorf("a question: %+v, want %q", a.Error, tt.want)
			}
			hidden := map[bool]wire.Code{true: wire.CodeForbidden}[tt.want != ""]
			if a := key.call(wire.ProvenanceFetch, wire.ProvenanceParams{Run: owners, Keys: true}); a.code() != hidden {
				t.Errorf("keys of the wallet's run: %+v, want %q", a.Error, hidden)
			}
			start := wire.StartParams{Agent: "reader", Input: "hi", Key: "key-00001"}
			for range 2 {
				a := key.say(request(wire.RunStart, start, key.sign(key.session, key.seq+1, wire.RunStart, start)))
				if a.code() != tt.want {
					t.Errorf("a run: %+v, want %q", a.Error, tt.want)
				}
				if tt.want == "" {
					break
				}
			}
			other := f.connect()
			other.key, other.session = key.key, key.session
			if a := other.act(wire.SessionOpen, wire.OpenParams{Session: s.ID}); a.code() != tt.want {
				t.Errorf("taken up on another connection: %+v, want %q", a.Error, tt.want)
			}
			p := f.poster().greet()
			p.key, p.session = key.key, key.session
			if a := p.act(wire.SessionOpen, wire.OpenParams{Session: s.ID}); a.code() != tt.want {
				t.Errorf("taken up by a post: %+v, want %q", a.Error, tt.want)
			}
		})
	}
}
