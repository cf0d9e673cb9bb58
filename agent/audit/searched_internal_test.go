package audit

import (
	"bytes"
	"encoding/json"
	"errors"
	"fmt"
	"strings"
	"testing"

	"github.com/writ-run/writ/agent/search"
	"github.com/writ-run/writ/provenance"
)

// What a search is said to have found is held to the search made again: other passages, another order, another rank and
// another view have each their code; what cannot be made again is said and is no fault.
func TestSearchesAreMadeAgain(t *testing.T) {
	chunks := map[string]search.Chunk{}
	for i := range 6 {
		c := search.Chunk{Document: "bafkdoc", From: i, Text: strings.Repeat("Bob is paid five. ", i+1) + strings.Repeat("Beans. ", i)}
		chunks[search.CIDOf(c.Bytes())] = c
	}
	var file bytes.Buffer
	if _, err := search.WriteSnapshot(&file, chunks); err != nil {
		t.Fatal(err)
	}
	s, err := search.ReadSnapshot(&file)
	if err != nil {
		t.Fatal(err)
	}
	ids, covers := s.Search("bob, beans")
	type passage map[string]any
	result := func(how string, list []passage) []byte {
		b, err := json.Marshal(map[string]any{"snapshot": "bafkall", "view": s.CID, "ranking": search.Ranking, "how": how, "documents": list})
		if err != nil {
			t.Fatal(err)
		}
		return b
	}
	honest := func() (list []passage) {
		for i, id := range ids[:4] {
			list = append(list, passage{"cite": fmt.Sprint("1.", i+1), "chunk": id, "words_rank": i + 1, "covers": covers[id]})
		}
		return list
	}
	with := func(change func(list []passage) []passage) []passage { return change(honest()) }
	for _, tt := range []struct {
		what, how string
		list      []passage
		code      provenance.Code
	}{
		{"as it was", "keywords", honest(), ""},
		{"as it was, since the endpoint was silent", "keywords: the embeddings endpoint did not answer", honest(), ""},
		{"one left out", "keywords", honest()[1:], CodeRetrievalResult},
		{"in another order", "keywords", with(func(l []passage) []passage { l[0], l[1] = l[1], l[0]; return l }), CodeRetrievalResult},
		{"nothing", "keywords", nil, CodeRetrievalResult},
		{"another in place of the best", "keywords", with(func(l []passage) []passage { l[0]["chunk"] = ids[5]; return l }), CodeRetrievalResult},
		{"another rank", "keywords", with(func(l []passage) []passage { l[2]["words_rank"] = 9; return l }), CodeRetrievalRank},
		{"it covers more", "keywords", with(func(l []passage) []passage { l[3]["covers"] = 999; return l }), CodeRetrievalRank},
		{"a rank by meaning without vectors", "keywords", with(func(l []passage) []passage { l[3]["meaning_rank"] = 1; return l }), CodeRetrievalRank},
		{"what the reader could not read", "keywords", with(func(l []passage) []passage { l[3]["chunk"] = "bafkother"; return l }), CodeRetrievalView},
		{"vectors took part", "keywords and vectors", with(func(l []passage) []passage { l[0]["meaning_rank"] = 1; return l }), ""},
		{"not in the order of ranks", "keywords and vectors", with(func(l []passage) []passage { l[3]["meaning_rank"] = 1; return l }), CodeRetrievalResult},
		{"another rank by words", "keywords and vectors", with(func(l []passage) []passage { l[3]["words_rank"] = 5; return l }), CodeRetrievalRank},
	} {
		of := provenance.Ref{Seq: 1}
		j := searchJudge{snapshots: []*search.Snapshot{s}, asked: map[provenance.Ref]search.Request{of: {Query: "bob, beans"}}}
		err := j.check(of, result(tt.how, tt.list), true)
		fault, _ := errors.AsType[*provenance.Fault](err)
		if tt.code == "" && err != nil || tt.code != "" && (fault == nil || fault.Code != tt.code) {
			t.Errorf("%s: got %v, want %q", tt.what, err, tt.code)
		}
		if done := j.again + j.byWords; done != 1 && tt.code == "" || len(j.not) > 0 {
			t.Errorf("%s: made again %d, not %q", tt.what, done, j.not)
		}
	}
	for what, j := range map[string]searchJudge{
		"the snapshot is not in the file": {asked: map[provenance.Ref]search.Request{{}: {Query: "bob"}}},
		"what was asked is sealed":        {snapshots: []*search.Snapshot{s}},
	} {
		if err := j.check(provenance.Ref{}, result("keywords", honest()), true); err != nil || len(j.not) != 1 || !strings.HasPrefix(j.not[0], what) {
			t.Errorf("%s: got %v, %q", what, err, j.not)
		}
	}
}

// A search that found nothing is one that something may be hidden of: that it was not made again is said of it too. And
// the searches of a sub-agent are made again from the same snapshots.
func TestSearchesThatFoundNothingAreSaidToo(t *testing.T) {
	for passages, want := range []string{"nothing to find for searches that found nothing", "the 1 passages"} {
		var rep provenance.Report
		j := searchJudge{not: []string{"the snapshot is not in the file"}}
		if j.report(&rep, passages); len(rep.Unproven) != 1 || !strings.Contains(rep.Unproven[0], want) {
			t.Errorf("with %d passages: %q", passages, rep.Unproven)
		}
	}
	list := []*search.Snapshot{{}}
	if got := optionsBelow(&auditor{snapshots: list}).Snapshots; len(got) != 1 || got[0] != list[0] {
		t.Errorf("below there are %v", got)
	}
}

// A result that names no snapshot could hide what is not there.
func TestASearchWithoutItsSnapshotIsSaid(t *testing.T) {
	bare := []byte(`{"documents":[]}`)
	for _, tt := range []struct {
		what   string
		given  []*search.Snapshot
		ok     bool
		wanted int
	}{{"it names no snapshot", []*search.Snapshot{{}}, true, 1}, {"it failed", []*search.Snapshot{{}}, false, 0}, {"none is given", nil, true, 0}} {
		j := searchJudge{snapshots: tt.given, asked: map[provenance.Ref]search.Request{{}: {Query: "bob"}}}
		if err := j.check(provenance.Ref{}, bare, tt.ok); err != nil || len(j.not) != tt.wanted {
			t.Errorf("%s: got %v, %q", tt.what, err, j.not)
		}
	}
}
