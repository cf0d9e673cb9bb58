package workshop

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

	"github.com/writ-run/writ/agent/audit"
	"github.com/writ-run/writ/agent/loop"
	"github.com/writ-run/writ/internal/cli"
	"github.com/writ-run/writ/internal/cli/evidence"
	"github.com/writ-run/writ/internal/journal"
	"github.com/writ-run/writ/policies"
	"github.com/writ-run/writ/policies/money"
	"github.com/writ-run/writ/policies/workshop"
	"github.com/writ-run/writ/provenance"
)

// A recordSource says where the records of runs are: a server, or with data a folder; keys opens those of a file, with
// identity if they are encrypted.
type recordSource struct{ server, data, keys, identity string }

func (s *recordSource) defineFlags(c *cobra.Command) {
	f := c.Flags()
	f.StringVar(&s.server, "server", "", "`URL` of the server that has the run")
	f.StringVar(&s.data, "data", "", "data `folder` that has the run, without a server")
	f.StringVar(&s.keys, "keys", "", "key `file` of the sealed payloads of a CAR file")
	f.StringVar(&s.identity, "identity", "", "age identity `file` that opens --keys, if it is encrypted")
}

// judgeRun fetches a run's record, a CAR file or a CID, and decides again what was decided in it.
func (sh *commands) judgeRun(ctx context.Context, ref string, from recordSource) (*audit.Trial, error) {
	known, err := evidence.OpenKeys(from.keys, from.identity)
	if err != nil {
		return nil, err
	}
	var src *provenance.CAR
	if _, err := os.Stat(ref); err == nil {
		car, f, err := evidence.OpenCAR(ref)
		if err != nil {
			return nil, err
		}
		defer f.Close()
		src = car
	} else if run, cerr := cid.Decode(ref); cerr == nil {
		if known == nil {
			known = map[provenance.Link]provenance.LeafKey{}
		}
		if src, err = sh.fetchRun(ctx, run, from, known); err != nil {
			return nil, err
		}
	} else if errors.Is(err, fs.ErrNotExist) {
		return nil, cli.Usage("%s is neither a file nor a CID", ref)
	} else {
		return nil, err
	}
	t := audit.Judge(src, audit.Options{Keys: known})
	if t.Report.Code != "" {
		exit := audit.Exit(t.Report)
		return nil, cli.Failf(exit, string(t.Report.Code), "%s: the record does not hold: %s; see writ verify", ref,
			cli.Plain(t.Report.Detail))
	}
	if t.Layers == nil || len(t.Judged) == 0 {
		return nil, cli.Failf(cli.ExitIncomplete, "sealed", "%s: what was decided is sealed; give --keys", ref)
	}
	return t, nil
}

// fetchRun fetches a run's record, and notes the keys that come with it.
func (sh *commands) fetchRun(ctx context.Context, run provenance.Link, from recordSource,
	known map[provenance.Link]provenance.LeafKey) (*provenance.CAR, error) {
	var car bytes.Buffer
	var leaves []provenance.Leaf
	var err error
	if from.data != "" {
		leaves, err = evidence.ExportFolder(ctx, from.data, run, &car, true)
	} else {
		leaves, err = sh.fetch(ctx, from.server, run, &car, true)
	}
	if err != nil {
		return nil, err
	}
	src, err := provenance.OpenCAR(bytes.NewReader(car.Bytes()), int64(car.Len()))
	if err != nil {
		return nil, fmt.Errorf("the record of %s: %w", run, err)
	}
	for _, l := range leaves {
		known[l.CID] = l.Key
	}
	return src, nil
}

// A replayed is a recorded decision that another set answers differently.
type replayed struct {
	Run   string           `json:"run"` // as it was named on the command line
	Seq   int              `json:"seq"`
	Step  string           `json:"step"`
	Point string           `json:"point"`
	Given []workshop.Named `json:"given"`
	Was   decisionView     `json:"was"`
	Now   decisionView     `json:"now"`
	Wider bool             `json:"wider"`
}

func (x *replayed) write(w io.Writer, p cli.Paint) {
	now := p.Green(x.Now.Outcome)
	if x.Now.Outcome != string(policies.Permit) {
		now = p.Red(x.Now.Outcome)
	}
	fmt.Fprintf(w, "%s#%d: %s: was %s, would be %s\n", x.Run, x.Seq, cli.Plain(givenText(x.Point, x.Given)),
		x.Was.Outcome, now)
	if x.Now.Message != "" {
		fmt.Fprintf(w, "  %s\n", cli.Plain(x.Now.Message))
	}
}

// replayRuns decides again, with set in the place of the operator's, what was decided in runs.
func (sh *commands) replayRuns(
	ctx context.Context, set *policies.Set, name string, refs []string, from recordSource,
) error {
	list, asked, unused := []replayed{}, 0, []string{}
	for _, ref := range refs {
		t, err := sh.judgeRun(ctx, ref, from)
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
			var unknown []string
			r.Budgets, unknown = replaceCaps(r.Budgets, own)
			unused = append(unused, unknown...)
			asked++
			if d := layers.Decide(&r); d.Outcome != j.Decision.Outcome {
				v := decisionViews([]policies.Decision{j.Decision, d})
				diff := workshop.Difference{Old: j.Decision, New: d}
				list = append(list,
					replayed{ref, j.Seq, j.Step.String(), string(r.Point), append([]workshop.Named{}, workshop.Given(&r)...), v[0],
						v[1], diff.Wider()})
			}
		}
	}
	unused = distinct(unused)
	return sh.Done(map[string]any{"replayed": asked, "changed": list, "unrecorded_budgets": unused}, func(w io.Writer) {
		p := cli.Paint(sh.Color(w))
		for _, x := range list {
			x.write(w, p)
		}
		for _, b := range unused {
			fmt.Fprintf(w, "the runs know no budget %s; it was taken as unused\n", b)
		}
		fmt.Fprintf(w, "%s decided again by %s: %d answered differently\n", cli.Count(asked, "decision"), name, len(list))
	})
}

