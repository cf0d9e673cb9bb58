package label_test

import (
	"encoding/json"
	"testing"

	"github.com/writ-run/writ/policies/label"
)

func TestJSONIsThatOfEncodingJSON(t *testing.T) {
	for _, origins := range [][]string{
		nil, {"web:shop.example"}, {"doc:a b", "tool:notes.read", label.More}, {`a"b`}, {"<b>"}, {"a&b"}, {`a\b`}, {"é"}, {"\x00"},
	} {
		for _, i := range []label.Integrity{label.Operator, label.User, label.Tool, label.Untrusted} {
			for _, s := range []label.Secrecy{label.Public, label.Session, label.Wallet, label.Secret} {
				l := label.Label{Integrity: i, Secrecy: s, Origins: origins}
				want, err := json.Marshal(l)
				if err != nil {
					t.Fatal(err)
				}
				if got, err := l.JSON(); err != nil || string(got) != string(want) {
					t.Errorf("got %s, %v, want %s", got, err, want)
				}
			}
		}
	}
}
