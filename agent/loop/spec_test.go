package loop_test

import (
	"strings"
	"testing"
	"time"

	"github.com/ethereum/go-ethereum/common"

	"github.com/writ-run/writ/agent/loop"
	"github.com/writ-run/writ/agent/model"
	"github.com/writ-run/writ/provenance"
)

// Results that the rig words for the call that they answer.
const (
	simulated = "simulated"
	mined     = "mined"
)

// What the last of the moves leads to: effects, then settlements. "reserving" is what goes with an effect;
// "settle" says how much of a reservation becomes spent. Every other move is checked as well, by what must hold at
// any step (see rig.give).
var spec = []struct {
	name  string
	set   func(*loop.Config)
	moves []move
	want  string
}{
	// The turn.
	{"a run begins by asking the first model that its routes lead to", nil,
		[]move{asks("hi")},
		`ask paid reserving tokens, cost`},
	{"a text without calls is the answer", nil,
		[]move{asks("hi"), answers("hello")},
		`say hello; close answered; settle tokens 15; settle cost 0.00000002`},
	{"a reply that was cut runs no call", nil,
		[]move{asks("hi"), replies(model.StopLength, "half a", echo("x"))},
		`say half a; close truncated; settle tokens 15; settle cost 0.00000002`},
	{"a reply that the provider withheld runs no call", nil,
		[]move{asks("hi"), replies(model.StopFilter, "", echo("x"))},
		`say The model declined to answer this; ask for something else.; close declined; settle tokens 15; settle cost 0.00000002`},
	{"when every call has its outcome the model is asked again", nil,
		[]move{asks("hi"), wants(echo("x")), returns(0, `{"said":"x"}`)},
		`ask paid reserving tokens, cost; settle calls 1`},
	{"the model is not asked while a call is open", nil,
		[]move{asks("hi"), wants(echo("x"), echo("y")), returns(0, `{"said":"x"}`)},
		`settle calls 1`},
	{"calls may return in any order", nil,
		[]move{asks("hi"), wants(echo("x"), echo("y")), returns(1, `{"said":"y"}`), returns(0, `{"said":"x"}`)},
		`ask paid reserving tokens, cost; settle calls 1`},
	{"a tool's error is told to the model", nil,
		[]move{asks("hi"), wants(echo("x")), result(0, provenance.StatusError, `{"error":"no"}`)},
		`ask paid reserving tokens, cost; settle calls 1`},

	// P11: rules do not see what went wrong, so what they say after it is no answer; a model may have dealt with it.
	{"after a call that failed a model's words are the answer, if another was made", useFree(model.KindModel),
		[]move{asks("hi"), wants(echo("x"), echo("y")), returns(0, `{"said":"x"}`),
			result(0, provenance.StatusError, `{"error":"no"}`), answers("half of it")},
		`say half of it; close answered; settle tokens 0; settle cost 0`},
	{"after a call that failed the words of rules are none", useFree(model.KindRules),
		[]move{asks("hi"), wants(echo("x"), echo("y")), returns(0, `{"said":"x"}`),
			result(0, provenance.StatusError, `{"error":"no"}`), answers("half of it")},
		`say half of it; close failed; settle tokens 0; settle cost 0`},

	// What a call must pass.
	{"a tool that is not there is refused", nil,
		[]move{asks("hi"), wants(use("no.such", `{}`))},
		`deny no.such by loop/unknown_tool; ask paid reserving tokens, cost; settle tokens 15; settle cost 0.00000002`},
	{"arguments that do not fit the schema are refused", nil,
		[]move{asks("hi"), wants(use("echo.say", `{"text":7}`))},
		`deny echo.say by loop/arguments; ask paid reserving tokens, cost; settle tokens 15; settle cost 0.00000002`},
	{"an argument too many is refused", nil,
		[]move{asks("hi"), wants(use("echo.say", `{"text":"a","to":"b"}`))},
		`deny echo.say by loop/arguments; ask paid reserving tokens, cost; settle tokens 15; settle cost 0.00000002`},
	{"a recipient that is in no address book is refused", nil,
		[]move{asks("hi"), wants(pay("nobody", "1"))},
		`deny bank.pay by loop/arguments; ask paid reserving tokens, cost; settle tokens 15; settle cost 0.00000002`},
	{"a tool that the grant does not name is refused", func(c *loop.Config) { c.Grant.Tools = c.Grant.Tools[1:] },
		[]move{asks("hi"), wants(echo("x"))},
		`deny echo.say by no permit; ask paid reserving tokens, cost; settle tokens 15; settle cost 0.00000002`},
	{"a tool on a chain that the grant does not name is refused",
		func(c *loop.Config) { c.Grant.Caveats.Chains = []uint64{1} },
		[]move{asks("hi"), wants(pay("bob", "1"))},
		`deny bank.pay by grant/chains; ask paid reserving tokens, cost; settle tokens 15; settle cost 0.00000002`},

	// The four classes, permitted.
	{"a read is made, and reserves a call", nil,
		[]move{asks("hi"), wants(echo("x"))},
		`act echo.say reserving calls 1; settle tokens 15; settle cost 0.00000002`},
	{"a keyed payment reserves its amount in the grant's budget and the operator's", nil,
		[]move{asks("hi"), wants(pay("bob", "1"))},
		`act bank.pay reserving calls 1, allowance 1, max_total_usdc 1; settle tokens 15; settle cost 0.00000002`},
	{"a keyed payment that returned is spent", nil,
		[]move{asks("hi"), wants(pay("bob", "1")), returns(0, `{"status":"ok"}`)},
		`ask paid reserving tokens, cost; settle calls 1; settle allowance 1; settle max_total_usdc 1`},
	{"a once tool is called", nil,
		[]move{asks("hi"), wants(post("x"))},
		`act post.send reserving calls 1; settle tokens 15; settle cost 0.00000002`},
	{"a transaction is simulated first, and nothing is reserved for it", nil,
		[]move{asks("hi"), wants(send("bob", "1"))},
		`simulate coin.send; settle tokens 15; settle cost 0.00000002`},
	{"a transaction whose simulation holds is signed, and its amount is reserved", nil,
		[]move{asks("hi"), wants(send("bob", "1")), returns(0, simulated)},
		`sign coin.send reserving calls 1, allowance 1, max_total_usdc 1`},
	{"a signed transaction is sent, under the same reservation", nil,
		[]move{asks("hi"), wants(send("bob", "1")), returns(0, simulated), returns(0, `{"raw":"0x"}`)},
		`send coin.send`},
	{"an included transaction is spent", nil,
		[]move{asks("hi"), wants(send("bob", "1")), returns(0, simulated), returns(0, `{"raw":"0x"}`),
			returns(0, mined)},
		`ask paid reserving tokens, cost; settle calls 1; settle allowance 1; settle max_total_usdc 1`},

	// The four classes, denied.
	{"a read that a rule forbids is refused", nil,
		[]move{asks("hi"), wants(echo("secret"))},
		`deny echo.say by operator/secrets; ask paid reserving tokens, cost; settle tokens 15; settle cost 0.00000002`},
	{"a payment above the grant's limit a call is refused", nil,
		[]move{asks("hi"), wants(pay("bob", "11"))},
		`deny bank.pay by grant/max_per_call_usdc; ask paid reserving tokens, cost; settle tokens 15; settle cost 0.00000002`},
	{"a payment to somebody whom the operator forbids is refused", nil,
		[]move{asks("hi"), wants(pay("mallory", "1"))},
		`deny bank.pay by operator/enemies; ask paid reserving tokens, cost; settle tokens 15; settle cost 0.00000002`},
	{"a payment to somebody whom the grant does not name is refused",
		func(c *loop.Config) { c.Grant.Caveats.Recipients = []common.Address{names["mallory"]} },
		[]move{asks("hi"), wants(pay("bob", "1"))},
		`deny bank.pay by grant/recipients; ask paid reserving tokens, cost; settle tokens 15; settle cost 0.00000002`},
	{"a transaction that is not permitted is not even simulated", nil,
		[]move{asks("hi"), wants(send("mallory", "1"))},
		`deny coin.send by operator/enemies; ask paid reserving tokens, cost; settle tokens 15; settle cost 0.00000002`},
	{"a transaction that would fail is refused", nil,
		[]move{asks("hi"), wants(send("bob", "1")), returns(0, `{"ok":false,"reason":"insufficient funds"}`)},
		`deny coin.send by loop/simulation; ask paid reserving tokens, cost`},
	{"a simulation that says nothing is a failing one", nil,
		[]move{asks("hi"), wants(send("bob", "1")), returns(0, `[]`)},
		`deny coin.send by loop/simulation; ask paid reserving tokens, cost`},
	{"a simulation that failed ends the call, for which nothing was reserved", nil,
		[]move{asks("hi"), wants(send("bob", "1")), result(0, provenance.StatusError, `{"error":"chain is down"}`)},
		`ask paid reserving tokens, cost`},
	{"room that another run took meanwhile is missed at the decision after the simulation", nil,
		[]move{asks("hi"), wants(send("bob", "1")), spent("grant/max_total_usdc", 19_500_000), returns(0, simulated)},
		`deny coin.send by grant/max_total_usdc; ask paid reserving tokens, cost`},

	// The four classes, with an approval.
	{"a read may need the wallet", nil,
		[]move{asks("hi"), wants(echo("ask first"))},
		`seek echo.say for 120 s, by operator/ask_first; settle tokens 15; settle cost 0.00000002`},
	{"a once tool may need the wallet, for as long as the rule says", nil,
		[]move{asks("hi"), wants(post("public"))},
		`seek post.send for 60 s, by operator/posts; settle tokens 15; settle cost 0.00000002`},
	{"a payment above the threshold needs the wallet, and nothing is reserved while it waits", nil,
		[]move{asks("hi"), wants(pay("bob", "5"))},
		`seek bank.pay for 120 s, by grant/approve_above_usdc; settle tokens 15; settle cost 0.00000002`},
	{"a transaction is simulated before the wallet is asked", nil,
		[]move{asks("hi"), wants(send("bob", "5"))},
		`simulate coin.send; settle tokens 15; settle cost 0.00000002`},
	{"the wallet is asked with what the simulation showed", nil,
		[]move{asks("hi"), wants(send("bob", "5")), returns(0, simulated)},
		`seek coin.send for 120 s, by grant/approve_above_usdc`},
	{"an approved payment is made", nil,
		[]move{asks("hi"), wants(pay("bob", "5")), approves(0)},
		`act bank.pay reserving calls 1, allowance 5, max_total_usdc 5`},
	{"an approved transaction is signed", nil,
		[]move{asks("hi"), wants(send("bob", "5")), returns(0, simulated), approves(0)},
		`sign coin.send reserving calls 1, allowance 5, max_total_usdc 5`},
	{"a refused call is told to the model", nil,
		[]move{asks("hi"), wants(pay("bob", "5")), refuses(0)},
		`deny bank.pay by wallet/refused; ask paid reserving tokens, cost`},
	{"an approval that comes too late is none", nil,
		[]move{asks("hi"), wants(pay("bob", "5")), later(121 * time.Second), approves(0)},
		`deny bank.pay by wallet/no_answer; ask paid reserving tokens, cost`},
	{"an approval at the last moment is one", nil,
		[]move{asks("hi"), wants(pay("bob", "5")), later(120 * time.Second), approves(0)},
		`act bank.pay reserving calls 1, allowance 5, max_total_usdc 5`},
	{"an approval that does not come is a refusal", nil,
		[]move{asks("hi"), wants(pay("bob", "5")), later(121 * time.Second), lapses(0, provenance.LapseTimeout)},
		`deny bank.pay by wallet/no_answer; ask paid reserving tokens, cost`},
	{"an approval cannot widen: room is looked for again", nil,
		[]move{asks("hi"), wants(pay("bob", "5")), spent("grant/max_total_usdc", 16_000_000), approves(0)},
		`deny bank.pay by grant/max_total_usdc; ask paid reserving tokens, cost`},
	{"an approval does not outlive the session",
		func(c *loop.Config) { c.Grant.Expires = noon.Add(90 * time.Second) },
		[]move{asks("hi"), wants(pay("bob", "5"))},
		`seek bank.pay for 90 s, by grant/approve_above_usdc; settle tokens 15; settle cost 0.00000002`},
	{"an approval does not outlive the run",
		func(c *loop.Config) { c.Agent.Limits.Wall = 30_000 },
		[]move{asks("hi"), wants(pay("bob", "5"))},
		`seek bank.pay for 30 s, by grant/approve_above_usdc; settle tokens 15; settle cost 0.00000002`},

	// Several calls of one reply.
	{"one is denied, one waits for the wallet, one is made", nil,
		[]move{asks("hi"), wants(pay("mallory", "1"), pay("bob", "5"), echo("x"))},
		`deny bank.pay by operator/enemies; seek bank.pay for 120 s, by grant/approve_above_usdc; act echo.say reserving calls 1; settle tokens 15; settle cost 0.00000002`},
	{"of two that fit only alone, the first is made", func(c *loop.Config) { c.Grant.Caveats.ApproveAbove = nil },
		[]move{asks("hi"), spent("grant/max_total_usdc", 5_000_000), wants(pay("bob", "8"), pay("bob", "9"))},
		`act bank.pay reserving calls 1, allowance 8, max_total_usdc 8; deny bank.pay by grant/max_total_usdc; settle tokens 15; settle cost 0.00000002`},
	{"one approved and one refused have each their outcome", nil,
		[]move{asks("hi"), wants(pay("bob", "5"), pay("bob", "6")), approves(0), refuses(0),
			returns(0, `{"status":"ok"}`)},
		`ask paid reserving tokens, cost; settle calls 1; settle allowance 5; settle max_total_usdc 5`},
	{"two approvals need not both fit", nil,
		[]move{asks("hi"), spent("grant/max_total_usdc", 9_000_000), wants(pay("bob", "5"), pay("bob", "10")),
			approves(0), approves(0)},
		`deny bank.pay by grant/max_total_usdc`},

	// What is not known.
	{"a keyed call without an answer stays counted", nil,
		[]move{asks("hi"), wants(pay("bob", "1")), result(0, provenance.StatusTimeout, "")},
		`ask paid reserving tokens, cost; settle calls 1; settle allowance 1; settle max_total_usdc 1`},
	{"a once call in doubt stays counted and is told so", nil,
		[]move{asks("hi"), wants(post("x")), lapses(0, provenance.LapseInDoubt)},
		`ask paid reserving tokens, cost; settle calls 1`},
	{"a keyed call that failed gives its amount back", nil,
		[]move{asks("hi"), wants(pay("bob", "1")), result(0, provenance.StatusError, `{"error":"no"}`)},
		`ask paid reserving tokens, cost; settle calls 1; settle allowance 0; settle max_total_usdc 0`},
	{"a broadcast in doubt stays counted", nil,
		[]move{asks("hi"), wants(send("bob", "1")), returns(0, simulated), returns(0, `{"raw":"0x"}`),
			lapses(0, provenance.LapseInDoubt)},
		`ask paid reserving tokens, cost; settle calls 1; settle allowance 1; settle max_total_usdc 1`},
	{"a signature that took too long gives its amount back: nothing was sent", nil,
		[]move{asks("hi"), wants(send("bob", "1")), returns(0, simulated), result(0, provenance.StatusTimeout, "")},
		`ask paid reserving tokens, cost; settle calls 1; settle allowance 0; settle max_total_usdc 0`},
	{"a reverted transaction gives its amount back", nil,
		[]move{asks("hi"), wants(send("bob", "1")), returns(0, simulated), returns(0, `{"raw":"0x"}`),
			returns(0, `{"status":"reverted","block":"1"}`)},
		`ask paid reserving tokens, cost; settle calls 1; settle allowance 0; settle max_total_usdc 0`},

	// The session ends.
	{"a run of a session that is over asks no model", nil,
		[]move{isRevoked, asks("hi")},
		`say The session has ended. Sign in again.; close revoked`},
	{"a session is over at the instant that it names", nil,
		[]move{later(time.Hour), asks("hi")},
		`say The session has ended. Sign in again.; close revoked`},
	{"calls that a model asks for after the end are refused", nil,
		[]move{asks("hi"), isRevoked, wants(echo("x"))},
		`deny echo.say by session/ended; say The session has ended. Sign in again.; close revoked; settle tokens 15; settle cost 0.00000002`},
	{"an approval after the end is none", nil,
		[]move{asks("hi"), wants(pay("bob", "5")), isRevoked, approves(0)},
		`deny bank.pay by session/ended; say The session has ended. Sign in again.; close revoked`},
	{"after the end no simulation leads to a signature", nil,
		[]move{asks("hi"), wants(send("bob", "1")), isRevoked, returns(0, simulated)},
		`deny coin.send by session/ended; say The session has ended. Sign in again.; close revoked`},
	{"after the end a signed transaction is left alone, and gives its amount back", nil,
		[]move{asks("hi"), wants(send("bob", "1")), returns(0, simulated), isRevoked, returns(0, `{"raw":"0x"}`)},
		`deny coin.send by session/ended; say The session has ended. Sign in again.; close revoked; settle calls 1; settle allowance 0; settle max_total_usdc 0`},
	{"what was sent before the end is spent", nil,
		[]move{asks("hi"), wants(send("bob", "1")), returns(0, simulated), returns(0, `{"raw":"0x"}`), isRevoked,
			returns(0, mined)},
		`say The session has ended. Sign in again. It paid 1 USDC.; close revoked, spent 1 USDC; settle calls 1; settle allowance 1; settle max_total_usdc 1`},

	// The run is ended from outside.
	{"revoked while a model is asked: it may be charged for in full", nil,
		[]move{asks("hi"), run(provenance.LapseRevoked)},
		`say The session has ended. Sign in again.; close revoked; settle tokens 1056; settle cost 0.000001156`},
	{"cancelled while a tool reads", nil,
		[]move{asks("hi"), wants(echo("x")), run(provenance.LapseCancelled)},
		`say The run was cancelled.; close cancelled; settle calls 1`},
	{"cancelled while a payment is under way: it may have happened", nil,
		[]move{asks("hi"), wants(pay("bob", "1")), run(provenance.LapseCancelled)},
		`say The run was cancelled.; close cancelled; settle calls 1; settle allowance 1; settle max_total_usdc 1`},
	{"cancelled while the wallet is asked", nil,
		[]move{asks("hi"), wants(pay("bob", "5")), run(provenance.LapseCancelled)},
		`say The run was cancelled.; close cancelled`},
	{"cancelled while a transaction is signed", nil,
		[]move{asks("hi"), wants(send("bob", "1")), returns(0, simulated), run(provenance.LapseCancelled)},
		`say The run was cancelled.; close cancelled; settle calls 1; settle allowance 0; settle max_total_usdc 0`},
	{"cancelled while a transaction is broadcast: its outcome is waited for", nil,
		[]move{asks("hi"), wants(send("bob", "1"), echo("x")), returns(0, simulated), returns(1, `{"raw":"0x"}`),
			run(provenance.LapseCancelled)},
		`settle calls 1`},
	{"and then the run ends", nil,
		[]move{asks("hi"), wants(send("bob", "1")), returns(0, simulated), returns(0, `{"raw":"0x"}`),
			run(provenance.LapseCancelled), returns(0, mined)},
		`say The run was cancelled. It paid 1 USDC.; close cancelled, spent 1 USDC; settle calls 1; settle allowance 1; settle max_total_usdc 1`},
	{"a run that took too long ends", nil,
		[]move{asks("hi"), wants(pay("bob", "5")), later(601 * time.Second), run(provenance.LapseTimeout)},
		`say The run took longer than it may.; close timeout`},

	// Limits. Each ends in a last turn, or at once if none can be paid for.
	{"the last turn has no tools", func(c *loop.Config) { c.Agent.Limits.Turns = 2 },
		[]move{asks("hi"), wants(echo("x")), returns(0, `{}`)},
		`ask paid for the last time reserving tokens, cost; settle calls 1`},
	{"an answer of the last turn closes by the limit", func(c *loop.Config) { c.Agent.Limits.Turns = 2 },
		[]move{asks("hi"), wants(echo("x")), returns(0, `{}`), answers("so far")},
		`say so far; close limit; settle tokens 15; settle cost 0.00000002`},
	{"calls that the last turn asks for do not run", func(c *loop.Config) { c.Agent.Limits.Turns = 2 },
		[]move{asks("hi"), wants(echo("x")), returns(0, `{}`), replies(model.StopTools, "", echo("y"))},
		`say The model gave no answer.; close limit; settle tokens 15; settle cost 0.00000002`},
	{"an agent of one turn may still call a tool", func(c *loop.Config) { c.Agent.Limits.Turns = 1 },
		[]move{asks("hi"), wants(echo("x"))},
		`act echo.say reserving calls 1; settle tokens 15; settle cost 0.00000002`},
	{"a call above the run's number is refused", func(c *loop.Config) { c.Agent.Limits.Calls = 1 },
		[]move{asks("hi"), wants(echo("x"), echo("y"))},
		`act echo.say reserving calls 1; deny echo.say by loop/max_calls; settle tokens 15; settle cost 0.00000002`},
	{"when the calls are used up the next turn is the last", func(c *loop.Config) { c.Agent.Limits.Calls = 1 },
		[]move{asks("hi"), wants(echo("x")), returns(0, `{}`)},
		`ask paid for the last time reserving tokens, cost; settle calls 1`},
	{"a call above the grant's number is refused by the grant", func(c *loop.Config) { c.Grant.Caveats.MaxCalls = 1 },
		[]move{asks("hi"), wants(echo("x"), echo("y"))},
		`act echo.say reserving calls 1; deny echo.say by grant/tools; settle tokens 15; settle cost 0.00000002`},
	{"without tokens for the dear model the cheap one is asked", func(c *loop.Config) { c.Agent.Limits.Tokens = 50 },
		[]move{asks(strings.Repeat("long ", 10))},
		`ask free reserving tokens, cost`},
	{"without tokens for any model the run ends",
		func(c *loop.Config) { c.Agent.Limits.Tokens = 50; c.Agent.Routes = c.Agent.Routes[:1] },
		[]move{asks(strings.Repeat("long ", 10))},
		`say The run has used up its tokens or its money.; close limit`},
	{"without money for any model the run ends",
		func(c *loop.Config) { c.Agent.Limits.Cost = 100; c.Agent.Routes = c.Agent.Routes[:1] },
		[]move{asks("hi")},
		`say The run has used up its tokens or its money.; close limit`},
	{"without room in the grant's tokens the model is denied",
		func(c *loop.Config) { c.Grant.Caveats.MaxTokens = 50; c.Agent.Routes = c.Agent.Routes[:1] },
		[]move{asks("hi")},
		`say Denied by grant/models_cost: budget grant/tokens has a cap of 50 tokens: 0 tokens spent, 0 tokens reserved, 1056 tokens asked, 50 tokens left. It would take a token bound of at most 50 tokens.; close denied`},
	{"without time for another turn the run ends", nil,
		[]move{asks("hi"), wants(echo("x")), later(601 * time.Second), returns(0, `{}`)},
		`say The run took longer than it may.; close timeout; settle calls 1`},

	// Routes.
	{"a model that is down is passed over", nil,
		[]move{areDown("paid"), asks("hi")},
		`ask free reserving tokens, cost`},
	{"a model that timed out is followed by the next, and stays counted", nil,
		[]move{asks("hi"), timesOut},
		`ask free reserving tokens, cost; settle tokens 1056; settle cost 0.000001156`},
	{"a model that refused is followed by the next, and its reservation is free again", nil,
		[]move{asks("hi"), fails},
		`ask free reserving tokens, cost; settle tokens 0; settle cost 0`},
	{"a model whose answer is lost is followed by the next, and stays counted", nil,
		[]move{asks("hi"), lapses(0, provenance.LapseInDoubt)},
		`ask free reserving tokens, cost; settle tokens 1056; settle cost 0.000001156`},
	{"when every model failed the run ends", nil,
		[]move{asks("hi"), fails, fails},
		`say No model answered (tried: paid, free): the model answers no more requests for now; try again later.; close failed; settle tokens 0; settle cost 0`},
	{"the next turn begins with the first model again", nil,
		[]move{asks("hi"), fails, wants(echo("x")), returns(0, `{}`)},
		`ask paid reserving tokens, cost; settle calls 1`},
	{"a model that the operator forbids is passed over",
		func(c *loop.Config) { c.Agent.Routes[0].Use = "dear" },
		[]move{asks("hi")},
		`ask free reserving tokens, cost`},
	{"a model that the grant does not name is denied",
		func(c *loop.Config) { c.Grant.Caveats.Models = []string{"dear"} },
		[]move{asks("hi")},
		`say Denied: grant/models: model is "paid", not in the set "models". It would take the model in the set "models" and the model other than "dear".; close denied`},
	{"when every model is down the run ends", nil,
		[]move{areDown("free", "paid"), asks("hi")},
		`say The models cannot be asked: the models have failed of late and are left alone for a moment; try again later.; close failed`},

	// The answer.
	{"an answer that a rule forbids is not said", nil,
		[]move{asks("hi"), answers(strings.Repeat("blah", 30))},
		`say Denied: operator/long_answers: size is 120, more than 100. It would take a size of at most 100.; close denied; settle tokens 15; settle cost 0.00000002`},
	{"a run that only had denials closes as denied", nil,
		[]move{asks("hi"), wants(pay("mallory", "1")), answers("I may not")},
		`say I may not; close denied; settle tokens 15; settle cost 0.00000002`},
	{"a run that did one thing and was denied another closes as answered", nil,
		[]move{asks("hi"), wants(pay("mallory", "1"), pay("bob", "1")), returns(0, `{"status":"ok"}`),
			answers("one of two")},
		`say one of two; close answered, spent 1 USDC; settle tokens 15; settle cost 0.00000002`},

	// What cannot be.
	{"a run begins with a request", nil,
		[]move{run(provenance.LapseCancelled)},
		`refused`},
	{"a run has one request", nil,
		[]move{asks("hi"), asks("again")},
		`refused`},
	{"a result does not answer an approval", nil,
		[]move{asks("hi"), wants(pay("bob", "5")), returns(0, `{}`)},
		`refused`},
	{"an approval does not answer a call", nil,
		[]move{asks("hi"), wants(echo("x")), approves(0)},
		`refused`},
	{"a reply with another price than the table's is refused", nil,
		[]move{asks("hi"), func(r *rig) {
			r.give(&provenance.Reply{Of: r.open(0), Model: &provenance.ModelCall{
				Name: "paid", Provider: "test", Asked: "paid/1", Usage: provenance.Usage{In: 10}, Cost: 9,
			}})
		}},
		`refused`},
	{"the clock does not go back", nil,
		[]move{asks("hi"), later(-time.Second), answers("hello")},
		`refused`},
	{"a closed run takes in nothing", nil,
		[]move{asks("hi"), answers("hello"), run(provenance.LapseCancelled)},
		`refused`},
}

// useFree has the free model answer, which is of a kind.
func useFree(kind model.Kind) func(*loop.Config) {
	return func(c *loop.Config) {
		c.Runtime.Models[1].Kind = string(kind)
		c.Agent.Routes = c.Agent.Routes[1:]
	}
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
			if got := r.lines(); got != c.want {
				t.Errorf("got  %s\nwant %s", got, c.want)
			}
		})
	}
}
