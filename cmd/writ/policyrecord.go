package main

import (
	"bytes"
	"context"
	"errors"
	"fmt"
	"io"
	"io/fs"
	"os"
	"slices"
	"strconv"
	"strings"

	"github.com/ipfs/go-cid"
	"github.com/spf13/cobra"

	"github.com/writ-run/writ/agent"
	"github.com/writ-run/writ/agent/audit"
	"github.com/writ-run/writ/agent/loop"
	"github.com/writ-run/writ/policies"
	"github.com/writ-run/writ/policies/money"
	"github.com/writ-run/writ/provenance"
)

// A recordSource says where the records of runs are: a server, or with data a folder; keys opens those of a file, with identity if they are encrypted.
type recordSource struct{ server, data, keys, identity string }

func (s *recordSource) flags(c *cobra.Command) {
	f := c.Flags()
	f.StringVar(&s.server, "server", "", "`URL` of the server that has the run")
	f.StringVar(&s.data, "data", "", "data `folder` that has the run, without a server")
	f.StringVar(&s.keys, "keys", "", "key `file` of the sealed payloads of a CAR file")
	f.StringVar(&s.identity, "identity", "", "age identity `file` that opens --keys, if it is encrypted")
}

// trial fetches a run's record, a CAR file or a CID, and decides again what was decided in it.
func (a *app) trial(ctx context.Context, ref string, from recordSource) (*audit.Trial, error) {
	known, err := openKeys(from.keys, from.identity)
	if err != nil {
		return nil, err
	}
	var src *provenance.CAR
	if _, err := os.Stat(ref); err == nil {
		car, f, err := openCAR(ref)
		if err != nil {
			return nil, err
		}
		defer f.Close()
		src = car
	} else if run, cerr := cid.Decode(ref); cerr == nil {
		var car bytes.Buffer
		var leaves []provenance.Leaf
		if from.data != "" {
			leaves, err = exportOffline(ctx, from.data, run, &car, true)
		} else {
			leaves, err = a.exportOnline(ctx, from.server, run, &car, true)
		}
		if err != nil {
			return nil, err
		}
		if src, err = provenance.OpenCAR(bytes.NewReader(car.Bytes()), int64(car.Len())); err != nil {
			return nil, fmt.Errorf("the record of %s: %w", run, err)
		}
		if known == nil {
			known = map[provenance.Link]provenance.LeafKey{}
		}
		for _, l := range leaves {
			known[l.CID] = l.Key
		}
	} else if errors.Is(err, fs.ErrNotExist) {
		return nil, usage("%s is neither a file nor a CID", ref)
	} else {
		return nil, err
	}
	t := audit.Judge(src, provenance.Options{Keys: known})
	if t.Report.Code != "" {
		exit := audit.Exit(t.Report)
		return nil, failf(exit, string(t.Report.Code), "%s: the record does not hold: %s; see writ verify", ref, plain(t.Report.Detail))
	}
	if t.Layers == nil || len(t.Judged) == 0 {
		return nil, failf(exitIncomplete, "sealed", "%s: what was decided is sealed; give --keys", ref)
	}
	return t, nil
}

// A replayed is a recorded decision that another set answers differently.
type replayed struct {
	Run   string           `json:"run"` // as it was named on the command line
	Seq   int              `json:"seq"`
	Step  string           `json:"step"`
	Point string           `json:"point"`
	Given []policies.Named `json:"given"`
	Was   decisionView     `json:"was"`
	Now   decisionView     `json:"now"`
	Wider bool             `json:"wider"`
}

// policyReplay decides again, with set in the place of the operator's, what was decided in runs.
func (a *app) policyReplay(ctx context.Context, set *policies.Set, name string, refs []string, from recordSource) error {
	list, asked, unused := []replayed{}, 0, []string{}
	for _, ref := range refs {
		t, err := a.trial(ctx, ref, from)
		if err != nil {
			return err
		}
		// The run's own tools, as its agent had them.
		own, err := policies.Load(set.Source(), policies.Options{Layer: loop.LayerOperator, Tools: t.Tools, Partial: true})
		if err != nil {
			return badPolicy(name, err)
		}
		layers := append(policies.Layers{own}, t.Layers[1:]...)
		for _, j := range t.Judged {
			r := j.Request
			r.Budgets = slices.Clone(r.Budgets)
			for _, def := range own.Budgets() {
				i := slices.IndexFunc(r.Budgets, func(b policies.Budget) bool { return b.ID == def.ID && b.Cap.Asset() == def.Cap.Asset() })
				if i >= 0 {
					r.Budgets[i].Cap = def.Cap
					continue
				}
				none := money.Of(def.Cap.Asset(), 0)
				r.Budgets = append(r.Budgets, policies.Budget{ID: def.ID, Cap: def.Cap, Spent: none, Reserved: none})
				if !slices.Contains(unused, def.ID) {
					unused = append(unused, def.ID)
				}
			}
			asked++
			if d := layers.Decide(&r); d.Outcome != j.Decision.Outcome {
				v := decisionViews([]policies.Decision{j.Decision, d})
				diff := policies.Difference{Old: j.Decision, New: d}
				list = append(list, replayed{ref, j.Seq, j.Step.String(), string(r.Point), append([]policies.Named{}, r.Given()...), v[0], v[1], diff.Wider()})
			}
		}
	}
	return a.done(map[string]any{"replayed": asked, "changed": list, "unrecorded_budgets": unused}, func(w io.Writer) {
		p := paint(a.color(w))
		for _, x := range list {
			now := p.green(x.Now.Outcome)
			if x.Now.Outcome != string(policies.Permit) {
				now = p.red(x.Now.Outcome)
			}
			fmt.Fprintf(w, "%s#%d: %s: was %s, would be %s\n", x.Run, x.Seq, plain(givenText(x.Point, x.Given)), x.Was.Outcome, now)
			if x.Now.Message != "" {
				fmt.Fprintf(w, "  %s\n", plain(x.Now.Message))
			}
		}
		for _, b := range unused {
			fmt.Fprintf(w, "the runs know no budget %s; it was taken as unused\n", b)
		}
		fmt.Fprintf(w, "%s decided again by %s: %d answered differently\n", count(asked, "decision"), name, len(list))
	})
}

