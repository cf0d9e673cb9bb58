package api

import (
	"encoding/base64"
	"encoding/hex"
	"os"
	"strconv"
	"strings"
	"testing"

	"github.com/ipfs/go-cid"

	"github.com/writ-run/writ/auth"
)

// The vector of docs/protocol.md is one that other people's clients are written against.
func TestTheVectorOfTheDocsHolds(t *testing.T) {
	doc, err := os.ReadFile("../../docs/protocol.md")
	if err != nil {
		t.Fatal(err)
	}
	_, block, ok := strings.Cut(string(doc), "```\nkey ")
	block, _, ok2 := strings.Cut("key "+block, "\n```")
	if !ok || !ok2 {
		t.Fatal("docs/protocol.md has no vector")
	}
	v := map[string]string{}
	for line := range strings.Lines(block) {
		name, value, _ := strings.Cut(strings.TrimSpace(line), " ")
		v[name] = strings.TrimSpace(value)
	}
	key, err := auth.ParsePrivateKey(v["key"])
	if err != nil {
		t.Fatal(err)
	}
	seq, err := strconv.ParseUint(v["seq"], 10, 64)
	if err != nil {
		t.Fatal(err)
	}
	f := auth.Frame{Session: cid.MustParse(v["session"]), Seq: seq, Method: v["method"], Params: []byte(v["params"])}
	if n, err := hex.Decode(f.Channel[:], []byte(v["channel"])); err != nil || n != 32 {
		t.Fatal(n, err)
	}
	sig, err := key.SignFrame(f)
	if err != nil {
		t.Fatal(err)
	}
	for name, got := range map[string]string{
		"did": key.Public().String(), "signed": hex.EncodeToString(f.Bytes()), "sig": base64.RawURLEncoding.EncodeToString(sig),
	} {
		if got != v[name] {
			t.Errorf("%s: got %s, want %s", name, got, v[name])
		}
	}
	if request := `"params":` + v["params"] + `,"auth":{"seq":` + v["seq"] + `,"sig":"` + v["sig"] + `"}}`; !strings.Contains(string(doc), request) {
		t.Errorf("no example says %s", request)
	}
}
