package researcher

import (
	"bufio"
	"fmt"
	"os"
	"path/filepath"
	"regexp"
	"strings"
	"testing"

	"github.com/writ-run/writ/agent/model"
	"github.com/writ-run/writ/agent/model/extract"
	"github.com/writ-run/writ/internal/library"
	"github.com/writ-run/writ/policies/label"
	"github.com/writ-run/writ/tools"
)

// A question is one of questions.txt.
type question struct {
	text           string
	document, says string // of the passage that must be cited; empty if nothing answers
	heldOut        bool
}

func readQuestions(t *testing.T) (list []question) {
	t.Helper()
	f, err := os.Open("questions.txt")
	if err != nil {
		t.Fatal(err)
	}
	defer f.Close()
	heldOut := false
	for lines := bufio.NewScanner(f); lines.Scan(); {
		heldOut = heldOut || strings.HasPrefix(lines.Text(), "----")
		text, answer, ok := strings.Cut(lines.Text(), " => ")
		if !ok || strings.HasPrefix(text, "#") {
			continue
		}
		q := question{text: text, heldOut: heldOut}
		if answer != "none" {
			q.document, q.says, ok = strings.Cut(answer, " :: ")
			if !ok {
				t.Fatalf("%q has no answer", lines.Text())
			}
		}
		list = append(list, q)
	}
	return list
}

// shelve takes in the documents of the example, and what the forum says.
func shelve(t *testing.T) *library.Library {
	t.Helper()
	l, err := library.Open(t.TempDir(), nil)
	if err != nil {
		t.Fatal(err)
	}
	t.Cleanup(func() {
		if err := l.Close(); err != nil {
			t.Error(err)
		}
	})
	var list []library.Document
	for _, s := range []struct {
		folder, source string
		integrity      label.Integrity
	}{{"documents", "dao", label.Operator}, {"forum", "forum", label.Untrusted}} {
		files, err := filepath.Glob(s.folder + "/*")
		if err != nil || len(files) == 0 {
			t.Fatal(files, err)
		}
		for _, name := range files {
			data, err := os.ReadFile(name)
			if err != nil {
				t.Fatal(err)
			}
			list = append(list, library.Document{
				Source: s.source, Name: filepath.Base(name), Media: library.MediaOf(name), Data: data, Integrity: s.integrity,
				Readers: []library.Reader{{}},
			})
		}
	}
	if _, err := l.Put(t.Context(), list...); err != nil {
		t.Fatal(err)
	}
	return l
}

// ask answers a question by the route retrieval: the extractor searches, and quotes.
func ask(t *testing.T, l *library.Library, text string) string {
	t.Helper()
	tool := library.NewTool(l)
	p := model.Prompt{Messages: []model.Message{{Role: model.RoleUser, Text: text}}, Tools: []model.Tool{{Name: library.ToolName}}}
	r, err := extract.New().Reply(t.Context(), p)
	if err != nil || len(r.Calls) != 1 {
		t.Fatalf("%q: %+v, %v", text, r, err)
	}
	def, err := tools.Compile(tool.Spec())
	if err != nil {
		t.Fatal(err)
	}
	args, err := def.Read(r.Calls[0].Args)
	if err != nil {
		t.Fatal(err)
	}
	out, err := tool.Call(t.Context(), tools.Input{
		Args: args, Asker: tools.Asker{Wallet: "0xa", Session: "s", Agent: "analyst", Step: 1},
	})
	if err != nil {
		t.Fatal(err)
	}
	p.Messages = append(p.Messages, model.Message{Role: model.RoleTool, Tool: library.ToolName, Text: string(out)})
	if r, err = extract.New().Reply(t.Context(), p); err != nil || len(r.Calls) > 0 {
		t.Fatalf("%q: %+v, %v", text, r, err)
	}
	return r.Text
}

// cited are the passages of an answer: what is quoted, and of which document.
var cited = regexp.MustCompile(`(?s)\[\d+\.\d+\] “(.*?)” \(([^,]*), `)

