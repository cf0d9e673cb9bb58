package auth

import (
	"encoding/hex"
	"os"
	"path/filepath"
	"regexp"
	"strings"
	"testing"

	"github.com/ipfs/go-cid"
)

// TestThePageSaysWhatIsSigned: the examples of docs/record.md are what this package makes of them, the typed data that it
// names are declared as it says, and the packages that it calls normative are there.
func TestThePageSaysWhatIsSigned(t *testing.T) {
	b, err := os.ReadFile("../docs/record.md")
	if err != nil {
		t.Fatal(err)
	}
	page := string(b)
	says := func(what, text string) {
		t.Helper()
		if !strings.Contains(page, text) {
			t.Errorf("docs/record.md does not have the %s:\n%s", what, text)
		}
	}

	s := newSignin(t)
	m, err := Parse(s.raw)
	if err != nil {
		t.Fatal(err)
	}
	r := recap{agent: s.offer.Agent, tools: s.offer.Tools, caveats: s.offer.Caveats}
	w := recapCoder{writing: true}
	w.codeRecap(&r)
	says("ReCap", "\n"+string(w.b)+"\n")
	says("statement", "\n"+*m.Statement+"\n")

	f := Frame{Session: cid.MustParse("bafyreib7hly6z255cqikwql6ydjhxp6llu2a4f324fm3lh6imjwc37mrou"), Channel: [32]byte{1, 2, 3},
		Seq: 7, Method: "run.start", Params: []byte(`{"input":"hello"}`)}
	says("session of the frame", f.Session.String())
	says("frame", "\n"+hex.EncodeToString(f.Bytes())+"\n")

	a := testApproval(t)
	message, err := a.MarshalJSON()
	digest, err2 := a.Digest()
	if err != nil || err2 != nil {
		t.Fatal(err, err2)
	}
	says("message of the approval", "\n"+string(message)+"\n")
	says("digest of the approval", "`0x"+hex.EncodeToString(digest[:])+"`")
	revocation := testRevocation(t)
	for _, x := range []typed{a.typedData(), revocation.typedData(), (&KeyBinding{}).typedData()} {
		says("type "+x.name, declared(x))
	}
	says("domain", declared((&typed{}).domainOf()))

	_, after, _ := strings.Cut(page, "### Which code is normative")
	after, _, _ = strings.Cut(after, "\n## ")
	packages := regexp.MustCompile("(?m)^\\| `([a-z/]+)` \\|").FindAllStringSubmatch(after, -1)
	if len(packages) < 8 {
		t.Errorf("only %d packages are named", len(packages))
	}
	for _, p := range packages {
		if code, _ := filepath.Glob(filepath.Join("..", p[1], "*.go")); len(code) == 0 {
			t.Errorf("there is no package %s", p[1])
		}
	}
}

// declared is a type as EIP-712 encodes it.
func declared(x typed) string {
	var fields []string
	for _, f := range x.fields {
		fields = append(fields, f.kind+" "+f.name)
	}
	return x.name + "(" + strings.Join(fields, ",") + ")"
}
