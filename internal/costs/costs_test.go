package costs

import (
	"errors"
	"fmt"
	"math"
	"strings"
	"testing"

	"github.com/writ-run/writ/provenance"
)

func TestLinesAddUpToTheTotal(t *testing.T) {
	uses := []Use{
		{Wallet: "a", Run: "1", Route: "small", Model: "s", Usage: provenance.Usage{In: 100, Out: 10}, Cost: 7, Dearest: 70},
		{Wallet: "a", Run: "1", Route: "big", Model: "b", Failed: true, Doubtful: 500},
		{Wallet: "b", Run: "2", Route: "small", Model: "s", Usage: provenance.Usage{In: 50}, Cost: 3, Dearest: 30},
		{Wallet: "b", Run: "3", Route: "planned", Model: "rules"},
	}
	lines, total, err := Sum(uses, "wallet", Tariff{Run: 1000, Tokens: 1_000_000})
	if err != nil || len(lines) != 2 {
		t.Fatalf("%+v, %v", lines, err)
	}
	a, b := lines[0], lines[1]
	if a.Of != "a" || a.Runs != 1 || a.Calls != 2 || a.Failed != 1 || a.Cost != 7 || a.Doubtful != 500 || a.Saved != 63 ||
		a.Revenue != 1110 || a.Margin != 603 {
		t.Errorf("a: %+v", a)
	}
	if b.Runs != 2 || b.Revenue != 2050 || b.Margin != 2047 || b.Saved != 27 {
		t.Errorf("b: %+v", b)
	}
	if total.Runs != 3 || total.Cost != 10 || total.Margin != a.Margin+b.Margin || total.Saved != 90 {
		t.Errorf("total: %+v", total)
	}
	if _, _, err := Sum(uses, "colour", Tariff{}); err == nil {
		t.Error("costs were added up by colour")
	}
	if _, _, err := Sum([]Use{{Cost: math.MaxInt64}, {Cost: 1}}, "day", Tariff{}); !errors.Is(err, ErrRange) {
		t.Errorf("a sum that is too large: %v", err)
	}
}

// What plans bring is shared by runs, to the nano-USD.
func TestPlansAreSharedByRuns(t *testing.T) {
	uses := []Use{
		{Wallet: "a", Run: "1"}, {Wallet: "b", Run: "2"}, {Wallet: "c", Run: "3", Cost: 90}, {Wallet: "c", Run: "3"},
	}
	lines, total, err := Sum(uses, "wallet", Tariff{Plans: 100})
	if err != nil {
		t.Fatal(err)
	}
	sum := int64(0)
	for _, l := range lines {
		sum += l.Revenue
	}
	if sum != 100 || total.Revenue != 100 || lines[0].Revenue != 33 || lines[2].Revenue != 34 || lines[2].Margin != -56 {
		t.Errorf("lines %+v of total %+v", lines, total)
	}
	if _, _, err := Sum([]Use{{Run: "1"}}, "day", Tariff{Plans: math.MaxInt64, Run: 1}); !errors.Is(err, ErrRange) {
		t.Errorf("revenue that is too large: %v", err)
	}
}

// What a biller says was paid by a wallet is shared by its runs, and what was paid for a run is that run's alone.
func TestABillersWordIsRevenue(t *testing.T) {
	const file = "date,of,usd\n1,0xAB,0.0000001\n1,r3,0.000000005\n2,r3,0.000000002\n1,0xelse,9\n"
	paid, err := ReadPaid(strings.NewReader(file))
	if err != nil {
		t.Fatal(err)
	}
	uses := []Use{
		{Wallet: "0xab", Run: "r1", Model: "s", Cost: 10}, {Wallet: "0xAB", Run: "r2", Model: "s"},
		{Wallet: "0xab", Run: "r3", Model: "s"}, {Wallet: "0xab", Run: "r3", Model: "b"},
	}
	lines, total, err := Sum(uses, "model", Tariff{Run: 1, Paid: paid})
	if err != nil || len(lines) != 2 {
		t.Fatal(lines, err)
	}
	if total.Revenue != 100+7+3 || total.Margin != 100 || lines[0].Revenue != 34+7+1 || lines[1].Revenue != 110 {
		t.Errorf("total %+v of %+v", total, lines)
	}
	for _, bad := range []string{
		"", "run,usd\nr,1\n", "of,usd\nr,-1\n", "of,usd\nr,lots\n", "of,usd\nr\n", "of,usd\nr,9999999999\n",
	} {
		if _, err := ReadPaid(strings.NewReader(bad)); err == nil {
			t.Errorf("%q says what was paid", bad)
		}
	}
	if _, err := ParseTariff(Prices{Run: "0.01", Tokens: "a lot"}); err == nil || !strings.Contains(err.Error(), "a lot") {
		t.Errorf("a price that is no number: %v", err)
	}
}

func TestAlertsAreSharesOfRevenue(t *testing.T) {
	for _, tt := range []struct {
		rule string
		line Line
		want bool
	}{
		{"margin < 0.2", Line{Revenue: 100, Margin: 19}, true},
		{"margin < 0.2", Line{Revenue: 100, Margin: 20}, false},
		{"margin < 0.2", Line{Cost: 5, Margin: -5}, true}, // of nothing that users pay
		{"margin < 0.2", Line{}, false},
		{"cost > 0.5", Line{Revenue: 100, Cost: 51}, true},
		{"doubtful > 0.1", Line{Revenue: 1000, Doubtful: 100}, false},
		{"failed > 0.05", Line{Calls: 100, Failed: 6}, true},
	} {
		a, err := ParseAlert(tt.rule)
		if err != nil || a.Holds(&tt.line) != tt.want {
			t.Errorf("%s of %+v: %v, %v", tt.rule, tt.line, !tt.want, err)
		}
	}
	for _, rule := range []string{"", "margin", "margin = 1", "colour < 1", "margin < lots", "margin < 1e999999999", "margin < 1/3x"} {
		if _, err := ParseAlert(rule); err == nil {
			t.Errorf("%q is a rule", rule)
		}
	}
}

func TestAnInvoiceIsPutBesideTheRecord(t *testing.T) {
	uses := []Use{
		{Run: "r1", Model: "big", ID: "a", Cost: 1_000_000_001}, {Run: "r2", Model: "big", ID: "b", Cost: 7},
		{Run: "r2", Model: "big", ID: "c", Cost: 5}, {Run: "r3", Failed: true, Doubtful: 11}, {Run: "r3", Model: "rules"},
	}
	const invoice = "date,id,cost_usd\n2026-11-28,a,1.000000001\n2026-11-28,b,0.000000008\n2026-11-28,x,0.000000003\n"
	charges, err := ReadInvoice(strings.NewReader(invoice))
	if err != nil {
		t.Fatal(err)
	}
	r, err := Reconcile(uses, charges)
	if err != nil {
		t.Fatal(err)
	}
	want := "[{b r2 big 7 8} {c r2 big 5 0} {x   0 3}]"
	if got := fmt.Sprint(r.Mismatches); got != want || r.Matched != 1 || r.Recorded != 1_000_000_013 ||
		r.Charged != 1_000_000_012 || r.Doubtful != 11 {
		t.Errorf("got %s of %+v, want %s", got, r, want)
	}
	for _, bad := range []string{"", "id,cost\na,1\n", "id,cost_usd\na,-1\n", "id,cost_usd\na,0.0000000001\n", "id,cost_usd\na\n"} {
		if _, err := ReadInvoice(strings.NewReader(bad)); err == nil {
			t.Errorf("%q is an invoice", bad)
		}
	}
}
