package console

import (
	"bytes"
	"encoding/json"
	"fmt"
	"math/rand/v2"
	"os"
	"os/exec"
	"regexp"
	"slices"
	"testing"

	"github.com/writ-run/writ/internal/wording"
)

// The page spells out the characters that the command line spells out, and no others: both show a person who decides the same.
func TestThePageShowsWhatTheCommandLineShows(t *testing.T) {
	missing := t.Skipf
	if os.Getenv("CI") == "true" {
		missing = t.Fatalf
	}
	if _, err := os.Stat("../../web/console/node_modules/esbuild"); err != nil {
		missing("web/console has no packages: run npm ci there, or make test")
	}
	texts := []string{
		"", "pay bob 5 USDC", "p\u0430ypal", "\u0441\u043e\u0440\u0443", "\u043f\u0440\u0438\u0432\u0435\u0442", "a  b", " a", "a ", "\u3164", "a\u2800b",
		"bo\u00adb", "1\u20610", "5\ufe0f", "ok\U000e0061", "a\u200eb", "\u202e", "\u05d0\u05d1", "\u0645\u0631\u062d\u0628\u0627", "\uff50\uff41\uff59",
		"\U0001d429ay", "\U0001f44d ok", "\u20ac 5", "\u4e2d\u6587 abc", "e\u0301", "\u0131", "\u2013", "\u201cso\u201d", "\u03b1\u03b2\u03b3", "\u03bf\u03bd",
	}
	alphabet := []rune("abcxyz 159.,:{}\u0430\u043e\u0443\u0436\u0449\u0456\u03bf\u03bd\u03c0\u03b1\u0585\u0578\u10d0\u0e01\u4e2d\u3042\u00e9\u0131\u0301\ufe0f\u200b\u202e\u00a0\u3000\u2028\u05d0\u0627\uff41\U0001d41a\u3164\u2800\u00ad\U000e0041\U0001f600\u20ac\u2010\u00d7")
	chance := rand.New(rand.NewPCG(1, 2))
	for range 3000 {
		text := make([]rune, chance.IntN(9))
		for i := range text {
			text[i] = alphabet[chance.IntN(len(alphabet))]
		}
		texts = append(texts, string(text))
	}
	in, err := json.Marshal(texts)
	if err != nil {
		t.Fatal(err)
	}
	cmd := exec.CommandContext(t.Context(), "node", "strange.mjs")
	cmd.Dir, cmd.Stdin = "../../web/console", bytes.NewReader(in)
	var errs bytes.Buffer
	cmd.Stderr = &errs
	out, err := cmd.Output()
	if err != nil {
		t.Fatalf("%v: %s", err, errs.String())
	}
	var pages [][]struct {
		Text string
		Odd  bool
	}
	if err := json.Unmarshal(out, &pages); err != nil || len(pages) != len(texts) {
		t.Fatalf("%d answers to %d texts: %v", len(pages), len(texts), err)
	}
	spelled, last := regexp.MustCompile(`<U\+([0-9A-F]+) [^>]+>`), regexp.MustCompile(`U\+([0-9A-F]+)$`)
	for i, text := range texts {
		var want, got []string
		for _, m := range spelled.FindAllStringSubmatch(wording.Reveal(text), -1) {
			want = append(want, m[1])
		}
		for _, p := range pages[i] {
			if p.Odd {
				got = append(got, fmt.Sprint(last.FindStringSubmatch(p.Text)[1]))
			}
		}
		if !slices.Equal(got, want) {
			t.Errorf("%+q: the page spells out %v, the command line %v", text, got, want)
		}
	}
}
