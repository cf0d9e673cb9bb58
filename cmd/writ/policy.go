package main

import (
	"errors"
	"fmt"
	"io"
	"os"
	"strings"
	"time"

	"github.com/spf13/cobra"

	"github.com/writ-run/writ/agent/loop"
	"github.com/writ-run/writ/internal/chain"
	"github.com/writ-run/writ/policies"
	"github.com/writ-run/writ/policies/money"
	"github.com/writ-run/writ/provenance"
	"github.com/writ-run/writ/tools"
	chaintools "github.com/writ-run/writ/tools/chain"
	webtool "github.com/writ-run/writ/tools/fetch"
	"github.com/writ-run/writ/tools/retrieve"
)

// maxSource bounds a policy or agent file that is read; their own bounds are tighter.
const maxSource = 1 << 20

// policySource returns the source of a set: a built-in one by its name, else a file.
func policySource(name string) ([]byte, error) {
	if src, ok := policies.Builtin(name); ok {
		return src, nil
	}
	src, err := readSource(name)
	if err != nil && !strings.ContainsAny(name, "./") {
		return nil, usage("there is no policy set %q: it is neither a file nor built in; built in are %s", name, strings.Join(policies.BuiltinNames(), ", "))
	}
	return src, err
}

func readSource(path string) ([]byte, error) {
	f, err := os.Open(path)
	if err != nil {
		return nil, err
	}
	defer f.Close()
	src, err := io.ReadAll(io.LimitReader(f, maxSource+1))
	if err == nil && len(src) > maxSource {
		err = usage("%s is too large: more than %d bytes", path, maxSource)
	}
	return src, err
}

// shippedTools returns the tools that every server has, to be described and not to be called: no chain is asked.
func shippedTools() ([]*tools.Def, error) {
	pool, err := chain.NewPool(chain.PoolConfig{URLs: []string{"http://127.0.0.1:1"}, Chain: chain.DevChainID})
	if err != nil {
		return nil, err
	}
	defer pool.Close()
	list, err := chaintools.New(chaintools.Config{Client: pool, Book: chain.Book(), Key: chain.Accounts()["agent"].Key})
	if err != nil {
		return nil, err
	}
	// Those that a configuration switches on, with stand-ins for what it names.
	page, err := webtool.New(webtool.Config{Hosts: []string{"example.com"}})
	if err != nil {
		return nil, err
	}
	search, err := retrieve.New([]retrieve.Document{{Source: "example", Text: "example"}})
	if err != nil {
		return nil, err
	}
	list = append(list, page, search)
	var defs []*tools.Def
	for _, t := range list {
		d, err := tools.Compile(t.Spec())
		if err != nil {
			return nil, err
		}
		defs = append(defs, d)
	}
	return defs, nil
}

// loadPolicy loads a set as a server would, with the tools that it has.
func loadPolicy(name string) (*policies.Set, []*tools.Def, error) {
	src, err := policySource(name)
	if err != nil {
		return nil, nil, err
	}
	defs, err := shippedTools()
	if err != nil {
		return nil, nil, err
	}
	var types []policies.ToolType
	for _, d := range defs {
		t := policies.ToolType{Name: d.Spec().Name}
		for _, p := range d.Params() {
			t.Params = append(t.Params, policies.Param{Name: p.Name, Kind: policies.ArgKind(p.Kind)})
		}
		types = append(types, t)
	}
	set, err := policies.Load(src, policies.Options{Layer: loop.LayerOperator, Tools: types, File: besides(name)})
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
		lines[i] = name + ":" + plain(p.String())
	}
	f := failf(exitUsage, "policy", "%s", strings.Join(lines, "\n"))
	f.result = map[string]any{"problems": bad.Problems}
	return f
}

func (a *app) policyCommand() *cobra.Command {
	show := &cobra.Command{
		Use: "show FILE|NAME", Short: "Print a policy set and its CID", Args: cobra.ExactArgs(1),
		RunE: func(_ *cobra.Command, args []string) error {
			set, _, err := loadPolicy(args[0])
			if err != nil {
				return err
			}
			rec, _ := loop.RulesOf(set)
			b, err := provenance.Encode(rec)
			if err != nil {
				return err
			}
			v := map[string]any{"name": set.Name(), "cid": b.CID.String(), "source": string(set.Source())}
			return a.done(v, func(w io.Writer) {
				a.note("# %s", b.CID)
				w.Write(set.Source())
			})
		},
	}
	return group("policy", "Check, test, explain, compare, reload and show policy sets", a.policyCheck(), a.policyTest(), a.policyExplain(), a.policyDiff(), a.policyFmt(), a.policySchema(), a.policyReload(), show)
}

func (a *app) policySchema() *cobra.Command {
	var tests bool
	c := &cobra.Command{
		Use: "schema", Short: "Print the JSON Schema of policy sets, for editors", Args: cobra.NoArgs,
		RunE: func(*cobra.Command, []string) error {
			schema := policies.SetSchema()
			if tests {
				schema = policies.TestsFileSchema()
			}
			_, err := a.out.Write(schema)
			return err
		},
	}
	c.Flags().BoolVar(&tests, "tests", false, "of files of tests instead")
	return c
}

