package audit

import (
	"fmt"
	"strings"

	"github.com/writ-run/writ/agent/grounds"
	"github.com/writ-run/writ/agent/thread"
	"github.com/writ-run/writ/provenance"
)

// CodeRetrievalPassage is that of a search result in which a passage is not what its CID or number says.
const CodeRetrievalPassage provenance.Code = "retrieval.passage"

// A groundJudge gathers what a run was given, and says which figures of its answer rest on nothing of it.
type groundJudge struct {
	evidence grounds.Evidence
	searches searchJudge
	passages int
}

// addEarlier takes in what the model was told of the runs before.
func (g *groundJudge) addEarlier(turns []thread.Turn) {
	for _, t := range turns {
		g.evidence.AddEarlier(t.Request)
		g.evidence.AddEarlier(t.Answer)
	}
}

// takeStep takes in a step, and holds the passages that it found to their CIDs, and to the search made again.
func (g *groundJudge) takeStep(s *provenance.Step) error {
	g.evidence.AddStep(s)
	g.searches.ask(s)
	r, ok := s.Event.(*provenance.Result)
	if !ok || r.Output == nil {
		return nil
	}
	out, _ := r.Output.Bytes()
	chunks, err := grounds.CheckPassages(r.Of, out)
	g.passages += len(chunks)
	if err != nil {
		return err
	}
	return g.searches.check(r.Of, out, r.Status == provenance.StatusOK)
}

// maxNamed bounds the figures that a report names.
const maxNamed = 8

// report names the figures of an answer that the run's record does not show the source of.
func (g *groundJudge) report(rep *provenance.Report, s *provenance.Step, told bool) {
	answer, ok := grounds.AnswerOf(s)
	if !ok {
		return
	}
	g.searches.report(rep, g.passages)
	if !told || !g.evidence.Complete() {
		return
	}
	var names []string
	left := grounds.Ungrounded(g.evidence.Check(answer))
	for _, m := range left[:min(len(left), maxNamed)] {
		names = append(names, m.Text)
	}
	if len(left) > maxNamed {
		names = append(names, fmt.Sprintf("%d more", len(left)-maxNamed))
	}
	if len(names) > 0 {
		rep.Unprove("where these figures of the answer are from: " + strings.Join(names, ", "))
	}
}
