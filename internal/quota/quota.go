// Package quota counts what clients take of a server over hours and days, and says when one has had its share.
//
// A client is known by two names, its wallet and its address, and each has a share of its own. So one address with many
// wallets is one client, and so is one wallet on many addresses. What is counted is kept in memory: a server that was
// started anew begins with nothing counted.
package quota

import (
	"fmt"
	"sync"
	"time"

	"github.com/writ-run/writ/provenance"
)

// Limits are the share of one wallet or of one address. 0 is no limit.
type Limits struct {
	Runs    int   // that are open at once
	PerHour int   // runs that are started
	PerDay  int64 // bytes that are sent to the server
}

// A Client is who asks. Either name may be empty if it is not known.
type Client struct {
	Wallet  string
	Address string // an IPv4 address, or the /64 of an IPv6 one
}

// What a share is of.
const (
	Runs    = "runs"
	PerHour = "runs_per_hour"
	PerDay  = "bytes_per_day"
)

// An Error says whose share is used up, and when there will be some of it again.
type Error struct {
	What string // Runs, PerHour or PerDay
	Of   string // "wallet" or "address"
	Most int64
	Wait time.Duration // for Runs, when to ask whether one has ended
}

// Error returns the sentence that the client is told.
func (e *Error) Error() string {
	switch e.What {
	case Runs:
		return fmt.Sprintf("This %s has %d runs open, as many as it may; end one, or come again in %s", e.Of, e.Most,
			showWait(e.Wait))
	case PerHour:
		return fmt.Sprintf("This %s has started %d runs in an hour, as many as it may; come again in %s", e.Of, e.Most,
			showWait(e.Wait))
	}
	return fmt.Sprintf("This %s has sent %s in a day, as much as it may; come again in %s", e.Of, showBytes(e.Most),
		showWait(e.Wait))
}

func showWait(d time.Duration) string {
	switch {
	case d <= 2*time.Minute:
		return fmt.Sprintf("%d s", (d+time.Second-1)/time.Second)
	case d <= 2*time.Hour:
		return fmt.Sprintf("%d min", (d+time.Minute-1)/time.Minute)
	}
	return fmt.Sprintf("%d h", (d+time.Hour-1)/time.Hour)
}

func showBytes(n int64) string {
	if n >= 1<<20 && n%(1<<20) == 0 {
		return fmt.Sprintf("%d MiB", n>>20)
	}
	return fmt.Sprintf("%d bytes", n)
}

const (
	hourSlots, hourSlot = 12, 5 * time.Minute
	daySlots, daySlot   = 24, time.Hour
	// lookEvery is how long passes for each run of an account before its runs are looked at again: who is refused must
	// not make the server look all the time.
	lookEvery = 5 * time.Millisecond
	comeAgain = 5 * time.Second // after a refusal that nobody knows the end of
	forget    = 24*time.Hour + daySlot
	// maxAccounts bounds the memory. Beyond it who has used least is forgotten: that gives away least.
	maxAccounts = 100_000
)

// A Book counts. Its methods may be called by many goroutines at once; now never goes back.
type Book struct {
	limits  map[string]Limits
	refused func(what, of string)

	mu       sync.Mutex
	accounts map[name]*account          // guarded by mu
	runs     map[provenance.Link][]name // guarded by mu: open as far as is known
	swept    time.Time                  // guarded by mu
}

// A name is that of an account: of whom, "wallet" or "address", and which.
type name struct{ of, id string }

// An account is what one wallet or one address has taken.
type account struct {
	started window
	bytes   window
	runs    map[provenance.Link]struct{} // open as far as is known
	coming  int                          // runs that are being started
	looked  time.Time                    // when they were last looked at
	used    time.Time
}

// New returns a Book. refused, if it is not nil, is told of every refusal.
func New(wallet, address Limits, refused func(what, of string)) *Book {
	if refused == nil {
		refused = func(string, string) {}
	}
	return &Book{
		limits: map[string]Limits{"wallet": wallet, "address": address}, refused: refused,
		accounts: map[name]*account{}, runs: map[provenance.Link][]name{},
	}
}

// Send counts n bytes. An [*Error] says that they are too many; they are counted all the same, once a share is used up
// no further.
func (b *Book) Send(now time.Time, c Client, n int64) error {
	b.mu.Lock()
	defer b.mu.Unlock()
	for _, k := range namesOf(c) {
		most := b.limits[k.of].PerDay
		if most <= 0 {
			continue
		}
		a := b.accountOf(now, k)
		if a.bytes.sum(now) >= most {
			return b.refuse(PerDay, k, most, a.bytes.wait(now, most-1))
		}
		a.bytes.add(now, n)
	}
	return nil
}

