package main

import (
	"encoding/json"
	"fmt"

	"github.com/writ-run/writ/agent/audit"
	"github.com/writ-run/writ/provenance"
)

// sarif writes a report in the Static Analysis Results Interchange Format, version 2.1.0 (OASIS), which CI systems show
// beside a change: a result for the failed check (error) and one for each that was not made (note).
func (c *command) sarif(rep *provenance.Report, file string) error {
	type text struct {
		Text string `json:"text"`
	}
	type rule struct {
		ID    string `json:"id"`
		Short text   `json:"shortDescription"`
	}
	type location struct {
		Physical struct {
			Artifact struct {
				URI string `json:"uri"`
			} `json:"artifactLocation"`
		} `json:"physicalLocation"`
		Logical []struct {
			Name string `json:"fullyQualifiedName"`
			Kind string `json:"kind"`
		} `json:"logicalLocations,omitempty"`
	}
	type result struct {
		Rule      string            `json:"ruleId"`
		Level     string            `json:"level"`
		Message   text              `json:"message"`
		Locations []location        `json:"locations"`
		Prints    map[string]string `json:"partialFingerprints,omitempty"`
	}
	rules, results := []rule{}, []result{}
	for _, check := range rep.Checks {
		rules = append(rules, rule{check.Name, text{audit.Question(check.Name)}})
		r := result{Rule: check.Name, Locations: make([]location, 1)}
		r.Locations[0].Physical.Artifact.URI = file
		switch check.Status {
		case provenance.Pass:
			continue
		case provenance.NotChecked:
			r.Level, r.Message.Text = "note", "not checked: "+audit.Printable(check.Note)
		default:
			r.Level, r.Message.Text = "error", audit.Printable(check.Note)
			if code, at := rep.Failure(check.Name); code != "" {
				r.Message.Text = fmt.Sprintf("%s: %s", code, r.Message.Text)
				r.Prints = map[string]string{"writ/code": string(code)}
				if at != "" {
					r.Locations[0].Logical = append(r.Locations[0].Logical, struct {
						Name string `json:"fullyQualifiedName"`
						Kind string `json:"kind"`
					}{at, "object"})
				}
			}
		}
		results = append(results, r)
	}
	log := map[string]any{
		"version": "2.1.0",
		"$schema": "https://docs.oasis-open.org/sarif/sarif/v2.1.0/errata01/os/schemas/sarif-schema-2.1.0.json",
		"runs": []any{map[string]any{
			"tool":    map[string]any{"driver": map[string]any{"name": "writ-audit", "rules": rules}},
			"results": results,
			"properties": map[string]any{
				"verdict": rep.Verdict, "completeness": rep.Completeness, "code": rep.Code, "at": rep.At, "run": rep.Run,
				"unproven": rep.Unproven,
			},
		}},
	}
	b, err := json.MarshalIndent(log, "", "  ")
	if err != nil {
		return fmt.Errorf("write the result: %w", err)
	}
	_, err = fmt.Fprintf(c.out, "%s\n", b)
	return err
}