// replaceCaps returns budgets with the caps of set. Those that it does not find are unused, and named.
func replaceCaps(budgets []policies.Budget, set *policies.Set) (all []policies.Budget, unknown []string) {
	all = slices.Clone(budgets)
	for _, def := range set.Budgets() {
		i := slices.IndexFunc(all, func(b policies.Budget) bool {
			return b.ID == def.ID && b.Cap.Asset() == def.Cap.Asset()
		})
		if i >= 0 {
			all[i].Cap = def.Cap
			continue
		}
		none := money.Of(def.Cap.Asset(), 0)
		all = append(all, policies.Budget{ID: def.ID, Cap: def.Cap, Spent: none, Reserved: none})
		unknown = append(unknown, def.ID)
	}
	return all, unknown
}

// distinct leaves the first of each name.
func distinct(names []string) []string {
	kept := []string{}
	for _, n := range names {
		if !slices.Contains(kept, n) {
			kept = append(kept, n)
		}
	}
	return kept
}

func givenText(point string, given []workshop.Named) string {
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
	Given []workshop.Named `json:"given"`
	decisionView
	Readings []policies.Reading `json:"readings"`
}

func (x *explained) write(w io.Writer, p cli.Paint) {
	outcome := p.Green(x.Outcome)
	if x.Outcome != string(policies.Permit) {
		outcome = p.Red(x.Outcome)
	}
	fmt.Fprintf(w, "step %d: %s: %s\n", x.Seq, cli.Plain(givenText(x.Point, x.Given)), outcome)
	for _, r := range x.Readings {
		if !r.Matches && r.Error == "" && x.Outcome != string(policies.Deny) {
			continue // what did not matter is in --json
		}
		says := p.Dim("does not match")
		if r.Matches {
			says = "matches"
		}
		if r.Error != "" {
			says = p.Red("fails: " + cli.Plain(r.Error))
		}
		fmt.Fprintf(w, "  %s (%s) %s\n", r.Rule, r.Effect, says)
		for _, x := range r.Atoms {
			fmt.Fprintf(w, "    %s: %s\n", x.Expr, cli.Plain(atomText(x)))
		}
	}
	for _, r := range x.Reserve {
		fmt.Fprintf(w, "  reserves in %s\n", r)
	}
	for _, line := range append(x.Obligations.Lines(), x.Message, x.Change) {
		if line != "" {
			fmt.Fprintf(w, "  %s\n", cli.Plain(line))
		}
	}
}

// isRecord says whether the argument of policy explain names a record and not a set: RUN#SEQ, FILE.car, or a CID.
func isRecord(arg string) bool {
	if strings.Contains(arg, "#") || strings.HasSuffix(arg, ".car") {
		return true
	}
	_, err := cid.Decode(arg)
	return err == nil
}

// placeOf says which run ref names, and of it which step, by number or by CID; at is -1 if it names no number.
func placeOf(ctx context.Context, ref string, from recordSource) (run string, at int, step string, err error) {
	run, at = ref, -1
	if name, seq, cut := strings.Cut(ref, "#"); cut {
		n, err := strconv.Atoi(seq)
		if err != nil || n < 0 {
			return "", 0, "", cli.Usage("%q is not a step's number; write RUN#3", cli.Plain(seq))
		}
		run, at = name, n
	} else if from.data != "" {
		// A step's own CID, in a data folder.
		if link, err := cid.Decode(ref); err == nil {
			of, err := runOfStep(ctx, from.data, link)
			if err != nil {
				return "", 0, "", err
			}
			if of != link {
				run, step = of.String(), link.String()
			}
		}
	}
	return run, at, step, nil
}

// explainRecord says why something was allowed or denied in a run, from its record.
func (sh *commands) explainRecord(ctx context.Context, ref string, from recordSource) error {
	run, at, step, err := placeOf(ctx, ref, from)
	if err != nil {
		return err
	}
	t, err := sh.judgeRun(ctx, run, from)
	if err != nil {
		return err
	}
	list := []explained{}
	for _, j := range t.Judged {
		if at >= 0 && j.Seq != at || step != "" && j.Step.String() != step {
			continue
		}
		list = append(list, explained{j.Seq, j.Step.String(), append([]workshop.Named{}, workshop.Given(&j.Request)...),
			decisionViews([]policies.Decision{j.Decision})[0], append([]policies.Reading{}, t.Layers.Read(&j.Request)...)})
	}
	if len(list) == 0 {
		return cli.Failf(cli.ExitIncomplete, "not_found",
			"nothing was decided in that step; writ policy explain %s shows the whole run", run)
	}
	return sh.Done(map[string]any{"run": run, "decisions": list}, func(w io.Writer) {
		p := cli.Paint(sh.Color(w))
		for _, x := range list {
			x.write(w, p)
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
	db, err := evidence.OpenData(ctx, data)
	if err != nil {
		return link, err
	}
	defer db.Close()
	b, err := db.Block(ctx, link)
	if errors.Is(err, provenance.ErrAbsent) || errors.Is(err, journal.ErrNotFound) {
		return link, cli.Failf(cli.ExitIncomplete, "not_found", "the data folder %s has no record %s", data, link)
	} else if err != nil {
		return link, err
	}
	rec, err := provenance.DecodeAny(b)
	if s, ok := rec.(*provenance.Step); ok && err == nil {
		return s.Run, nil
	}
	return link, nil
}
