package quota

import (
	"errors"
	"fmt"
	"slices"
	"strings"
	"testing"
	"time"

	"github.com/ipfs/go-cid"

	"github.com/writ-run/writ/provenance"
)

var noon = time.Date(2026, 3, 1, 12, 2, 0, 0, time.UTC)

func runNamed(i int) provenance.Link { return provenance.Sum(cid.DagCBOR, fmt.Append(nil, i)) }

// Both names of a client count, each by itself: many wallets of one address are one, and so is one wallet of many.
func TestBothNamesOfAClientCount(t *testing.T) {
	share := Limits{Runs: 3, PerHour: 3, PerDay: 300}
	none := Limits{}
	manyWallets := func(i int) Client { return Client{Wallet: fmt.Sprint("w", i), Address: "a"} }
	manyAddresses := func(i int) Client { return Client{Wallet: "w", Address: fmt.Sprint("a", i)} }
	for _, tt := range []struct {
		of              string
		wallet, address Limits
		who             func(int) Client
		other           Client
	}{
		{"address", none, share, manyWallets, Client{"w1", "b"}},
		{"wallet", share, none, manyAddresses, Client{"v", "a1"}},
	} {
		for _, what := range []string{Runs, PerHour, PerDay} {
			var told []string
			b := New(tt.wallet, tt.address, func(what, of string) { told = append(told, what+" "+of) })
			take := func(c Client, i int) error {
				if what == PerDay {
					return b.Send(noon, c, 100)
				}
				err := b.Start(noon, c)
				if err == nil {
					b.Started(noon, c, runNamed(i))
				}
				if what == PerHour {
					b.Ended(runNamed(i))
				}
				return err
			}
			for i := range 3 {
				if err := take(tt.who(i), i); err != nil {
					t.Errorf("%s of one %s, number %d: %v", what, tt.of, i+1, err)
				}
			}
			err := take(tt.who(3), 3)
			e, ok := errors.AsType[*Error](err)
			if !ok || e.What != what || e.Of != tt.of || e.Wait <= 0 || !strings.Contains(err.Error(), "come again in") {
				t.Errorf("%s of one %s, number 4: got %v", what, tt.of, err)
			}
			if got := strings.Join(told, ","); got != what+" "+tt.of {
				t.Errorf("%s of one %s: the metric was told %q", what, tt.of, got)
			}
			if err := take(tt.other, 9); err != nil {
				t.Errorf("%s of another %s: %v", what, tt.of, err)
			}
		}
	}
}

func TestAShareComesBackWhenItIsSaid(t *testing.T) {
	b := New(Limits{PerHour: 2, PerDay: 100}, Limits{}, nil)
	c := Client{Wallet: "w"}
	now := noon
	for _, err := range []error{b.Start(now, c), b.Start(now.Add(10*time.Minute), c), b.Send(now, c, 100)} {
		if err != nil {
			t.Fatal(err)
		}
	}
	now = now.Add(20 * time.Minute)
	for what, ask := range map[string]func(time.Time) error{
		PerHour: func(at time.Time) error { return b.Start(at, c) },
		PerDay:  func(at time.Time) error { return b.Send(at, c, 1) },
	} {
		e, ok := errors.AsType[*Error](ask(now))
		if !ok || e.What != what {
			t.Fatalf("%s: got %v", what, e)
		}
		if err := ask(now.Add(e.Wait - time.Second)); err == nil {
			t.Errorf("%s: a second before the %s that were said there is room", what, e.Wait)
		}
		if err := ask(now.Add(e.Wait)); err != nil {
			t.Errorf("%s: after the %s that were said: %v", what, e.Wait, err)
		}
	}
}

