package server

import (
	"fmt"
	"net/http"
	"strings"
	"testing"

	"github.com/writ-run/writ/agent/wire"
	"github.com/writ-run/writ/internal/api"
	"github.com/writ-run/writ/internal/quota"
)

// A quota stands on the wallet and on the address, whichever a client changes; of IPv6 a /64 is one address.
func TestQuotasOverTheSocket(t *testing.T) {
	share := quota.Limits{Runs: 2}
	for _, tt := range []struct {
		rule            string
		wallet, address quota.Limits
		from            []string // addresses, one a socket
		wallets         []uint64
		reason, of      string // "" if all are let in
	}{
		{"many wallets of one address", quota.Limits{}, share, []string{"192.0.2.1", "192.0.2.1", "192.0.2.1"}, []uint64{1, 2, 3},
			"quota.runs", "address"},
		{"one wallet of many addresses", share, quota.Limits{}, []string{"192.0.2.1", "192.0.2.2", "192.0.2.3"}, []uint64{1, 1, 1},
			"quota.runs", "wallet"},
		{"many wallets of one /64", quota.Limits{}, share,
			[]string{"2001:db8:1:2::1", "2001:db8:1:2:ffff::1", "2001:db8:1:2:3:4:5:6"}, []uint64{1, 2, 3}, "quota.runs", "address"},
		{"other wallets of other addresses", share, share, []string{"2001:db8:1:2::1", "2001:db8:1:3::1", "2001:db8:1:4::1"},
			[]uint64{1, 2, 3}, "", ""},
		{"runs in an hour", quota.Limits{PerHour: 2}, quota.Limits{}, []string{"192.0.2.1", "192.0.2.2", "192.0.2.3"},
			[]uint64{1, 1, 1}, "quota.runs_per_hour", "wallet"},
	} {
		var told []string
		f := serveCounted(t, Limits{}, api.Limits{}, quota.New(tt.wallet, tt.address, func(what, of string) {
			told = append(told, what+" "+of)
		}), nil, trustLoopback)
		var last reply
		var runs []string
		for i, from := range tt.from {
			r := f.connectWith(http.Header{"X-Forwarded-For": {from}}).signIn(wallet(tt.wallets[i]))
			key := fmt.Sprintf("key-%05d", i)
			last = r.act(wire.RunStart, wire.StartParams{Agent: "reader", Input: "hi", Key: key})
			if last.Error == nil {
				runs = append(runs, string(last.Result))
			} else if i < len(tt.from)-1 {
				t.Errorf("%s: run %d: %v", tt.rule, i+1, last.Error)
			}
		}
		if tt.reason == "" {
			if last.Error != nil {
				t.Errorf("%s: got %+v", tt.rule, last.Error)
			}
			continue
		}
		if e := last.Error; e == nil || e.Data.Code != wire.CodeQuota || e.Data.Reason != tt.reason || !e.Data.Retryable ||
			e.Data.RetryAfterMS <= 0 || !strings.Contains(e.Message, "This "+tt.of) || !strings.Contains(e.Message, "come again in") {
			t.Errorf("%s: got %+v, want %s of the %s and when to come again", tt.rule, e, tt.reason, tt.of)
		}
		if len(runs) != 2 || len(told) != 1 {
			t.Errorf("%s: %d runs were started and %q counted as refused", tt.rule, len(runs), told)
		}
	}
}

// A run that has ended gives its place back, and one that is started again by its key is the same.
func TestAnEndedRunLeavesTheQuota(t *testing.T) {
	f := serveCounted(t, Limits{}, api.Limits{}, quota.New(quota.Limits{Runs: 1}, quota.Limits{}, nil), nil)
	r := f.connect().signIn(wallet(1))
	run := r.start("key-00001")
	f.mu.Lock()
	f.runs[run].info.Status = "answered"
	f.mu.Unlock()
	r.start("key-00002")
}

// Bytes are refused by both names too, but nobody is kept from ending what goes on.
func TestBytesOfADay(t *testing.T) {
	for _, tt := range []struct {
		of              string
		wallet, address quota.Limits
	}{
		{"wallet", quota.Limits{PerDay: 20_000}, quota.Limits{}},
		{"address", quota.Limits{}, quota.Limits{PerDay: 20_000}},
	} {
		f := serveCounted(t, Limits{}, api.Limits{}, quota.New(tt.wallet, tt.address, nil), nil)
		r := f.connect().signIn(wallet(1))
		run := r.start("key-00001")
		big := wire.StartParams{Agent: "reader", Input: strings.Repeat("x", 15_000), Key: "key-00002"}
		r.act(wire.RunStart, big)
		r.act(wire.RunStart, big)
		a := r.act(wire.RunStart, big)
		if a.code() != wire.CodeQuota || a.Error.Data.Reason != "quota.bytes_per_day" || !strings.Contains(a.Error.Message, "This "+tt.of) {
			t.Errorf("%s: got %+v", tt.of, a.Error)
		}
		if a := r.act(wire.RunCancel, wire.RunParams{Run: run.String()}); a.Error != nil {
			t.Errorf("%s: a run could not be cancelled: %+v", tt.of, a.Error)
		}
	}
}

// Posted requests are told the same, with the HTTP header that says when.
func TestAQuotaOverHTTP(t *testing.T) {
	f := serveCounted(t, Limits{}, api.Limits{}, quota.New(quota.Limits{}, quota.Limits{PerDay: 100}, nil), nil)
	post := func() *http.Response {
		resp, err := http.Post("http://"+f.ln.Addr().String()+wire.Path, "application/json",
			strings.NewReader(request(wire.Ping, wire.None{}, nil)))
		if err != nil {
			t.Fatal(err)
		}
		resp.Body.Close()
		return resp
	}
	if got := post(); got.StatusCode != http.StatusOK {
		t.Errorf("the first: got %s", got.Status)
	}
	if got := post(); got.StatusCode != http.StatusTooManyRequests || got.Header.Get("Retry-After") == "" {
		t.Errorf("the second: got %s, Retry-After %q", got.Status, got.Header.Get("Retry-After"))
	}
}
