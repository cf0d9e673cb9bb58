package runner_test

import (
	"bytes"
	"context"
	"encoding/json"
	"fmt"
	"strings"
	"testing"
	"time"

	"github.com/writ-run/writ/agent/model"
	"github.com/writ-run/writ/internal/agentfile"
	"github.com/writ-run/writ/internal/archive"
	"github.com/writ-run/writ/internal/runner"
	"github.com/writ-run/writ/provenance"
)

// A talker asks for a tool again and again, with something new to say each time.
type talker struct{ turns, length int }

func (m talker) Reply(_ context.Context, p model.Prompt) (model.Reply, error) {
	n := 0
	for _, x := range p.Messages {
		if x.Role == model.RoleAssistant {
			n++
		}
	}
	if n == m.turns {
		return text("done"), nil
	}
	args, err := json.Marshal(map[string]string{"text": strings.Repeat(fmt.Sprintf("turn %d. ", n), m.length/9)})
	return calls(call("1", "echo.say", string(args))), err
}

// TestALongRunStoresLittleMoreThanItsPayloads: prompts are not stored, so that the store grows with what is new in a turn
// and not with the turn's prompt.
func TestALongRunStoresLittleMoreThanItsPayloads(t *testing.T) {
	size := func(turns, length int) (stored, unique, prompts int) {
		b := openWith(t, talker{turns, length}, func(c *runner.Config) {
			d := &c.Agents[0]
			d.Limits = agentfile.Limits{Turns: 300, Calls: 300, Tokens: 1e9, Cost: 1 << 40, Wall: 24 * time.Hour}
			d.Grant.MaxCalls, d.Grant.MaxTokens = 300, 1e9
			d.Tools = []string{"echo.say"}
		})
		id := b.start("talk")
		b.until(id, "answered")
		var car bytes.Buffer
		if _, err := archive.Export(t.Context(), b.store, &car, id); err != nil {
			t.Fatal(err)
		}
		file, err := provenance.OpenCAR(bytes.NewReader(car.Bytes()), int64(car.Len()))
		if err != nil {
			t.Fatal(err)
		}
		keys, err := b.r.Keys(t.Context(), id)
		if err != nil {
			t.Fatal(err)
		}
		_, ev := provenance.Verify(file, provenance.Options{Keys: keys})
		if !ev.Head.Index.Defined() {
			t.Errorf("a closed run of %d steps has no index of them", ev.Len())
		}
		seen := map[provenance.Link]bool{}
		if err := ev.Each(func(_ provenance.Link, s *provenance.Step) error {
			for _, p := range provenance.Payloads(s) {
				if plain, ok := p.Bytes(); ok && !seen[p.Leaf()] {
					seen[p.Leaf()] = true
					unique += len(plain)
				}
			}
			prompts += unique
			return nil
		}); err != nil {
			t.Fatal(err)
		}
		return car.Len(), unique, prompts / 2
	}
	// 2.6 kB of new text a turn: the arguments of a call, and its result.
	stored, unique, prompts := size(200, 1300)
	half, halfUnique, _ := size(100, 1300)
	more := (stored-half)/100 - (unique-halfUnique)/100
	t.Logf("200 turns: %d bytes of payloads, %d stored (%.2fx; with the prompts in it, %.0fx); a turn adds %d besides its payloads",
		unique, stored, float64(stored)/float64(unique), float64(prompts)/float64(unique), more)
	// Two steps and their places in the index, the CIDs and lengths of all blocks in the file, seals and padding.
	if more > 1650 {
		t.Errorf("a turn adds %d bytes besides its payloads, want at most 1,650", more)
	}
	if stored > 2*half+half/12 {
		t.Errorf("200 turns take %d bytes and 100 take %d: that is more than twice as much", stored, half)
	}
	stored, unique, _ = size(200, 4000)
	t.Logf("with 8 kB of new text a turn: %d bytes of payloads, %d stored (%.2fx)", unique, stored, float64(stored)/float64(unique))
	if stored > unique*5/4 {
		t.Errorf("%d bytes are stored for %d of payloads, want at most 1.25x", stored, unique)
	}
}
