package main

import (
	"encoding/json"
	"fmt"

	"github.com/writ-run/writ/agent/audit"
	"github.com/writ-run/writ/provenance"
)

// The parts of the Static Analysis Results Interchange Format, version 2.1.0 (OASIS), that a report needs.
type (
	sarifText struct {
		Text string `json:"text"`
	}
	sarifRule struct {
		ID    string    `json:"id"`
		Short sarifText `json:"shortDescription"`
	}
	sarifObject struct {
		Name string `json:"fullyQualifiedName"`
		Kind string `json:"kind"`
	}
	sarifLocation struct {
		Physical struct {
			Artifact struct {
				URI string `json:"uri"`
			} `json:"artifactLocation"`
		} `json:"physicalLocation"`
		Logical []sarifObject `json:"logicalLocations,omitempty"`
	}
	sarifResult struct {
		Rule      string            `json:"ruleId"`
		Level     string            `json:"level"`
		Message   sarifText         `json:"message"`
		Locations []sarifLocation   `json:"locations"`
		Prints    map[string]string `json:"partialFingerprints,omitempty"`
	}
)

// writeSARIF writes a report in SARIF, which CI systems show beside a change: a result for the failed check (error) and
// one for each that was not made (note).
func (c *command) writeSARIF(rep *provenance.Report, file string) error {
	rules, results := []sarifRule{}, []sarifResult{}
	for _, check := range rep.Checks {
		rules = append(rules, sarifRule{check.Name, sarifText{audit.Question(check.Name)}})
		if check.Status != provenance.Pass {
			results = append(results, resultOf(rep, check, file))
		}
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

// resultOf says that a check failed, or was not made.
func resultOf(rep *provenance.Report, check provenance.CheckResult, file string) sarifResult {
	r := sarifResult{Rule: check.Name, Locations: make([]sarifLocation, 1)}
	r.Locations[0].Physical.Artifact.URI = file
	if check.Status == provenance.NotChecked {
		r.Level, r.Message.Text = "note", "not checked: "+audit.Printable(check.Note)
		return r
	}
	r.Level, r.Message.Text = "error", audit.Printable(check.Note)
	if code, at := rep.Failure(check.Name); code != "" {
		r.Message.Text = fmt.Sprintf("%s: %s", code, r.Message.Text)
		r.Prints = map[string]string{"writ/code": string(code)}
		if at != "" {
			r.Locations[0].Logical = []sarifObject{{at, "object"}}
		}
	}
	return r
}