func givenText(point string, given []policies.Named) string {
	var parts []string
	for _, x := range given {
		parts = append(parts, x.Name+": "+x.Value)
	}
	return point + " {" + strings.Join(parts, ", ") + "}"
}

// An explained is one decision of a record, with what each rule said.
type explained struct {
	Seq   int              `json:"seq"`
	Step  string           `json:"step"`
	Given []policies.Named `json:"given"`
	decisionView
	Readings []policies.Reading `json:"readings"`
}

// isRecord says whether the argument of policy explain names a record and not a set: RUN#SEQ, FILE.car, or a CID.
func isRecord(arg string) bool {
	if strings.Contains(arg, "#") || strings.HasSuffix(arg, ".car") {
		return true
	}
	_, err := cid.Decode(arg)
	return err == nil
}

// explainRecord says why something was allowed or denied in a run, from its record.
func (a *app) explainRecord(ctx context.Context, ref string, from recordSource) error {
	run, at, step := ref, -1, ""
	if name, seq, cut := strings.Cut(ref, "#"); cut {
		n, err := strconv.Atoi(seq)
		if err != nil || n < 0 {
			return usage("%q is not a step's number; write RUN#3", plain(seq))
		}
		run, at = name, n
	} else if from.data != "" {
		// A step's own CID, in a data folder.
		if link, err := cid.Decode(ref); err == nil {
			of, err := runOfStep(ctx, from.data, link)
			if err != nil {
				return err
			}
			if of != link {
				run, step = of.String(), link.String()
			}
		}
	}
	t, err := a.trial(ctx, run, from)
	if err != nil {
		return err
	}
	list := []explained{}
	for _, j := range t.Judged {
		if at >= 0 && j.Seq != at || step != "" && j.Step.String() != step {
			continue
		}
		list = append(list, explained{j.Seq, j.Step.String(), append([]policies.Named{}, j.Request.Given()...),
			decisionViews([]policies.Decision{j.Decision})[0], append([]policies.Reading{}, t.Layers.Read(&j.Request)...)})
	}
	if len(list) == 0 {
		return failf(exitIncomplete, "not_found", "nothing was decided in that step; writ policy explain %s shows the whole run", run)
	}
	return a.done(map[string]any{"run": run, "decisions": list}, func(w io.Writer) {
		p := paint(a.color(w))
		for _, x := range list {
			outcome := p.green(x.Outcome)
			if x.Outcome != string(policies.Permit) {
				outcome = p.red(x.Outcome)
			}
			fmt.Fprintf(w, "step %d: %s: %s\n", x.Seq, plain(givenText(x.Point, x.Given)), outcome)
			for _, r := range x.Readings {
				if !r.Matches && r.Error == "" && x.Outcome != string(policies.Deny) {
					continue // what did not matter is in --json
				}
				says := p.dim("does not match")
				if r.Matches {
					says = "matches"
				}
				if r.Error != "" {
					says = p.red("fails: " + plain(r.Error))
				}
				fmt.Fprintf(w, "  %s (%s) %s\n", r.Rule, r.Effect, says)
				for _, x := range r.Atoms {
					fmt.Fprintf(w, "    %s: %s\n", x.Expr, plain(atomText(x)))
				}
			}
			for _, r := range x.Reserve {
				fmt.Fprintf(w, "  reserves in %s\n", r)
			}
			for _, line := range append(x.Obligations.Lines(), x.Message, x.Change) {
				if line != "" {
					fmt.Fprintf(w, "  %s\n", plain(line))
				}
			}
		}
	})
}

func atomText(x policies.Atom) string {
	if x.Right == "" {
		return x.Left
	}
	return fmt.Sprintf("%s against %s: %v", x.Left, x.Right, x.Holds)
}

// runOfStep returns the run that a step of a data folder belongs to, or the CID itself if it is no step.
func runOfStep(ctx context.Context, data string, link cid.Cid) (cid.Cid, error) {
	db, err := openData(ctx, data)
	if err != nil {
		return link, err
	}
	defer db.Close()
	b, err := db.Block(ctx, link)
	if errors.Is(err, provenance.ErrAbsent) || errors.Is(err, agent.ErrNotFound) {
		return link, failf(exitIncomplete, "not_found", "the data folder %s has no record %s", data, link)
	} else if err != nil {
		return link, err
	}
	rec, err := provenance.DecodeAny(b)
	if s, ok := rec.(*provenance.Step); ok && err == nil {
		return s.Run, nil
	}
	return link, nil
}
