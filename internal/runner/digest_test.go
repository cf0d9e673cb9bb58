package runner_test

import (
	"strings"
	"testing"

	"github.com/writ-run/writ/internal/archive"
	"github.com/writ-run/writ/internal/digest"
	"github.com/writ-run/writ/internal/runner"
	"github.com/writ-run/writ/internal/store"
	"github.com/writ-run/writ/provenance"
)

// What a run came to tells apart who stopped it: a rule, the wallet's word, or nobody's answer.
func TestOutcomesApart(t *testing.T) {
	pay := func(amount string) replies {
		return replies{calls(call("1", "bank.pay", `{"token":"USDC","to":"bob","amount":"`+amount+`"}`)), text("done")}
	}
	for _, c := range []struct {
		name    string
		amount  string
		do      func(b *bench, run provenance.Link)
		outcome string
		rule    string
		moved   string
	}{
		{"answered", "5", func(b *bench, run provenance.Link) { b.mustApprove(b.pending(1)[0]) }, "answered", "", "5 USDC"},
		{"refused by the wallet", "5", func(b *bench, run provenance.Link) { b.mustRefuse(b.pending(1)[0]) }, "refused", "", ""},
		{"answered by nobody", "5", func(b *bench, run provenance.Link) {
			b.now.Store(b.pending(1)[0].Until + 1)
			b.r.Close()
			b.restart()
		}, "unanswered", "", ""},
		{"stopped by a rule", "11", nil, "denied", "grant/max_per_call_usdc", ""},
		{"cancelled", "5", func(b *bench, run provenance.Link) { b.cancel(run) }, "cancelled", "", ""},
	} {
		t.Run(c.name, func(t *testing.T) {
			b := open(t, pay(c.amount))
			run := b.start("pay bob " + c.amount)
			if c.do != nil {
				info := b.until(run, "parked")
				if d, err := b.desk().Digest(t.Context(), info); err != nil || d.Outcome != "waiting" || d.Closed != 0 {
					t.Errorf("while it waits: %+v, %v", d, err)
				}
				c.do(b, run)
			}
			d, err := b.desk().Digest(t.Context(), b.ended(run))
			if err != nil {
				t.Fatal(err)
			}
			moved := ""
			for _, a := range d.Moved {
				moved += a.String()
			}
			if d.Outcome != c.outcome || d.Rule != c.rule || moved != c.moved || d.Asked != "pay bob "+c.amount || d.Closed == 0 {
				t.Errorf("got %+v", d)
			}
		})
	}
}

// What is erased is gone in the digest too.
func TestAnErasedRequestIsNotTold(t *testing.T) {
	var db *store.DB
	b := openWith(t, replies{text("hello")}, func(c *runner.Config) { db = onDisk(t, c) })
	run := b.start("my secret")
	info := b.ended(run)
	_, n, err := archive.Erase(t.Context(), db, b.config.Key, archive.EraseRequest{
		Run: run, Now: b.config.Now, Early: true, Why: "asked for",
	})
	if err != nil || n == 0 {
		t.Fatalf("erased %d: %v", n, err)
	}
	d, err := b.desk().Digest(t.Context(), info)
	if err != nil || d.Asked != "" || !d.Erased || d.Outcome != "answered" {
		t.Errorf("got %+v, %v", d, err)
	}
}

// What a session has used of its limits, what is reserved while a payment is under way, and whom it has paid.
func TestUsesAndPayees(t *testing.T) {
	pay := calls(call("1", "bank.pay", `{"token":"USDC","to":"bob","amount":"5"}`))
	b := open(t, replies{pay, text("paid"), pay, text("paid")})
	use := func(name string) (spent, reserved string) {
		t.Helper()
		_, uses, err := b.desk().Uses(t.Context(), b.session)
		if err != nil {
			t.Fatal(err)
		}
		for _, u := range uses {
			if u.Name == name {
				return u.Spent.String(), u.Reserved.String()
			}
		}
		t.Fatalf("no use of %s in %+v", name, uses)
		return "", ""
	}
	if s, r := use("max_total_usdc"); s != "0 USDC" || r != "0 USDC" {
		t.Errorf("before anything: %s spent, %s reserved", s, r)
	}
	first := b.start("pay 5")
	b.until(first, "parked")
	if s, r := use("max_total_usdc"); s != "0 USDC" || r != "0 USDC" {
		t.Errorf("nothing is reserved while the wallet is asked: %s spent, %s reserved", s, r)
	}
	p := b.pending(1)[0]
	if paid, err := b.desk().Payees(t.Context(), b.session); err != nil || len(paid.Paid) != 0 || paid.Runs != 1 {
		t.Errorf("payees before: %+v, %v", paid, err)
	}
	b.mustApprove(p)
	b.ended(first)
	if s, r := use("max_total_usdc"); s != "5 USDC" || r != "0 USDC" {
		t.Errorf("after it: %s spent, %s reserved", s, r)
	}
	if s, _ := use("calls"); s != "1 calls" {
		t.Errorf("calls: %s", s)
	}
	second := b.start("pay 5 again")
	b.until(second, "parked")
	p = b.pending(1)[0]
	paid, err := b.desk().Payees(t.Context(), b.session)
	if err != nil || paid.Paid[p.Call.Args.To] != 1 || paid.Runs != 2 {
		t.Errorf("payees after: %+v, %v", paid, err)
	}
	if !p.Call.Pays || p.Call.Book == nil || !strings.Contains(string(p.Call.Args.JSON), "USDC") {
		t.Errorf("the call that waits: %+v", p.Call)
	}
}

func (b *bench) desk() digest.Desk { return digest.Desk{Store: b.store} }
