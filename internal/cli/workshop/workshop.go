// Package workshop is where policy sets are made: the commands below `writ policy` that check, test, explain, compare
// and format them, and that ask of a run's record what another set would have answered.
package workshop

import (
	"cmp"
	"context"
	"errors"
	"fmt"
	"io"
	"strings"
	"time"

	"github.com/ipfs/go-cid"
	"github.com/spf13/cobra"

	"github.com/writ-run/writ/agent/definition"
	"github.com/writ-run/writ/agent/loop"
	"github.com/writ-run/writ/internal/cli"
	"github.com/writ-run/writ/internal/eth/devchain"
	"github.com/writ-run/writ/internal/node"
	"github.com/writ-run/writ/policies"
	"github.com/writ-run/writ/policies/money"
	"github.com/writ-run/writ/policies/workshop"
	"github.com/writ-run/writ/provenance"
	"github.com/writ-run/writ/tools"
)

// A Fetch writes the record of a run at a server as a CAR and returns the keys of its leaves.
type Fetch func(ctx context.Context, server string, run cid.Cid, w io.Writer, keys bool) ([]provenance.Leaf, error)

// commands are those of the workshop.
type commands struct {
	*cli.Shell
	fetch Fetch
}

// Commands returns the commands of the workshop. fetch is how a run's record comes from a server.
func Commands(s *cli.Shell, fetch Fetch) []*cobra.Command {
	c := &commands{s, fetch}
	return []*cobra.Command{
		c.checkCommand(), c.testCommand(), c.explainCommand(), c.diffCommand(), c.fmtCommand(), c.schemaCommand(),
		c.showCommand(),
	}
}

// report prints what was found, and fails with fail if that is not nil.
func (sh *commands) report(found map[string]any, text func(io.Writer), fail *cli.Failure) error {
	if fail == nil {
		return sh.Done(found, text)
	}
	if !sh.JSON {
		text(sh.Out)
	}
	fail.Result = found
	return fail
}

func (sh *commands) showCommand() *cobra.Command {
	return &cobra.Command{
		Use: "show FILE|NAME", Short: "Print a policy set and its CID", Args: cobra.ExactArgs(1),
		RunE: func(_ *cobra.Command, args []string) error {
			set, _, err := loadPolicy(args[0])
			if err != nil {
				return err
			}
			rec, _ := definition.RulesOf(set)
			b, err := provenance.Encode(rec)
			if err != nil {
				return err
			}
			v := map[string]any{"name": set.Name(), "cid": b.CID.String(), "source": string(set.Source())}
			return sh.Done(v, func(w io.Writer) {
				sh.Note("# %s", b.CID)
				w.Write(set.Source())
			})
		},
	}
}

// loadPolicy loads a set as a server would, with the tools that it has.
func loadPolicy(name string) (*policies.Set, []*tools.Def, error) {
	src, err := node.PolicySource(name)
	if err != nil {
		return nil, nil, err
	}
	defs, err := node.DescribedTools()
	if err != nil {
		return nil, nil, err
	}
	var types []policies.ToolType
	for _, d := range defs {
		types = append(types, policies.ToolType{Name: d.Spec().Name, Params: d.Params()})
	}
	set, err := policies.Load(src, policies.Options{Layer: loop.LayerOperator, Tools: types, File: node.FilesBeside(name)})
	if err != nil {
		return nil, nil, badPolicy(name, err)
	}
	return set, defs, nil
}

// badPolicy is the failure of a source that does not load: one line a problem, each with its place.
func badPolicy(name string, err error) error {
	bad, ok := errors.AsType[*policies.LoadError](err)
	if !ok {
		return err
	}
	lines := make([]string, len(bad.Problems))
	for i, p := range bad.Problems {
		lines[i] = name + ":" + cli.Plain(p.String())
	}
	f := cli.Failf(cli.ExitUsage, "policy", "%s", strings.Join(lines, "\n"))
	f.Result = map[string]any{"problems": bad.Problems}
	return f
}

