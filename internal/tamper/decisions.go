package tamper

import (
	"bytes"
	"compress/gzip"
	"encoding/binary"
	"fmt"
	"os"
	"path/filepath"
	"regexp"
	"slices"
	"strings"

	"github.com/writ-run/writ/agent/definition"
	"github.com/writ-run/writ/agent/loop"
	"github.com/writ-run/writ/agent/model"
	"github.com/writ-run/writ/internal/tamper/toolbox"
	"github.com/writ-run/writ/policies"
	"github.com/writ-run/writ/policies/money"
	"github.com/writ-run/writ/tools"
)

// Decisions returns the corpus: gzip over name, CAR file and key file of each run, each with its length before it as an
// unsigned varint.
func Decisions(root string) ([]byte, error) {
	sets, err := findPolicySets(root)
	if err != nil {
		return nil, err
	}
	var out bytes.Buffer
	z, err := gzip.NewWriterLevel(&out, gzip.BestCompression)
	if err != nil {
		return nil, err
	}
	for i, s := range sets {
		for k, ask := range []func(*world){askPayments, askErrands} {
			w := wholeWorld()
			w.nonce = byte(2*i + k)
			w.offer.Nonce = fmt.Sprintf("abcdefgh%08d", 2*i+k)
			w.tools = []tools.Spec{toolbox.Balance(), toolbox.Transfer(), toolbox.Mail()}
			w.offer.Caveats.ApproveIfTainted = k == 1
			w.refuse = i%4 == 3
			w.offer.Caveats.MaxTotal, w.offer.Caveats.MaxPerCall = usd(100), usd(60)
			ask(w)
			if err := w.useRules(s.source); err != nil {
				return nil, fmt.Errorf("%s: %w", s.name, err)
			}
			h, err := playWorld(w)
			if err != nil {
				return nil, fmt.Errorf("%s: %w", s.name, err)
			}
			for _, part := range [][]byte{fmt.Appendf(nil, "%s/%d", s.name, k), h.writeCAR(), keyFile(h.keys)} {
				if _, err := z.Write(append(binary.AppendUvarint(nil, uint64(len(part))), part...)); err != nil {
					return nil, err
				}
			}
		}
	}
	if err := z.Close(); err != nil {
		return nil, err
	}
	return out.Bytes(), nil
}

type policySource struct{ name, source string }

// findPolicySets lists the policy sets of the repository: those built in, of which the demo's is one, the examples',
// the recipes of docs/policies.md, and that of the vectors.
func findPolicySets(root string) ([]policySource, error) {
	list := []policySource{{"vectors", rules}}
	for _, name := range policies.BuiltinNames() {
		src, _ := policies.Builtin(name)
		list = append(list, policySource{name, string(src)})
	}
	files, err := filepath.Glob(filepath.Join(root, "examples", "*", "policies.yaml"))
	if err != nil {
		return nil, err
	}
	for _, f := range files {
		src, err := os.ReadFile(f)
		if err != nil {
			return nil, err
		}
		list = append(list, policySource{"examples/" + filepath.Base(filepath.Dir(f)), string(src)})
	}
	page, err := os.ReadFile(filepath.Join(root, "docs", "policies.md"))
	if err != nil {
		return nil, err
	}
	for i, part := range strings.Split(string(page), "\n### ")[1:] {
		_, after, _ := strings.Cut(part, "```yaml\n")
		src, _, ok := strings.Cut(after, "```")
		if !ok {
			return nil, fmt.Errorf("recipe %d of docs/policies.md has no set", i+1)
		}
		list = append(list, policySource{fmt.Sprintf("recipe-%d", i+1),
			fmt.Sprintf("schema: %s\nname: recipe-%d\n%s", policies.Schema, i+1, src)})
	}
	return list, nil
}

var ruleAt = regexp.MustCompile(`at: ([a-z.]+), (?:tool: [a-z0-9.]+, )?effect: permit`)

// useRules makes source the world's rules. A recipe speaks of one point, and a run needs several: those at which
// nothing is permitted get a permit, so that the run comes to the others.
func (w *world) useRules(source string) error {
	if strings.Contains(source, "name: recipe-") {
		at := []string{"tool.call", "spend", "model.route", "output"}
		for _, m := range ruleAt.FindAllStringSubmatch(source, -1) {
			at = slices.DeleteFunc(at, func(p string) bool { return p == m[1] })
		}
		more := "rules:\n"
		for i, p := range at {
			when := ""
			if p == "spend" {
				when = ", when: 'amount == amount'"
			}
			more += fmt.Sprintf("  - {id: other-%d, at: %s, effect: permit%s}\n", i, p, when)
		}
		source = strings.Replace(source, "rules:\n", more, 1)
	}
	set, err := policies.Load([]byte(source), policies.Options{Layer: loop.LayerOperator, Partial: true})
	if err != nil {
		return err
	}
	rec, blocks := definition.RulesOf(set)
	w.rules, w.parts, w.partData = rec.Source, rec.Parts, blocks
	return nil
}

const (
	bob     = "0x00000000000000000000000000000000000000a1" // a friend, a supplier and a known recipient of several sets
	mallory = "mallory"
)

// askPayments asks for transfers of several sizes to several recipients.
func askPayments(w *world) {
	w.input = "pay everybody"
	pay := func(amount, to, memo string) model.Reply {
		return replyCall("erc20.transfer", fmt.Sprintf(`{"amount":%q,"memo":%q,"to":%q,"token":"USDC"}`, amount, memo,
			to))
	}
	w.replies = []model.Reply{
		replyCall("chain.balance", `{"text":"bob"}`), pay("0.5", bob, "rent"), pay("5", bob, "see http://x"),
		pay("12", mallory, "rent"),
		pay("55", bob, "rent"), pay("500", mallory, "rent"), pay("1", bob, "again"), replyText("some of it is paid"),
	}
	w.offer.Caveats.ApproveAbove = usd(10)
}

// askErrands asks for all sorts of calls, a plain order, bad arguments and a tool that is not there among them.
func askErrands(w *world) {
	w.input = "send 2 USDC to bob, then look around"
	w.replies = []model.Reply{
		replyCall("erc20.transfer", `{"amount":"2","to":"bob","token":"USDC"}`),
		replyCall("chain.balance", `{"text":"bob"}`),
		replyCall("mail.send", `{"text":"hello"}`),
		replyCall("erc20.transfer", `{"amount":"2","to":"bob","token":"SHIB"}`),
		replyCall("shell.run", `{}`), replyCall("chain.balance", `{"text":"mallory"}`),
		replyCall("erc20.transfer", `{"amount":"2","to":"bob","token":"USDC"}`),
		replyText("done"),
	}
	w.offer.Caveats.ApproveAbove = []money.Amount{money.Of(usdc, 1)}
}
