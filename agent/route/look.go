package route

import (
	"encoding/json"
	"fmt"
	"strings"

	"github.com/writ-run/writ/agent/grounds"
	"github.com/writ-run/writ/agent/model"
	"github.com/writ-run/writ/policies/turn"
)

// Of the fused ranking of passages, as docs/retrieval.md has it.
const (
	fuseUnit  = 1_000_000
	fuseFirst = 60
)

// AddSearch takes in what a search in documents returned to the model: how many passages, how high the first is ranked,
// and by how much more than the second. What is no such result changes nothing.
func AddSearch(f *turn.Facts, result []byte) {
	var out struct {
		Documents []struct {
			Words   int64 `json:"words_rank"`
			Meaning int64 `json:"meaning_rank"`
		} `json:"documents"`
	}
	if json.Unmarshal(result, &out) != nil || out.Documents == nil {
		return
	}
	score := func(i int) (sum int64) {
		if i >= len(out.Documents) {
			return 0
		}
		for _, rank := range []int64{out.Documents[i].Words, out.Documents[i].Meaning} {
			if rank > 0 {
				sum += fuseUnit / (fuseFirst + min(rank, fuseUnit))
			}
		}
		return sum
	}
	f.Searches, f.Found, f.Score, f.Lead = f.Searches+1, int64(len(out.Documents)), score(0), score(0)-score(1)
}

// Unfounded lists the figures of an answer, each once, that rest on nothing of what a model was given: what the user
// said, and what tools returned.
func Unfounded(said []string, messages []model.Message, answer string) (list []string) {
	var e grounds.Evidence
	for _, text := range said {
		e.AddRequest(text)
	}
	for _, m := range messages {
		switch m.Role {
		case model.RoleTool:
			e.AddResult(m.Step, []byte(m.Text))
		case model.RoleUser:
			e.AddRequest(m.Text)
			for _, f := range m.Files {
				if f.IsImage() {
					return nil // what it shows is not known here
				}
				e.AddRequest(string(f.Data))
			}
		}
	}
	seen := map[string]bool{}
	for _, m := range grounds.Ungrounded(e.Check(answer)) {
		if !seen[m.Text] {
			seen[m.Text] = true
			list = append(list, m.Text)
		}
	}
	return list
}

// maxNamed bounds the figures that a model is told.
const maxNamed = 20

// LookAgain tells a model which figures of the answer before rest on nothing.
func LookAgain(figures []string) string {
	more := ""
	if n := len(figures) - maxNamed; n > 0 {
		figures, more = figures[:maxNamed], fmt.Sprintf(" and %d more", n)
	}
	return "These figures of the answer above stand in nothing that was said or that a tool returned: " +
		strings.Join(figures, ", ") + more + ". Answer the request again: use a tool for what is missing, or leave it out."
}