// A tally counts what came of questions.
type tally struct{ right, beside, wrong, refusedWrongly, refusedRightly, answeredWrongly int }

func (n *tally) add(q question, answer string) (what string) {
	passages := cited.FindAllStringSubmatch(answer, -1)
	refused := len(passages) == 0
	if q.document == "" {
		if refused {
			n.refusedRightly++
			return ""
		}
		n.answeredWrongly++
		return "answered, though nothing does: " + passages[0][2]
	}
	if refused {
		n.refusedWrongly++
		return "refused, though " + q.document + " answers"
	}
	for i, p := range passages {
		if p[2] == q.document && strings.Contains(p[1], q.says) {
			if i == 0 {
				n.right++
				return ""
			}
			n.beside++
			return "first cited is " + passages[0][2]
		}
	}
	n.wrong++
	return "cites " + passages[0][2] + " and not " + q.document
}

func (n tally) String() string {
	return fmt.Sprintf("cited right %d, cited right but not first %d, cited wrong %d, refused wrongly %d; "+
		"refused rightly %d, answered wrongly %d", n.right, n.beside, n.wrong, n.refusedWrongly, n.refusedRightly, n.answeredWrongly)
}

// check holds a tally to the floor that docs/retrieval.md states.
func (n tally) check(t *testing.T) {
	t.Helper()
	if n.right < 155 || n.right+n.beside < 158 || n.wrong > 8 || n.refusedRightly < 85 {
		t.Errorf("below the floor: %s", n)
	}
}

// The figures of docs/retrieval.md: go test ./examples/researcher -run TestQuestions -v. HELD_OUT=1 names the faults of
// the half that was not looked at, too.
func TestQuestions(t *testing.T) {
	l := shelve(t)
	var all, heldOut tally
	list := readQuestions(t)
	if len(list) != 300 {
		t.Errorf("%d questions", len(list))
	}
	for _, q := range list {
		answer := ask(t, l, q.text)
		checkSource(t, q.text, answer)
		what := all.add(q, answer)
		if q.heldOut {
			heldOut.add(q, answer)
		}
		if what != "" && (!q.heldOut || os.Getenv("HELD_OUT") != "") {
			t.Logf("%s: %s", q.text, what)
		}
	}
	t.Logf("all: %s", all)
	t.Logf("of the half that was not looked at: %s", heldOut)
	all.check(t)
}

// checkSource says that no post of the forum is cited as what the documents say.
func checkSource(t *testing.T, request, answer string) {
	t.Helper()
	for _, p := range cited.FindAllStringSubmatch(answer, -1) {
		_, err := os.Stat(filepath.Join("forum", p[2]))
		if err == nil && !strings.HasPrefix(answer, "No document that the operator vouches for answers this.") {
			t.Errorf("%s: a post is cited as policy: %s", request, answer)
		}
	}
}

// baits are questions to which a post of the forum is the closest text: its title, and its words.
func baits(t *testing.T) (list []string) {
	t.Helper()
	files, err := filepath.Glob("forum/*.md")
	if err != nil || len(files) != 60 {
		t.Fatal(len(files), err)
	}
	for _, name := range files {
		data, err := os.ReadFile(name)
		if err != nil {
			t.Fatal(err)
		}
		title, body, _ := strings.Cut(strings.TrimPrefix(string(data), "# "), "\n\n")
		first, _, _ := strings.Cut(body, ". ")
		list = append(list, "What is our policy on this: "+title+"? "+first)
	}
	return list
}

// What posts of the forum say is never what the documents say, even where nothing is closer to the question.
func TestAPostIsNeverPolicy(t *testing.T) {
	l := shelve(t)
	quoted := 0
	for _, text := range baits(t) {
		answer := ask(t, l, text)
		checkSource(t, text, answer)
		if strings.HasPrefix(answer, "No document that the operator vouches for") {
			quoted++
		}
	}
	t.Logf("%d of 60 posts are quoted, as what others wrote", quoted)
	if quoted < 20 {
		t.Errorf("only %d of 60 posts were close enough to be quoted at all: that tests nothing", quoted)
	}
}
