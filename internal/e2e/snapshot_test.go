package e2e

import (
	"bytes"
	"encoding/json"
	"os"
	"os/exec"
	"path/filepath"
	"slices"
	"strings"
	"testing"

	"github.com/writ-run/writ/agent"
	"github.com/writ-run/writ/agent/search"
	"github.com/writ-run/writ/internal/library"
	"github.com/writ-run/writ/policies/label"
	"github.com/writ-run/writ/provenance"
)

// searchedRun writes the record of a run that searched, its keys, and snapshots: what its reader could read, what another
// could, and the first with one bit flipped.
func searchedRun(t *testing.T) (car, keys string, snapshots []string) {
	t.Helper()
	folder := t.TempDir()
	l, err := library.Open(folder, nil)
	if err != nil {
		t.Fatal(err)
	}
	defer l.Close()
	put := func(name, text string, readers ...library.Reader) {
		t.Helper()
		if _, err := l.Put(t.Context(), library.Document{
			Source: "handbook", Name: name, Media: library.Markdown, Data: []byte(text), Integrity: label.Operator, Readers: readers,
		}); err != nil {
			t.Fatal(err)
		}
	}
	write := func(name string, do func(*bytes.Buffer) error) string {
		t.Helper()
		var b bytes.Buffer
		if err := do(&b); err != nil {
			t.Fatal(err)
		}
		path := filepath.Join(folder, name)
		if err := os.WriteFile(path, b.Bytes(), 0o600); err != nil {
			t.Fatal(err)
		}
		return path
	}
	view := func(wallet string) func(b *bytes.Buffer) error {
		return func(b *bytes.Buffer) error {
			chunks, _, err := l.View(t.Context(), library.Reader{Wallet: wallet}, false)
			if err == nil {
				_, err = search.WriteSnapshot(b, chunks)
			}
			return err
		}
	}
	put("pay.md", "# Payments\n\nInvoices are paid on Fridays.", library.Reader{})
	put("late.md", "# Late\n\nLate invoices cost five percent.", library.Reader{})
	put("payroll.md", "# Payroll\n\nInvoices of Mallory.", library.Reader{Wallet: "0x0000000000000000000000000000000000000001"})
	a, err := agent.Open(t.Context(), agent.Config{Tools: []agent.Tool{library.NewTool(l)}})
	if err != nil {
		t.Fatal(err)
	}
	defer a.Close()
	answer, err := a.Ask(t.Context(), "search the documents for invoices")
	if err != nil || !strings.Contains(answer.Text, "Fridays") {
		t.Fatalf("%+v, %v", answer, err)
	}
	car = write("run.car", func(b *bytes.Buffer) error { return answer.CAR(t.Context(), b) })
	keys = write("keys.json", func(b *bytes.Buffer) error {
		list, err := answer.Keys(t.Context())
		var leaves []provenance.Leaf
		for id, key := range list {
			leaves = append(leaves, provenance.Leaf{CID: id, Key: key})
		}
		if err == nil {
			err = provenance.WriteKeys(b, leaves)
		}
		return err
	})
	mine := write("mine.car", view("0x0000000000000000000000000000000000000002"))
	flipped := write("flipped.car", func(b *bytes.Buffer) error {
		data, err := os.ReadFile(mine)
		data[len(data)-3] ^= 1
		b.Write(data)
		return err
	})
	return car, keys, []string{mine, write("other.car", view("0x0000000000000000000000000000000000000001")), flipped}
}

// The auditor as WebAssembly makes the searches of a run again by the snapshots that are chosen beside it, and says what
// the command says with --snapshot, word for word; and pages tell such a file from a record.
func TestTheAuditorForPagesSearchesAgain(t *testing.T) {
	if testing.Short() {
		t.Skip("it builds WebAssembly")
	}
	t.Parallel()
	car, keys, files := searchedRun(t)
	questions := [][]string{{}, files[:1], files[1:2], files[:2], files[2:], {car}}
	args := []string{buildAuditor(t), filepath.Join(root, "examples/auditor-page/page.js"), car, keys}
	for _, q := range questions {
		args = append(args, strings.Join(q, ","))
	}
	out, err := node(t, "auditor-snapshots.mjs", args...).Output()
	if err != nil {
		t.Fatalf("%v: %s", err, out)
	}
	var got struct {
		Said []struct {
			Text string
			Exit int
		}
		Taken []string
	}
	if err := json.Unmarshal(out, &got); err != nil || len(got.Said) != len(questions) {
		t.Fatalf("it says %s (%v)", out, err)
	}
	if !slices.Equal(got.Taken, files) {
		t.Errorf("taken for snapshots are %q, want %q", got.Taken, files)
	}
	for i, want := range []string{
		"not searched again", "1 searches were made again", "not searched again", "1 searches were made again",
		"retrieval.snapshot", "retrieval.snapshot",
	} {
		command := exec.CommandContext(t.Context(), filepath.Join(build(t), "writ-audit"), "verify", car, "--keys", keys)
		for _, s := range questions[i] {
			command.Args = append(command.Args, "--snapshot", s)
		}
		said, _ := command.Output()
		if g := got.Said[i]; g.Text != string(said) || g.Exit != command.ProcessState.ExitCode() || !strings.Contains(g.Text, want) {
			t.Errorf("with %q as WebAssembly %q with %d, the command %q with %d, want %q", questions[i], g.Text, g.Exit, said,
				command.ProcessState.ExitCode(), want)
		}
	}
}
