package approval

import (
	"crypto/sha256"
	"encoding/json"
	"slices"
	"strings"
	"testing"
	"time"

	"github.com/ethereum/go-ethereum/common"
	"github.com/ipfs/go-cid"
	"github.com/multiformats/go-multihash"

	"github.com/writ-run/writ/agent/wire"
	"github.com/writ-run/writ/auth"
	"github.com/writ-run/writ/internal/wording"
)

// asks returns what a server sends of a call that waits for the wallet, with these arguments.
func asks(t *testing.T, args string) (account string, w wire.Approval) {
	t.Helper()
	h, err := multihash.Sum([]byte("x"), multihash.SHA2_256, -1)
	if err != nil {
		t.Fatal(err)
	}
	link := cid.NewCidV1(cid.DagCBOR, h)
	a := auth.Approval{Chain: 1, Account: common.HexToAddress("0xa1"), Session: link, Run: link, Step: link, Tool: "mail.send",
		Args: sha256.Sum256([]byte(args)), Summary: "mail.send " + wording.SpellShort(args, 400), NotAfter: time.Now().Add(time.Hour).UTC().Truncate(time.Second)}
	message, err := a.MarshalJSON()
	if err != nil {
		t.Fatal(err)
	}
	summary, err := json.Marshal(map[string]any{"text": a.Summary, "args": json.RawMessage(args), "why": []string{"a\u202erule"}})
	if err != nil {
		t.Fatal(err)
	}
	return a.Account.Hex(), wire.Approval{Run: link.String(), Step: link.String(), Message: string(message), Summary: summary}
}

// The card and the page, which has the same rows, show what is signed: nothing in the arguments hides, moves or poses.
func TestRowsShowWhatIsSigned(t *testing.T) {
	seen := map[string]string{}
	for _, text := range []string{"paypal", "p\u0430ypal", "pay\u200bpal", "pay\u202epal", "paypal\ufe0f", "paypal\U000e0061", "pa\u00adypal",
		"paypal\u2061", "paypal\ufeff", "paypal\u200e", "paypal\u2028", strings.Repeat("x", 500) + "a", strings.Repeat("x", 500) + "b"} {
		raw, err := json.Marshal(json.RawMessage(`{"to":"` + text + `"}`)) // as it is sent
		if err != nil {
			t.Fatal(err)
		}
		args := string(raw)
		account, w := asks(t, args)
		rows, err := Rows(account, w)
		if err != nil {
			t.Fatal(err)
		}
		signed, err := Read(account, w)
		if err != nil {
			t.Fatal(err)
		}
		if rows[0] != [2]string{"what", signed.Summary} {
			t.Errorf("%q is shown for %q, which is signed", rows[0], signed.Summary)
		}
		if w.Summary = json.RawMessage(`{"text":"a\u202e` + `<b"}`); Summary(w) != wording.Reveal("a\u202e<b") {
			t.Errorf("a line that is not spelled out is shown as %q", Summary(w))
		}
		var what, arguments, because string
		for _, r := range rows {
			switch r[0] {
			case "what":
				what = r[1]
			case "arguments":
				arguments = r[1]
			case "because":
				because = r[1]
			}
			if wording.Plain(r[1]) != r[1] {
				t.Errorf("%+q: a row hides something: %+q", text, r[1])
			}
		}
		if arguments == "" && what == signed.Tool+" "+wording.Reveal(args) {
			arguments = wording.Reveal(args)
		}
		if arguments != wording.Reveal(args) || because != "a<U+202E right-to-left override>rule" {
			t.Errorf("%+q: got %q because %q", text, arguments, because)
		}
		for _, shown := range []string{"what " + what, "arguments " + arguments} {
			if other, twice := seen[shown]; twice {
				t.Errorf("%+q and %+q are shown the same: %s", text, other, shown)
			}
			seen[shown] = text
		}
		if len(text) > 400 && !strings.Contains(what, "bytes, SHA-256 ") {
			t.Errorf("cut without its length and hash: %s", what)
		}
	}
}

// What the user's own wallet is to send is shown with the figures and the reasons that an approval would have.
func TestWhatTheOwnWalletSendsIsShownAsAnApprovalIs(t *testing.T) {
	rows := SendRows(wire.WalletCall{Summary: json.RawMessage(`{"amount":"10 TOK","debit":"10 TOK","credit":"5 TOK","asked":"5 TOK",
		"over":"5 TOK","others":1,"why":["the recipient may come from untrusted content: \u202eevil"]}`)})
	want := [][2]string{{"would leave", "10 TOK"}, {"would arrive", "5 TOK"}, {"the call says", "5 TOK"}, {"beyond the call", "5 TOK"},
		{"besides", "1 transfer or allowance to others"},
		{"because", "the recipient may come from untrusted content: <U+202E right-to-left override>evil"}}
	if !slices.Equal(rows, want) {
		t.Errorf("shown %q", rows)
	}
	if rows := SendRows(wire.WalletCall{}); len(rows) != 1 || rows[0][0] != "WARNING" {
		t.Errorf("of a server that says nothing: %q", rows)
	}
}

// A person sees by how much a call would take more than it says, and that others are paid.
func TestRowsShowWhatGoesBeyondTheCall(t *testing.T) {
	account, w := asks(t, `{"a":1}`)
	var sum map[string]any
	if err := json.Unmarshal(w.Summary, &sum); err != nil {
		t.Fatal(err)
	}
	sum["debit"], sum["credit"], sum["asked"], sum["over"], sum["others"] = "10 TOK", "5 TOK", "5 TOK", "5 TOK", 2
	var err error
	if w.Summary, err = json.Marshal(sum); err != nil {
		t.Fatal(err)
	}
	rows, err := Rows(account, w)
	if err != nil {
		t.Fatal(err)
	}
	got := map[string]string{}
	for _, r := range rows {
		got[r[0]] = r[1]
	}
	for name, want := range map[string]string{"the call says": "5 TOK", "would leave": "10 TOK", "would arrive": "5 TOK",
		"beyond the call": "5 TOK", "besides": "2 transfers or allowances to others"} {
		if got[name] != want {
			t.Errorf("%s: got %q, want %q", name, got[name], want)
		}
	}
}
