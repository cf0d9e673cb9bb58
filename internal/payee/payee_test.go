package payee

import (
	"strings"
	"testing"

	"github.com/ethereum/go-ethereum/common"

	"github.com/writ-run/writ/policies/label"
)

var (
	bob   = common.HexToAddress("0x7A95aa11223344556677889900aabbccddeebfe6")
	twin  = common.HexToAddress("0x7A9500000000000000000000000000000000bfe6")
	other = common.HexToAddress("0x00000000000000000000000000000000000000f6")
)

func TestFindings(t *testing.T) {
	book := map[common.Address]string{bob: "bob"}
	for _, c := range []struct {
		says string
		q    Question
		want []string // kind, tone, and a part of the text
	}{
		{"one who was paid before is told with how often", Question{Pays: true, To: bob, Known: book, Paid: map[common.Address]int{bob: 3}, Runs: 5, Typed: true},
			[]string{"payee plain bob, as the operator's address book calls this address, 3 times", "origin plain own words", "reserve plain when you approve"}},
		{"a first payment says how much was looked at", Question{Pays: true, To: bob, Known: book, Runs: 1, Typed: true},
			[]string{"payee mind first payment to bob, as the operator's address book calls this address, in the one run that was looked at", "origin plain", "reserve plain"}},
		{"an address like one that was paid is a reason to stop", Question{Pays: true, To: twin, Paid: map[common.Address]int{bob: 1}, Runs: 9, Typed: true},
			[]string{"payee mind", "resembles stop begins and ends like an address that was paid before, " + bob.Hex(), "origin plain", "reserve plain"}},
		{"an address like one of the book is a reason to stop", Question{Pays: true, To: twin, Known: book, Typed: true},
			[]string{"payee mind nobody yet", "resembles stop bob in the operator's address book", "origin plain", "reserve plain"}},
		{"one that is itself known resembles nobody", Question{Pays: true, To: twin, Known: map[common.Address]string{twin: "carol", bob: "bob"}, Typed: true},
			[]string{"payee mind", "origin plain", "reserve plain"}},
		{"another address resembles nobody", Question{Pays: true, To: other, Known: book, Typed: true},
			[]string{"payee mind", "origin plain", "reserve plain"}},
		{"letters of another alphabet are spelled out", Question{Args: []byte("{\"to\":\"p\u0430ypal\"}"), Typed: true},
			[]string{"characters stop p<U+0430 Cyrillic, looks like a>ypal", "origin plain"}},
		{"so is what cannot be seen, in a key too", Question{Args: []byte("{\"a\u200b\":[{\"b\":\"c\"}]}"), Typed: true},
			[]string{"characters stop a<U+200B zero width space>", "origin plain"}},
		{"words in one alphabet are no reason", Question{Args: []byte(`{"to":"Привет","n":5}`), Typed: true}, []string{"origin plain"}},
		{"what a page said is told with its origin", Question{Label: label.Label{Integrity: label.Untrusted, Origins: []string{"web:evil.example"}}},
			[]string{"origin mind web content of evil.example"}},
		{"what a tool said is told", Question{Label: label.Label{Integrity: label.Tool, Origins: []string{"tool:crm"}}},
			[]string{"origin plain what the tool crm returned"}},
		{"nothing but the user and a model", Question{Label: label.Label{Integrity: label.User}}, []string{"origin plain Only you"}},
	} {
		got := Findings(c.q)
		if len(got) != len(c.want) {
			t.Errorf("%s: got %v", c.says, got)
			continue
		}
		for i, f := range got {
			head := f.Kind + " " + string(f.Tone)
			part := strings.TrimSpace(strings.TrimPrefix(c.want[i], head))
			if !strings.HasPrefix(c.want[i], head) || !strings.Contains(f.Text, part) || !strings.HasSuffix(f.Text, ".") {
				t.Errorf("%s: got %s %s, want %s", c.says, head, f.Text, c.want[i])
			}
		}
	}
}

func TestResemble(t *testing.T) {
	for _, c := range []struct {
		a, b string
		want bool
	}{
		{"0x1234000000000000000000000000000000005678", "0x1234111111111111111111111111111111115678", true},
		{"0x1234000000000000000000000000000000000078", "0x1234111111111111111111111111111111111178", true},
		{"0x1230000000000000000000000000000000000078", "0x1231111111111111111111111111111111111178", false}, // five digits
		{"0x1234560000000000000000000000000000000007", "0x1234561111111111111111111111111111111117", false}, // one at the end
		{"0x1234000000000000000000000000000000005678", "0x1234000000000000000000000000000000005678", false}, // the same
	} {
		a, b := common.HexToAddress(c.a), common.HexToAddress(c.b)
		if Resemble(a, b) != c.want || Resemble(b, a) != c.want {
			t.Errorf("%s and %s: want %v", c.a, c.b, c.want)
		}
	}
}