func (a *app) policyExplain() *cobra.Command {
	var tool, call, model, kind, provider, agent string
	var tokens, cost, size int64
	var approved bool
	var from recordSource
	c := &cobra.Command{
		Use: "explain FILE|NAME | RUN[#STEP] | RUN.car[#STEP]", Short: "Say what a policy set answers to a request, or answered in a run, and why",
		Long: `Says what a set answers, which rules and values decide, and the smallest change that would allow it. The set is asked
alone, with unused budgets; what a wallet grants narrows it further.

Of a run it says why each step was allowed or denied, or that of one step: from its exported record, from the server, or
with --data from a data folder, where a step's CID will do too. The record is checked first, and every decision in it is
made again.

  writ policy explain bafyrei...#4
  writ policy explain run.car --keys run.keys
  writ policy explain spend-with-approval --tool erc20.transfer --args '{"token":"USDC","to":"bob","amount":"500"}'
  writ policy explain spend-with-approval --model gpt --kind model --tokens 4000 --cost 2000000
  writ policy explain spend-with-approval --output 400`,
		Args: cobra.ExactArgs(1),
		RunE: func(c *cobra.Command, args []string) error {
			if isRecord(args[0]) {
				return a.explainRecord(c.Context(), args[0], from)
			}
			set, defs, err := loadPolicy(args[0])
			if err != nil {
				return err
			}
			now := time.Now().UnixMilli()
			base := policies.Request{
				Past: policies.PastOf(nil),
				Now:  now, Agent: agent, Chain: chain.DevChainID, Expires: now + time.Hour.Milliseconds(), Turn: 1, Approved: approved,
			}
			for _, b := range set.Budgets() {
				none := money.Of(b.Cap.Asset(), 0)
				base.Budgets = append(base.Budgets, policies.Budget{ID: b.ID, Cap: b.Cap, Spent: none, Reserved: none})
			}
			var asked []policies.Request
			switch {
			case tool != "":
				asked, err = toolRequests(base, defs, tool, call)
				if err != nil {
					return err
				}
			case model != "":
				base.Point, base.Model, base.Kind, base.Provider, base.Tokens, base.Cost = policies.ModelRoute, model, kind, provider, tokens, cost
				asked = []policies.Request{base}
			case c.Flags().Changed("output"):
				base.Point, base.Size = policies.Output, size
				asked = []policies.Request{base}
			default:
				return usage("say what is asked: --tool NAME --args JSON, --model NAME, or --output BYTES; see: writ policy explain --help")
			}
			var all []policies.Decision
			for i := range asked {
				all = append(all, policies.Layers{set}.Decide(&asked[i]))
			}
			return a.done(map[string]any{"decisions": decisionViews(all)}, func(w io.Writer) {
				p := paint(a.color(w))
				for _, d := range all {
					outcome := p.green(string(d.Outcome))
					if d.Outcome != policies.Permit {
						outcome = p.red(string(d.Outcome))
					}
					fmt.Fprintf(w, "%s: %s by %s\n", d.Point, outcome, or(strings.Join(d.Rules, ", "), "no rule"))
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
			})
		},
	}
	f := c.Flags()
	f.StringVar(&tool, "tool", "", "a tool is to be called: its `name`")
	f.StringVar(&call, "args", "{}", "its arguments, `JSON`")
	f.StringVar(&model, "model", "", "a model is to be asked: its `name`")
	f.StringVar(&kind, "kind", "model", "the model's kind: model, rules or scripted")
	f.StringVar(&provider, "provider", "", "the model's provider")
	f.Int64Var(&tokens, "tokens", 0, "upper bound of tokens")
	f.Int64Var(&cost, "cost", 0, "upper bound of cost, nano-USD")
	f.Int64Var(&size, "output", 0, "an answer is to be given: its `bytes`")
	f.StringVar(&agent, "agent", "treasurer", "which agent asks")
	f.BoolVar(&approved, "approved", false, "the wallet has approved exactly this")
	from.flags(c)
	return c
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
			return nil, usage("--args: %s", err)
		}
		base.Tool, base.Class = tool, string(spec.Class)
		asked := base
		asked.Point = policies.ToolCall
		for _, v := range args.Values {
			asked.Args = append(asked.Args, policies.Arg{
				Name: v.Name, Kind: policies.ArgKind(v.Kind), Set: v.Set, Text: v.Text, Int: v.Int, Bool: v.Bool,
				Addr: v.Addr, Amount: v.Amount,
			})
		}
		list := []policies.Request{asked}
		if spec.Spend != nil {
			spend := base
			spend.Point, spend.Amount, spend.To = policies.Spend, args.Amount, args.To
			list = append(list, spend)
		}
		return list, nil
	}
	return nil, usage("there is no tool %q; there are: %s", tool, strings.Join(names, ", "))
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
		v := decisionView{Point: string(d.Point), Outcome: string(d.Outcome), Rules: append([]string{}, d.Rules...), Atoms: d.Atoms, Message: d.Message, Change: d.Change,
			Obligations: d.Obligations()}
		for _, r := range d.Reserve {
			v.Reserve = append(v.Reserve, r.Budget+": "+r.Amount.String())
		}
		out = append(out, v)
	}
	return out
}

func or(s, other string) string {
	if s == "" {
		return other
	}
	return s
}
