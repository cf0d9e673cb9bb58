package audit

import (
	"encoding/json"
	"fmt"
	"slices"
	"strings"

	"github.com/writ-run/writ/agent/search"
	"github.com/writ-run/writ/provenance"
)

// Codes of searches that are made again.
const (
	CodeRetrievalSnapshot provenance.Code = "retrieval.snapshot" // a snapshot's file is not what its CIDs say
	CodeRetrievalView     provenance.Code = "retrieval.view"     // a passage is of no chunk that the reader could read
	CodeRetrievalResult   provenance.Code = "retrieval.result"   // the search finds other passages, or in another order
	CodeRetrievalRank     provenance.Code = "retrieval.rank"     // a rank, or what a passage covers, is another
)

// A searchJudge makes the searches of a run again, from the snapshots that the verifier was given.
type searchJudge struct {
	snapshots []*search.Snapshot
	asked     map[provenance.Ref]search.Request // that are not answered yet

	again, byWords int      // searches that came out the same; by words only, where vectors took part
	not            []string // why others were not made again, each reason once
}

// ask notes what searches a step has made. A call whose arguments are sealed is none that could be made again.
func (j *searchJudge) ask(s *provenance.Step) {
	for i, e := range s.Does {
		c, is := e.(*provenance.Call)
		if !is || c.Args == nil {
			continue
		}
		text, open := c.Args.Bytes()
		var r search.Request
		if !open || json.Unmarshal(text, &r) != nil || r.Query == "" {
			continue
		}
		if j.asked == nil {
			j.asked = map[provenance.Ref]search.Request{}
		}
		j.asked[provenance.Ref{Seq: s.Seq, Index: uint64(i)}] = r
	}
}

// A searched is a result of a search in a library, as far as it can be made again.
type searched struct {
	Snapshot, View, Ranking, How string
	Documents                    []struct {
		Cite, Chunk string
		Words       int `json:"words_rank"`
		Meaning     int `json:"meaning_rank"`
		Covers      int
	}
}

// check makes the search again whose result this is. What is no such result passes; of one that answers a question and
// names no snapshot it is said, if snapshots were given, since a name that was left out would hide what is not there.
func (j *searchJudge) check(of provenance.Ref, output []byte, ok bool) error {
	request, asked := j.asked[of]
	delete(j.asked, of)
	var out searched
	if json.Unmarshal(output, &out) != nil || out.Snapshot == "" {
		if ok && asked && len(j.snapshots) > 0 {
			j.skip("its result names no snapshot")
		}
		return nil
	}
	i := slices.IndexFunc(j.snapshots, func(s *search.Snapshot) bool { return s.CID == out.View })
	switch {
	case out.View == "" || out.Ranking != search.Ranking:
		j.skip("it was made by another version")
	case i < 0:
		j.skip("the snapshot is not in the file (writ docs snapshot -o writes it; give it by --snapshot)")
	case !asked:
		j.skip("what was asked is sealed")
	default:
		return j.repeat(request, &out, j.snapshots[i])
	}
	return nil
}

func (j *searchJudge) skip(why string) {
	if !slices.Contains(j.not, why) {
		j.not = append(j.not, why)
	}
}

// repeat makes one search again. Vectors stand in no record: where they took part, what words say of each passage is
// held, and the order to the ranks.
func (j *searchJudge) repeat(r search.Request, out *searched, s *search.Snapshot) error {
	ids, covers := s.Search(r.Query)
	vectors := out.How == "keywords and vectors"
	var was []search.Fused
	for _, d := range out.Documents {
		if _, there := s.Chunks[d.Chunk]; !there {
			return provenance.Faultf(CodeRetrievalView,
				"the passage %s is of the chunk %s, which the reader could not read", d.Cite, d.Chunk)
		}
		was = append(was, search.Fused{CID: d.Chunk, Words: d.Words, Meaning: d.Meaning})
	}
	if !vectors {
		found := search.Fuse(ids, nil)
		found = found[:min(len(found), r.Most())]
		same := func(a, b search.Fused) bool { return a.CID == b.CID }
		if !slices.EqualFunc(was, found, same) {
			return provenance.Faultf(CodeRetrievalResult, "the search finds %s, and the record says %s", listFused(found),
				listFused(was))
		}
	} else if !slices.IsSortedFunc(was, search.CompareFused) || len(was) > r.Most() {
		return provenance.Faultf(CodeRetrievalResult, "the passages %s are not in the order of their ranks", listFused(was))
	}
	for i, d := range out.Documents {
		rank := slices.Index(ids, d.Chunk) + 1
		if d.Words != rank || d.Covers != covers[d.Chunk] || !vectors && d.Meaning != 0 || d.Meaning < 0 {
			return provenance.Faultf(CodeRetrievalRank, "the passage %s has by words the rank %d and covers %d, and the record "+
				"says %d and %d", d.Cite, rank, covers[d.Chunk], was[i].Words, d.Covers)
		}
	}
	if vectors {
		j.byWords++
	} else {
		j.again++
	}
	return nil
}

func listFused(list []search.Fused) string {
	if len(list) == 0 {
		return "nothing"
	}
	var ids []string
	for _, x := range list {
		ids = append(ids, x.CID)
	}
	return strings.Join(ids, ", ")
}

// report says what is left to be believed of what searches found.
func (j *searchJudge) report(rep *provenance.Report, passages int) {
	if j.again > 0 {
		rep.Unprove(fmt.Sprintf("that who asked could read the chunks of the snapshots and no others: %d searches were "+
			"made again from them, with the same result", j.again))
	}
	if j.byWords > 0 {
		rep.Unprove(fmt.Sprintf("how %d searches ranked by vectors, which stand in no record: what words say of each "+
			"passage was made again, with the same result", j.byWords))
	}
	if len(j.not) > 0 { // of a search that found nothing too: what it does not tell is what can be hidden
		found := fmt.Sprintf("that the %d passages that searches found are the best of what the reader could read", passages)
		if passages == 0 {
			found = "that there was nothing to find for searches that found nothing"
		}
		rep.Unprove(found + ": not searched again, since " + strings.Join(j.not, "; "))
	}
}