func (sh *commands) schemaCommand() *cobra.Command {
	var tests bool
	c := &cobra.Command{
		Use: "schema", Short: "Print the JSON Schema of policy sets, for editors", Args: cobra.NoArgs,
		RunE: func(*cobra.Command, []string) error {
			schema := policies.SetSchema()
			if tests {
				schema = workshop.TestsFileSchema()
			}
			_, err := sh.Out.Write(schema)
			return err
		},
	}
	c.Flags().BoolVar(&tests, "tests", false, "of files of tests instead")
	return c
}

// explainOptions are the flags of writ policy explain.
type explainOptions struct {
	tool, call, model, kind, provider, agent string
	tokens, cost, size                       int64
	approved                                 bool
	from                                     recordSource
}

func (sh *commands) explainCommand() *cobra.Command {
	var o explainOptions
	c := &cobra.Command{
		Use:   "explain FILE|NAME | RUN[#STEP] | RUN.car[#STEP]",
		Short: "Say what a policy set answers to a request, or answered in a run, and why",
		Long: `Says what a set answers, which rules and values decide, and the smallest change that would allow it. The set
is asked alone, with unused budgets; what a wallet grants narrows it further.

Of a run it says why each step was allowed or denied, or that of one step: from its exported record, from the server, or
with --data from a data folder, where a step's CID will do too. The record is checked first, and every decision in it is
made again.

  writ policy explain bafyrei...#4
  writ policy explain run.car --keys run.keys
  writ policy explain spend-with-approval --tool erc20.transfer --args '{"token":"USDC","to":"bob","amount":"500"}'
  writ policy explain spend-with-approval --model gpt --kind model --tokens 4000 --cost 2000000
  writ policy explain spend-with-approval --output 400`,
		Args: cobra.ExactArgs(1),
		RunE: func(c *cobra.Command, args []string) error { return o.explain(sh, c, args) },
	}
	f := c.Flags()
	f.StringVar(&o.tool, "tool", "", "a tool is to be called: its `name`")
	f.StringVar(&o.call, "args", "{}", "its arguments, `JSON`")
	f.StringVar(&o.model, "model", "", "a model is to be asked: its `name`")
	f.StringVar(&o.kind, "kind", "model", "the model's kind: model, rules or scripted")
	f.StringVar(&o.provider, "provider", "", "the model's provider")
	f.Int64Var(&o.tokens, "tokens", 0, "upper bound of tokens")
	f.Int64Var(&o.cost, "cost", 0, "upper bound of cost, nano-USD")
	f.Int64Var(&o.size, "output", 0, "an answer is to be given: its `bytes`")
	f.StringVar(&o.agent, "agent", "treasurer", "which agent asks")
	f.BoolVar(&o.approved, "approved", false, "the wallet has approved exactly this")
	o.from.defineFlags(c)
	return c
}

func (o *explainOptions) explain(sh *commands, c *cobra.Command, args []string) error {
	if isRecord(args[0]) {
		return sh.explainRecord(c.Context(), args[0], o.from)
	}
	set, defs, err := loadPolicy(args[0])
	if err != nil {
		return err
	}
	asked, err := o.requests(c, set, defs)
	if err != nil {
		return err
	}
	var all []policies.Decision
	for i := range asked {
		all = append(all, policies.Layers{set}.Decide(&asked[i]))
	}
	return sh.Done(map[string]any{"decisions": decisionViews(all)}, func(w io.Writer) {
		p := cli.Paint(sh.Color(w))
		for _, d := range all {
			writeDecision(w, p, d)
		}
	})
}

