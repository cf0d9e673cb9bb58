package loop_test

import (
	"flag"
	"fmt"
	"strings"
	"testing"
	"time"

	"github.com/ethereum/go-ethereum/common"

	"github.com/writ-run/writ/agent/loop"
	"github.com/writ-run/writ/agent/model"
	"github.com/writ-run/writ/policies/money"
	"github.com/writ-run/writ/provenance"
)

var show = flag.Bool("show", false, "print what each case of the specification leads to")

const simulated = `{"ok":true,"changes":[]}`

// What happens at the last of the moves, an effect a line. "holding" is what is reserved with it, in the units of the
// budget; "settle" is what of a reservation becomes spent.
var spec = []struct {
	name  string
	set   func(*loop.Config)
	moves []move
	want  string
}{
	// The turn.
	{"a run begins by asking the first model that its routes lead to", nil,
		[]move{asks("hi")},
		``},
	{"a text without calls is the answer", nil,
		[]move{asks("hi"), answers("hello")},
		``},
	{"a reply that was cut runs no call", nil,
		[]move{asks("hi"), replies(model.StopLength, "half a", echo("x"))},
		``},
	{"a reply that the provider withheld runs no call", nil,
		[]move{asks("hi"), replies(model.StopFilter, "", echo("x"))},
		``},
	{"when every call has its outcome the model is asked again", nil,
		[]move{asks("hi"), wants(echo("x")), returns(0, `{"said":"x"}`)},
		``},
	{"the model is not asked while a call is open", nil,
		[]move{asks("hi"), wants(echo("x"), echo("y")), returns(0, `{"said":"x"}`)},
		``},
	{"calls may return in any order", nil,
		[]move{asks("hi"), wants(echo("x"), echo("y")), returns(1, `{"said":"y"}`), returns(0, `{"said":"x"}`)},
		``},
	{"a tool's error is told to the model", nil,
		[]move{asks("hi"), wants(echo("x")), result(0, provenance.StatusError, `{"error":"no"}`)},
		``},

	// What a call must pass.
	{"a tool that is not there is refused", nil,
		[]move{asks("hi"), wants(use("no.such", `{}`))},
		``},
	{"arguments that do not fit the schema are refused", nil,
		[]move{asks("hi"), wants(use("echo.say", `{"text":7}`))},
		``},
	{"an argument too many is refused", nil,
		[]move{asks("hi"), wants(use("echo.say", `{"text":"a","to":"b"}`))},
		``},
	{"a recipient that is in no address book is refused", nil,
		[]move{asks("hi"), wants(pay("nobody", "1"))},
		``},
	{"a tool that the grant does not name is refused", func(c *loop.Config) { c.Grant.Tools = c.Grant.Tools[1:] },
		[]move{asks("hi"), wants(echo("x"))},
		``},
	{"a tool on a chain that the grant does not name is refused", func(c *loop.Config) { c.Grant.Caveats.Chains = []uint64{1} },
		[]move{asks("hi"), wants(pay("bob", "1"))},
		``},

	// The four classes, permitted.
	{"a read is made, and holds a call", nil,
		[]move{asks("hi"), wants(echo("x"))},
		``},
	{"a keyed payment holds its amount in the grant's budget and the operator's", nil,
		[]move{asks("hi"), wants(pay("bob", "1"))},
		``},
	{"a keyed payment that returned is spent", nil,
		[]move{asks("hi"), wants(pay("bob", "1")), returns(0, `{"status":"ok"}`)},
		``},
	{"a once tool is called", nil,
		[]move{asks("hi"), wants(post("x"))},
		``},
	{"a transaction is simulated first, and holds nothing for it", nil,
		[]move{asks("hi"), wants(send("bob", "1"))},
		``},
	{"a transaction whose simulation holds is signed, and holds its amount", nil,
		[]move{asks("hi"), wants(send("bob", "1")), returns(0, simulated)},
		``},
	{"a signed transaction is sent, under the same reservation", nil,
		[]move{asks("hi"), wants(send("bob", "1")), returns(0, simulated), returns(0, `{"raw":"0x"}`)},
		``},
	{"an included transaction is spent", nil,
		[]move{asks("hi"), wants(send("bob", "1")), returns(0, simulated), returns(0, `{"raw":"0x"}`), returns(0, `{"status":"ok"}`)},
		``},

	// The four classes, denied.
	{"a read that a rule forbids is refused", nil,
		[]move{asks("hi"), wants(echo("secret"))},
		``},
	{"a payment above the grant's limit a call is refused", nil,
		[]move{asks("hi"), wants(pay("bob", "11"))},
		``},
	{"a payment to somebody whom the operator forbids is refused", nil,
		[]move{asks("hi"), wants(pay("mallory", "1"))},
		``},
	{"a payment to somebody whom the grant does not name is refused",
		func(c *loop.Config) { c.Grant.Caveats.Recipients = []common.Address{names["mallory"]} },
		[]move{asks("hi"), wants(pay("bob", "1"))},
		``},
	{"a transaction that is not permitted is not even simulated", nil,
		[]move{asks("hi"), wants(send("mallory", "1"))},
		``},
	{"a transaction that would fail is refused", nil,
		[]move{asks("hi"), wants(send("bob", "1")), returns(0, `{"ok":false,"error":"insufficient funds"}`)},
		``},
	{"a simulation that says nothing is a failing one", nil,
		[]move{asks("hi"), wants(send("bob", "1")), returns(0, `[]`)},
		``},
	{"a simulation that failed ends the call, which held nothing", nil,
		[]move{asks("hi"), wants(send("bob", "1")), result(0, provenance.StatusError, `{"error":"chain is down"}`)},
		``},
	{"room that another run took meanwhile is missed at the decision after the simulation", nil,
		[]move{asks("hi"), wants(send("bob", "1")), spent("grant/max_total_usdc", 19_500_000), returns(0, simulated)},
		``},

	// The four classes, with an approval.
	{"a read may need the wallet", nil,
		[]move{asks("hi"), wants(echo("ask first"))},
		``},
	{"a once tool may need the wallet, for as long as the rule says", nil,
		[]move{asks("hi"), wants(post("public"))},
		``},
	{"a payment above the threshold needs the wallet, and holds nothing while it waits", nil,
		[]move{asks("hi"), wants(pay("bob", "5"))},
		``},
	{"a transaction is simulated before the wallet is asked", nil,
		[]move{asks("hi"), wants(send("bob", "5"))},
		``},
	{"the wallet is asked with what the simulation showed", nil,
		[]move{asks("hi"), wants(send("bob", "5")), returns(0, simulated)},
		``},
	{"an approved payment is made", nil,
		[]move{asks("hi"), wants(pay("bob", "5")), approves(0)},
		``},
	{"an approved transaction is signed", nil,
		[]move{asks("hi"), wants(send("bob", "5")), returns(0, simulated), approves(0)},
		``},
	{"a refused call is told to the model", nil,
		[]move{asks("hi"), wants(pay("bob", "5")), refuses(0)},
		``},
	{"an approval that comes too late is none", nil,
		[]move{asks("hi"), wants(pay("bob", "5")), later(121 * time.Second), approves(0)},
		``},
	{"an approval at the last moment is one", nil,
		[]move{asks("hi"), wants(pay("bob", "5")), later(120 * time.Second), approves(0)},
		``},
	{"an approval that does not come is a refusal", nil,
		[]move{asks("hi"), wants(pay("bob", "5")), later(121 * time.Second), lapses(0, provenance.LapseTimeout)},
		``},
	{"an approval cannot widen: room is looked for again", nil,
		[]move{asks("hi"), wants(pay("bob", "5")), spent("grant/max_total_usdc", 16_000_000), approves(0)},
		``},
	{"an approval does not outlive the session",
		func(c *loop.Config) { c.Grant.Expires = noon.Add(90 * time.Second) },
		[]move{asks("hi"), wants(pay("bob", "5"))},
		``},
	{"an approval does not outlive the run",
		func(c *loop.Config) { c.Agent.Limits.Wall = 30_000 },
		[]move{asks("hi"), wants(pay("bob", "5"))},
		``},

	// Several calls of one reply.
	{"one is denied, one waits for the wallet, one is made", nil,
		[]move{asks("hi"), wants(pay("mallory", "1"), pay("bob", "5"), echo("x"))},
		``},
	{"of two that fit only alone, the first is made", func(c *loop.Config) { c.Grant.Caveats.ApproveAbove = nil },
		[]move{asks("hi"), spent("grant/max_total_usdc", 5_000_000), wants(pay("bob", "8"), pay("bob", "9"))},
		``},
	{"one approved and one refused have each their outcome", nil,
		[]move{asks("hi"), wants(pay("bob", "5"), pay("bob", "6")), approves(0), refuses(0), returns(0, `{"status":"ok"}`)},
		``},
	{"two approvals need not both fit", nil,
		[]move{asks("hi"), spent("grant/max_total_usdc", 9_000_000), wants(pay("bob", "5"), pay("bob", "10")), approves(0), approves(0)},
		``},

	// What is not known.
	{"a keyed call without an answer stays counted", nil,
		[]move{asks("hi"), wants(pay("bob", "1")), result(0, provenance.StatusTimeout, "")},
		``},
	{"a once call in doubt stays counted and is told so", nil,
		[]move{asks("hi"), wants(post("x")), lapses(0, provenance.LapseInDoubt)},
		``},
	{"a keyed call that failed gives its amount back", nil,
		[]move{asks("hi"), wants(pay("bob", "1")), result(0, provenance.StatusError, `{"error":"no"}`)},
		``},
	{"a broadcast in doubt stays counted", nil,
		[]move{asks("hi"), wants(send("bob", "1")), returns(0, simulated), returns(0, `{"raw":"0x"}`), lapses(0, provenance.LapseInDoubt)},
		``},
	{"a signature that took too long gives its amount back: nothing was sent", nil,
		[]move{asks("hi"), wants(send("bob", "1")), returns(0, simulated), result(0, provenance.StatusTimeout, "")},
		``},
	{"a reverted transaction gives its amount back", nil,
		[]move{asks("hi"), wants(send("bob", "1")), returns(0, simulated), returns(0, `{"raw":"0x"}`), returns(0, `{"status":"reverted"}`)},
		``},

	// The session ends.
	{"a run of a session that is over asks no model", nil,
		[]move{isRevoked, asks("hi")},
		``},
	{"a session is over at the instant that it names", nil,
		[]move{later(time.Hour), asks("hi")},
		``},
	{"calls that a model asks for after the end are refused", nil,
		[]move{asks("hi"), isRevoked, wants(echo("x"))},
		``},
	{"an approval after the end is none", nil,
		[]move{asks("hi"), wants(pay("bob", "5")), isRevoked, approves(0)},
		``},
	{"after the end no simulation leads to a signature", nil,
		[]move{asks("hi"), wants(send("bob", "1")), isRevoked, returns(0, simulated)},
		``},
	{"after the end a signed transaction is left alone, and gives its amount back", nil,
		[]move{asks("hi"), wants(send("bob", "1")), returns(0, simulated), isRevoked, returns(0, `{"raw":"0x"}`)},
		``},
	{"what was sent before the end is spent", nil,
		[]move{asks("hi"), wants(send("bob", "1")), returns(0, simulated), returns(0, `{"raw":"0x"}`), isRevoked, returns(0, `{"status":"ok"}`)},
		``},

	// The run is ended from outside.
	{"revoked while a model is asked", nil,
		[]move{asks("hi"), run(provenance.LapseRevoked)},
		``},
	{"cancelled while a tool reads", nil,
		[]move{asks("hi"), wants(echo("x")), run(provenance.LapseCancelled)},
		``},
	{"cancelled while a payment is under way: it may have happened", nil,
		[]move{asks("hi"), wants(pay("bob", "1")), run(provenance.LapseCancelled)},
		``},
	{"cancelled while the wallet is asked", nil,
		[]move{asks("hi"), wants(pay("bob", "5")), run(provenance.LapseCancelled)},
		``},
	{"cancelled while a transaction is signed", nil,
		[]move{asks("hi"), wants(send("bob", "1")), returns(0, simulated), run(provenance.LapseCancelled)},
		``},
	{"cancelled while a transaction is broadcast: its outcome is waited for", nil,
		[]move{asks("hi"), wants(send("bob", "1"), echo("x")), returns(0, simulated), returns(1, `{"raw":"0x"}`), run(provenance.LapseCancelled)},
		``},
	{"and then the run ends", nil,
		[]move{asks("hi"), wants(send("bob", "1")), returns(0, simulated), returns(0, `{"raw":"0x"}`), run(provenance.LapseCancelled), returns(0, `{"status":"ok"}`)},
		``},
	{"a run that took too long ends", nil,
		[]move{asks("hi"), wants(pay("bob", "5")), later(601 * time.Second), run(provenance.LapseTimeout)},
		``},

	// Limits. Each ends in a last turn, or at once if none can be paid for.
	{"the last turn has no tools", func(c *loop.Config) { c.Agent.Limits.Turns = 2 },
		[]move{asks("hi"), wants(echo("x")), returns(0, `{}`)},
		``},
	{"an answer of the last turn closes by the limit", func(c *loop.Config) { c.Agent.Limits.Turns = 2 },
		[]move{asks("hi"), wants(echo("x")), returns(0, `{}`), answers("so far")},
		``},
	{"calls that the last turn asks for do not run", func(c *loop.Config) { c.Agent.Limits.Turns = 2 },
		[]move{asks("hi"), wants(echo("x")), returns(0, `{}`), replies(model.StopTools, "", echo("y"))},
		``},
	{"an agent of one turn may still call a tool", func(c *loop.Config) { c.Agent.Limits.Turns = 1 },
		[]move{asks("hi"), wants(echo("x"))},
		``},
	{"a call above the run's number is refused", func(c *loop.Config) { c.Agent.Limits.Calls = 1 },
		[]move{asks("hi"), wants(echo("x"), echo("y"))},
		``},
	{"when the calls are used up the next turn is the last", func(c *loop.Config) { c.Agent.Limits.Calls = 1 },
		[]move{asks("hi"), wants(echo("x")), returns(0, `{}`)},
		``},
	{"a call above the grant's number is refused by the grant", func(c *loop.Config) { c.Grant.Caveats.MaxCalls = 1 },
		[]move{asks("hi"), wants(echo("x"), echo("y"))},
		``},
	{"without tokens for the dear model the cheap one is asked", func(c *loop.Config) { c.Agent.Limits.Tokens = 50 },
		[]move{asks(strings.Repeat("long ", 10))},
		``},
	{"without tokens for any model the run ends", func(c *loop.Config) { c.Agent.Limits.Tokens = 50; c.Agent.Routes = c.Agent.Routes[:1] },
		[]move{asks(strings.Repeat("long ", 10))},
		``},
	{"without money for any model the run ends", func(c *loop.Config) { c.Agent.Limits.Cost = 100; c.Agent.Routes = c.Agent.Routes[:1] },
		[]move{asks("hi")},
		``},
	{"without room in the grant's tokens the model is denied", func(c *loop.Config) { c.Grant.Caveats.MaxTokens = 50; c.Agent.Routes = c.Agent.Routes[:1] },
		[]move{asks("hi")},
		``},
	{"without time for another turn the run ends", nil,
		[]move{asks("hi"), wants(echo("x")), later(601 * time.Second), returns(0, `{}`)},
		``},

	// Routes.
	{"a model that is down is passed over", nil,
		[]move{areDown("paid"), asks("hi")},
		``},
	{"a model that failed is followed by the next, and its reservation is free again", nil,
		[]move{asks("hi"), fails},
		``},
	{"a model that did not answer is followed by the next", nil,
		[]move{asks("hi"), lapses(0, provenance.LapseTimeout)},
		``},
	{"when every model failed the run ends", nil,
		[]move{asks("hi"), fails, fails},
		``},
	{"the next turn begins with the first model again", nil,
		[]move{asks("hi"), fails, wants(echo("x")), returns(0, `{}`)},
		``},
	{"a model that the operator forbids is passed over",
		func(c *loop.Config) { c.Agent.Routes[0].Use = "dear" },
		[]move{asks("hi")},
		``},
	{"a model that the grant does not name is denied",
		func(c *loop.Config) { c.Grant.Caveats.Models = []string{"dear"} },
		[]move{asks("hi")},
		``},
	{"when every model is down the run ends", nil,
		[]move{areDown("free", "paid"), asks("hi")},
		``},

	// The answer.
	{"an answer that a rule forbids is not said", nil,
		[]move{asks("hi"), answers(strings.Repeat("blah", 30))},
		``},
	{"a run that only had denials closes as denied", nil,
		[]move{asks("hi"), wants(pay("mallory", "1")), answers("I may not")},
		``},
	{"a run that did one thing and was denied another closes as answered", nil,
		[]move{asks("hi"), wants(pay("mallory", "1"), pay("bob", "1")), returns(0, `{"status":"ok"}`), answers("one of two")},
		``},

	// What cannot be.
	{"a run begins with a request", nil,
		[]move{run(provenance.LapseCancelled)},
		``},
	{"a run has one request", nil,
		[]move{asks("hi"), asks("again")},
		``},
	{"a result does not answer an approval", nil,
		[]move{asks("hi"), wants(pay("bob", "5")), returns(0, `{}`)},
		``},
	{"an approval does not answer a call", nil,
		[]move{asks("hi"), wants(echo("x")), approves(0)},
		``},
	{"a reply with another price than the table's is refused", nil,
		[]move{asks("hi"), func(r *rig) {
			r.give(&provenance.Reply{Of: r.open(0), Model: &provenance.ModelCall{Usage: provenance.Usage{In: 10}, Cost: 9}})
		}},
		``},
	{"the clock does not go back", nil,
		[]move{asks("hi"), later(-time.Second), answers("hello")},
		``},
	{"a closed run takes in nothing", nil,
		[]move{asks("hi"), answers("hello"), run(provenance.LapseCancelled)},
		``},
}

func TestTheLoop(t *testing.T) {
	for _, c := range spec {
		t.Run(c.name, func(t *testing.T) {
			config := setting(t)
			if c.set != nil {
				c.set(&config)
			}
			r := newRig(t, config)
			sequence(c.moves...)(r)
			got := r.lines()
			if *show {
				fmt.Printf("@@%s\n%s\n", c.name, got)
			}
			if got != c.want {
				t.Errorf("got\n%s\nwant\n%s", got, c.want)
			}
		})
	}
}

var _ = money.Calls