// Runs that have ended give their place back, whoever looks; the server does not look at them all the time.
func TestRunsThatHaveEndedCountNoMore(t *testing.T) {
	b := New(Limits{Runs: 2}, Limits{Runs: 2}, nil)
	c := Client{"w", "a"}
	for i := range 2 {
		if err := b.Start(noon, c); err != nil {
			t.Fatal(err)
		}
		b.Started(noon, c, runNamed(i))
	}
	if err := b.Start(noon, c); err == nil {
		t.Error("a third run was let in")
	}
	if got := b.Unsure(noon, c); len(got) != 4 { // each name's own two
		t.Errorf("%d runs are to be looked at, want 4", len(got))
	}
	if got := b.Unsure(noon.Add(time.Millisecond), c); got != nil {
		t.Errorf("%d runs are to be looked at again at once", len(got))
	}
	b.Ended(runNamed(0))
	b.Ended(runNamed(7)) // was never counted
	if err := b.Start(noon, c); err != nil {
		t.Error(err)
	}
	b.Started(noon, c, runNamed(1)) // the same run once more: an idempotency key was used again
	if err := b.Start(noon, c); err != nil {
		t.Errorf("one run counts twice: %v", err)
	}
	b.NotStarted(noon, c)
	if err := b.Start(noon, c); err != nil {
		t.Errorf("a run that did not start counts: %v", err)
	}
}

func TestABookForgets(t *testing.T) {
	b := New(Limits{PerDay: 1 << 40, Runs: 1}, Limits{PerDay: 1 << 40}, nil)
	for i := range maxAccounts + 10 {
		if err := b.Send(noon, Client{Address: fmt.Sprint(i)}, 1); err != nil {
			t.Fatal(err)
		}
	}
	if len(b.accounts) != maxAccounts {
		t.Errorf("%d accounts, want %d", len(b.accounts), maxAccounts)
	}
	c := Client{Wallet: "w"}
	if err := b.Start(noon, c); err != nil {
		t.Fatal(err)
	}
	b.Started(noon, c, runNamed(1))
	if err := b.Send(noon.Add(forget+time.Hour), Client{Address: "new"}, 1); err != nil {
		t.Fatal(err)
	}
	if len(b.accounts) != 1 || len(b.runs) != 0 {
		t.Errorf("after a day: %d accounts, %d runs, want one and none", len(b.accounts), len(b.runs))
	}
}

func TestSentences(t *testing.T) {
	for _, tt := range []struct {
		e    Error
		want string
	}{
		{Error{Runs, "wallet", 200, 5 * time.Second}, "This wallet has 200 runs open, as many as it may; end one, or come again in 5 s"},
		{Error{PerHour, "address", 12000, 301 * time.Second},
			"This address has started 12000 runs in an hour, as many as it may; come again in 6 min"},
		{Error{PerDay, "wallet", 512 << 20, 20*time.Hour + 1}, "This wallet has sent 512 MiB in a day, as much as it may; come again in 21 h"},
	} {
		if got := tt.e.Error(); got != tt.want {
			t.Errorf("got %q, want %q", got, tt.want)
		}
	}
}

// FuzzWindow compares a window with a list of all that came.
func FuzzWindow(f *testing.F) {
	f.Add([]byte{1, 2, 3, 200, 5, 0, 255, 9})
	f.Fuzz(func(t *testing.T, steps []byte) {
		w, now := newWindow(4, time.Minute), noon
		came := map[int64]int64{} // by minute
		for ; len(steps) >= 2; steps = steps[2:] {
			now = now.Add(time.Duration(steps[0]) * time.Second)
			minute := now.Unix() / 60
			w.add(now, int64(steps[1]))
			came[minute] += int64(steps[1])
			var want int64
			for m := minute - 4; m <= minute; m++ {
				want += came[m]
			}
			if got := w.sum(now); got != want {
				t.Fatalf("sum %d, want %d", got, want)
			}
			later := window{slices.Clone(w.slots), w.width, w.newest}
			wait := w.wait(now, want/2)
			if got := later.sum(now.Add(wait)); got > want/2 {
				t.Fatalf("after the wait of %s the sum is %d, want at most %d", wait, got, want/2)
			}
		}
	})
}