// requests returns what is asked.
func (o *explainOptions) requests(c *cobra.Command, set *policies.Set, defs []*tools.Def) ([]policies.Request, error) {
	now := time.Now().UnixMilli()
	base := policies.Request{
		Past: policies.PastOf(nil),
		Now:  now, Agent: o.agent, Chain: devchain.ID, Expires: now + time.Hour.Milliseconds(), Turn: 1, Approved: o.approved,
	}
	for _, b := range set.Budgets() {
		none := money.Of(b.Cap.Asset(), 0)
		base.Budgets = append(base.Budgets, policies.Budget{ID: b.ID, Cap: b.Cap, Spent: none, Reserved: none})
	}
	switch {
	case o.tool != "":
		return toolRequests(base, defs, o.tool, o.call)
	case o.model != "":
		base.Point, base.Model, base.Kind = policies.ModelRoute, o.model, o.kind
		base.Provider, base.Tokens, base.Cost = o.provider, o.tokens, o.cost
		return []policies.Request{base}, nil
	case c.Flags().Changed("output"):
		base.Point, base.Size = policies.Output, o.size
		return []policies.Request{base}, nil
	}
	return nil, cli.Usage("say what is asked: --tool NAME --args JSON, --model NAME, or --output BYTES; see: writ " +
		"policy " +
		"explain --help")
}

func writeDecision(w io.Writer, p cli.Paint, d policies.Decision) {
	outcome := p.Green(string(d.Outcome))
	if d.Outcome != policies.Permit {
		outcome = p.Red(string(d.Outcome))
	}
	fmt.Fprintf(w, "%s: %s by %s\n", d.Point, outcome, cmp.Or(strings.Join(d.Rules, ", "), "no rule"))
	for _, x := range d.Atoms {
		fmt.Fprintf(w, "  %s: %s against %s: %v\n", x.Expr, x.Left, x.Right, x.Holds)
	}
	for _, x := range d.Reserve {
		fmt.Fprintf(w, "  reserves %s in %s\n", x.Amount, x.Budget)
	}
	for _, line := range append(d.Obligations().Lines(), d.Message, d.Change) {
		if line != "" {
			fmt.Fprintf(w, "  %s\n", line)
		}
	}
}

// toolRequests returns what is decided about a tool call: the call, and what it spends.
func toolRequests(base policies.Request, defs []*tools.Def, tool, call string) ([]policies.Request, error) {
	var names []string
	for _, d := range defs {
		spec := d.Spec()
		names = append(names, spec.Name)
		if spec.Name != tool {
			continue
		}
		args, err := d.Read([]byte(call))
		if err != nil {
			return nil, cli.Usage("--args: %s", err)
		}
		base.Tool, base.Class = tool, string(spec.Class)
		asked := base
		asked.Point, asked.Args = policies.ToolCall, args.Values
		list := []policies.Request{asked}
		if spec.Spend != nil {
			spend := base
			spend.Point, spend.Amount, spend.To = policies.Spend, args.Amount, args.To
			list = append(list, spend)
		}
		return list, nil
	}
	return nil, cli.Usage("there is no tool %q; there are: %s", tool, strings.Join(names, ", "))
}

// A decisionView is a decision as JSON.
type decisionView struct {
	Point   string          `json:"point"`
	Outcome string          `json:"outcome"`
	Rules   []string        `json:"rules"`
	Atoms   []policies.Atom `json:"atoms,omitempty"`
	Message string          `json:"message,omitempty"`
	Change  string          `json:"change,omitempty"`
	Reserve []string        `json:"reserve,omitempty"`

	Obligations policies.Obligations `json:"obligations,omitzero"`
}

func decisionViews(ds []policies.Decision) []decisionView {
	var out []decisionView
	for _, d := range ds {
		v := decisionView{Point: string(d.Point), Outcome: string(d.Outcome), Rules: append([]string{}, d.Rules...),
			Atoms: d.Atoms, Message: d.Message, Change: d.Change,
			Obligations: d.Obligations()}
		for _, r := range d.Reserve {
			v.Reserve = append(v.Reserve, r.Budget+": "+r.Amount.String())
		}
		out = append(out, v)
	}
	return out
}