// Start counts a run that is to be started. Unless it returns an [*Error], Started or NotStarted must follow.
func (b *Book) Start(now time.Time, c Client) error {
	b.mu.Lock()
	defer b.mu.Unlock()
	names := namesOf(c)
	for _, k := range names {
		a, l := b.accountOf(now, k), b.limits[k.of]
		if l.Runs > 0 && len(a.runs)+a.coming >= l.Runs {
			return b.refuse(Runs, k, int64(l.Runs), comeAgain)
		}
		if l.PerHour > 0 && a.started.sum(now) >= int64(l.PerHour) {
			return b.refuse(PerHour, k, int64(l.PerHour), a.started.wait(now, int64(l.PerHour)-1))
		}
	}
	for _, k := range names {
		a := b.accounts[k]
		a.coming++
		a.started.add(now, 1)
	}
	return nil
}

// Started says which run it was. The same run may be started twice: it is counted once.
func (b *Book) Started(now time.Time, c Client, run provenance.Link) {
	b.mu.Lock()
	defer b.mu.Unlock()
	if b.runs[run] != nil {
		b.takeBack(now, c)
		return
	}
	for _, k := range namesOf(c) {
		a := b.accountOf(now, k)
		a.coming = max(0, a.coming-1)
		a.runs[run] = struct{}{}
		b.runs[run] = append(b.runs[run], k)
	}
}

// NotStarted takes a Start back.
func (b *Book) NotStarted(now time.Time, c Client) {
	b.mu.Lock()
	defer b.mu.Unlock()
	b.takeBack(now, c)
}

// takeBack needs mu.
func (b *Book) takeBack(now time.Time, c Client) {
	for _, k := range namesOf(c) {
		a := b.accountOf(now, k)
		a.coming = max(0, a.coming-1)
		a.started.add(now, -1)
	}
}

// Unsure lists the runs of a client that may have ended, if it would be refused for them and it is time to look.
func (b *Book) Unsure(now time.Time, c Client) (runs []provenance.Link) {
	b.mu.Lock()
	defer b.mu.Unlock()
	for _, k := range namesOf(c) {
		a, l := b.accountOf(now, k), b.limits[k.of]
		if l.Runs <= 0 || len(a.runs)+a.coming < l.Runs ||
			now.Sub(a.looked) < lookEvery*time.Duration(len(a.runs)) {
			continue
		}
		a.looked = now
		for run := range a.runs {
			runs = append(runs, run)
		}
	}
	return runs
}

// Ended says that a run is not open any more.
func (b *Book) Ended(run provenance.Link) {
	b.mu.Lock()
	defer b.mu.Unlock()
	for _, k := range b.runs[run] {
		if a := b.accounts[k]; a != nil {
			delete(a.runs, run)
		}
	}
	delete(b.runs, run)
}

// refuse needs mu.
func (b *Book) refuse(what string, k name, most int64, wait time.Duration) error {
	b.refused(what, k.of)
	return &Error{What: what, Of: k.of, Most: most, Wait: wait}
}

func namesOf(c Client) (names []name) {
	if c.Wallet != "" {
		names = append(names, name{"wallet", c.Wallet})
	}
	if c.Address != "" {
		names = append(names, name{"address", c.Address})
	}
	return names
}

// accountOf needs mu.
func (b *Book) accountOf(now time.Time, k name) *account {
	if now.Sub(b.swept) > daySlot {
		b.swept = now
		for k, a := range b.accounts {
			if now.Sub(a.used) > forget {
				b.dropAccount(k)
			}
		}
	}
	a := b.accounts[k]
	if a == nil {
		if len(b.accounts) >= maxAccounts {
			b.dropSmallest(now)
		}
		a = &account{
			started: newWindow(hourSlots, hourSlot), bytes: newWindow(daySlots, daySlot),
			runs: map[provenance.Link]struct{}{},
		}
		b.accounts[k] = a
	}
	a.used = now
	return a
}

// dropSmallest forgets the account that has used least of some that are picked by chance. It needs mu.
func (b *Book) dropSmallest(now time.Time) {
	var smallest name
	least, seen := int64(-1), 0
	for k, a := range b.accounts {
		if n := a.bytes.sum(now) + 1<<20*(a.started.sum(now)+int64(len(a.runs)+a.coming)); least < 0 || n < least {
			smallest, least = k, n
		}
		if seen++; seen == 16 {
			break
		}
	}
	b.dropAccount(smallest)
}

// dropAccount needs mu.
func (b *Book) dropAccount(k name) {
	for run := range b.accounts[k].runs {
		others := b.runs[run][:0]
		for _, o := range b.runs[run] {
			if o != k {
				others = append(others, o)
			}
		}
		if b.runs[run] = others; len(others) == 0 {
			delete(b.runs, run)
		}
	}
	delete(b.accounts, k)
}
