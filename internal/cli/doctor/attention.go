package doctor

import (
	"cmp"
	"context"
	"errors"
	"fmt"
	"io"
	"io/fs"
	"math"
	"net/http"
	"net/url"
	"os"
	"path/filepath"
	"strings"
	"time"

	"github.com/spf13/cobra"

	"github.com/writ-run/writ/auth"
	"github.com/writ-run/writ/internal/archive"
	"github.com/writ-run/writ/internal/cli"
	"github.com/writ-run/writ/internal/cli/evidence"
	"github.com/writ-run/writ/internal/cli/teller"
	"github.com/writ-run/writ/internal/config"
	"github.com/writ-run/writ/internal/datadir"
	"github.com/writ-run/writ/internal/journal"
	"github.com/writ-run/writ/internal/node"
	"github.com/writ-run/writ/provenance"
	"github.com/writ-run/writ/provenance/translog"
	"github.com/writ-run/writ/tools"
)

// What needs a person, by kind.
const (
	needDoubt    = "doubt"    // something was done, and it is not known whether it happened
	needApproval = "approval" // a call waits for the wallet
	needStuck    = "stuck"    // a transaction that blocks leave out; what its account sends after it waits too
	needParked   = "parked"   // a run has been waiting for longer than it should
	needHistory  = "history"  // journal and log do not say the same
	needLog      = "log"      // the log has not taken in what the journal has
	needKey      = "key"      // the operator's key soon signs no more
	needServer   = "server"   // the server does not answer, or is not ready
	needMoney    = "money"    // a rule under revenue.alerts tells of a margin
	needNonce    = "nonce"    // an endpoint says that more was sent than the journal explains
	needReversal = "reversal" // a payment that was final is not on the chain any more
	needEndpoint = "endpoint" // what the server asks does not answer
	needClock    = "clock"    // the clock says a time before that of what is in the store
)

// A need is one thing that a person has to look at.
type need struct {
	Kind   string  `json:"kind"`
	Run    string  `json:"run,omitempty"`
	Step   *uint64 `json:"step,omitempty"`  // whose effect it is
	Since  int64   `json:"since,omitempty"` // ms UTC
	Detail string  `json:"detail"`
	Next   string  `json:"next"`
}

// Bounds of a look.
const (
	maxRuns  = 1000 // the newest are looked at
	stepPage = 100
	maxShown = 20 // lines of one kind in the text; --json has all
)

// A look is one run of writ attention; the fields to lag are its flags.
type look struct {
	sh                        *cli.Shell
	file, data, server, since string
	parked, soon, lag         time.Duration

	cfg     *config.Config
	client  *http.Client // that asks the server
	from    int64        // ms UTC: doubts of before were looked at
	now     time.Time
	needs   []need
	looked  []string // at what
	skipped bool     // there are more runs than are looked at
}

// Attention is writ attention.
func Attention(sh *cli.Shell) *cobra.Command {
	l := &look{sh: sh}
	c := &cobra.Command{
		Use: "attention", Short: "Say whether anything needs a person, by one exit code", Args: cobra.NoArgs,
		Long: `Exit code 0 if nothing needs a person, and 29 if something does. It says what: effects of which it is not known
whether they happened, approvals that wait, transactions that no block takes, payments that were final and whose block
the chain has taken back, runs that are parked for long, a journal and a log that tell two histories, a log that is
behind, margins that a rule under revenue.alerts tells of, an operator's key that ends soon, a server that is not ready,
endpoints that do not answer, or that say a nonce which the journal does not explain, a clock that was set back.

--data DIR looks into the folder, beside a server that uses it; --server URL asks a server. With neither, both are those
of the settings. The endpoints are those of the settings. It changes nothing.`,
		RunE: func(c *cobra.Command, _ []string) error { return l.run(c.Context()) },
	}
	f := c.Flags()
	f.StringVar(&l.file, "config", "", "configuration `file` (default writ.yaml, if it is there)")
	f.StringVar(&l.data, "data", "", "data `folder` of the server")
	f.StringVar(&l.server, "server", "", "`URL` of the server")
	f.DurationVar(&l.parked, "parked", 24*time.Hour, "how long a run may wait")
	f.DurationVar(&l.soon, "soon", 30*24*time.Hour, "how long before its end the operator's key is told of")
	f.DurationVar(&l.lag, "lag", 5*time.Minute, "how far the log may be behind")
	f.StringVar(&l.since, "since", "", "leave out doubts of before this `time`, as 2026-01-31T00:00:00Z: you know them")
	return c
}

func (l *look) run(ctx context.Context) (err error) {
	l.now = time.Now()
	if l.since != "" {
		t, err := time.Parse(time.RFC3339, l.since)
		if err != nil {
			return cli.Usage("--since: write a time as 2026-01-31T00:00:00Z")
		}
		l.from = t.UnixMilli()
	}
	if l.parked <= 0 || l.lag <= 0 || l.soon < 0 {
		return cli.Usage("--parked and --lag are above 0, and --soon is not below it")
	}
	if l.cfg, err = node.ReadSettings(l.file, nil); err != nil {
		return err
	}
	if l.data == "" && l.server == "" {
		l.data = l.cfg.Data
		l.server, l.client = serverOf(l.cfg)
	} else if strings.HasPrefix(l.server, "https://") {
		l.client = cli.OwnClient(l.cfg.TLS.Cert)
	}
	if l.data != "" {
		if err := l.examineData(ctx); err != nil {
			return err
		}
	}
	if l.server != "" {
		if err := l.examineServer(ctx); err != nil {
			return err
		}
	}
	l.examineEndpoints(ctx)
	return l.tell()
}

// tell prints what was found, and makes the exit code of it.
func (l *look) tell() error {
	v := map[string]any{"needs": append([]need{}, l.needs...), "looked_at": l.looked, "at": l.now.UnixMilli()}
	if l.skipped {
		v["newest_runs_only"] = maxRuns
	}
	text := func(w io.Writer) {
		shown := map[string]int{}
		for _, n := range l.needs {
			if shown[n.Kind]++; shown[n.Kind] > maxShown {
				continue
			}
			fmt.Fprintf(w, "%-8s  %s\n          next: %s\n", n.Kind, cli.Plain(n.Detail), n.Next)
		}
		for kind, n := range shown {
			if n > maxShown {
				fmt.Fprintf(w, "%-8s  and %d more; --json lists them\n", kind, n-maxShown)
			}
		}
		if len(l.needs) == 0 {
			fmt.Fprintf(w, "nothing needs a person (looked at: %s)\n", strings.Join(l.looked, ", "))
		}
		if l.skipped {
			fmt.Fprintf(w, "of the closed runs only those among the newest %d were looked at\n", maxRuns)
		}
	}
	if len(l.needs) == 0 {
		return l.sh.Done(v, text)
	}
	if !l.sh.JSON {
		text(l.sh.Out)
	}
	says := "1 thing needs a person"
	if n := len(l.needs); n > 1 {
		says = fmt.Sprintf("%d things need a person", n)
	}
	f := cli.Failf(cli.ExitAttention, "attention", "%s", says)
	f.Result = v
	return f
}

func (l *look) add(n need) { l.needs = append(l.needs, n) }

func (l *look) examineData(ctx context.Context) error {
	db, err := evidence.OpenData(ctx, l.data)
	if err != nil {
		return err
	}
	defer db.Close()
	l.looked = append(l.looked, "the data folder "+l.data)
	if err := l.examineClock(ctx, db); err != nil {
		return err
	}
	if err := l.examineRuns(ctx, db); err != nil {
		return err
	}
	if err := l.examineLog(ctx, db); err != nil {
		return err
	}
	if err := l.examineMoney(ctx, db); err != nil {
		return err
	}
	if err := l.examineNonces(ctx, db); err != nil {
		return err
	}
	if err := l.examineReversals(ctx, db); err != nil {
		return err
	}
	return l.examineKey()
}

// examineClock tells of a session that was opened later than now: those who have one are refused until the clock is
// right, or they sign in again.
func (l *look) examineClock(ctx context.Context, db journal.Database) error {
	newest, err := db.Sessions(ctx, noAccount, math.MaxInt64)
	if err != nil || len(newest) == 0 || newest[0].Opened <= l.now.Add(auth.Skew).UnixMilli() {
		return err
	}
	l.add(need{
		Kind: needClock, Since: newest[0].Opened, Next: "set this machine's clock",
		Detail: fmt.Sprintf("the clock says %s, and a session was opened at %s: it was set back, and sessions from "+
			"after now are refused", sayTime(l.now.UnixMilli()), sayTime(newest[0].Opened)),
	})
	return nil
}

// examineMoney asks the rules under revenue.alerts about the last 24 hours.
func (l *look) examineMoney(ctx context.Context, db journal.Database) error {
	earnings, err := node.EarningsOf(l.cfg)
	if err != nil || len(earnings.Alerts) == 0 {
		return err
	}
	sums, err := earnings.Sum(ctx, db, l.now)
	if err != nil {
		return err
	}
	for _, w := range sums.Warnings {
		l.add(need{Kind: needMoney, Detail: fmt.Sprintf("%s %s: %s over the last 24 hours", w.By, w.Of, w.Rule),
			Next: "writ costs --by " + w.By + " --data " + l.data})
	}
	return nil
}

// examineRuns looks at every open run and at the newest others.
func (l *look) examineRuns(ctx context.Context, db journal.Database) error {
	newest, err := db.Runs(ctx, noAccount, maxRuns+1)
	if err != nil {
		return err
	}
	if l.skipped = len(newest) > maxRuns; l.skipped {
		newest = newest[:maxRuns]
	}
	open, err := db.OpenRuns(ctx)
	if err != nil {
		return err
	}
	seen := map[provenance.Link]bool{}
	for _, r := range newest {
		seen[r.ID] = true
		if err := l.examineRun(ctx, db, r); err != nil {
			return err
		}
	}
	for _, id := range open {
		if seen[id] {
			continue
		}
		r, err := db.Run(ctx, id)
		if err == nil {
			err = l.examineRun(ctx, db, r)
		}
		if err != nil {
			return err
		}
	}
	return nil
}

func (l *look) examineRun(ctx context.Context, db journal.Database, r journal.RunInfo) error {
	if r.Status == provenance.CloseAnswered { // what is in doubt is never called answered
		return nil
	}
	var s standing
	for from := uint64(0); ; from += stepPage {
		page, err := db.Steps(ctx, r.ID, from, stepPage)
		if err != nil {
			return err
		}
		for _, b := range page {
			var step provenance.Step
			if err := provenance.Decode(b.Data, &step); err != nil {
				return fmt.Errorf("step of run %s: %w", r.ID, err)
			}
			if res, ok := step.Event.(*provenance.Result); ok && res.Status == provenance.StatusPending && r.IsOpen() {
				if err := archive.OpenPayload(ctx, db, res.Output); err != nil {
					return fmt.Errorf("step %d of run %s: %w", step.Seq, r.ID, err)
				}
			}
			s.take(&step)
		}
		if len(page) < stepPage {
			break
		}
	}
	if err := l.tellDoubts(ctx, db, r, &s); err != nil {
		return err
	}
	l.tellRun(r, &s)
	return nil
}

// tellDoubts adds the calls of a run of which nobody has said whether they happened.
func (l *look) tellDoubts(ctx context.Context, db journal.Records, r journal.RunInfo, s *standing) error {
	doubts, said, err := archive.FindDoubts(ctx, db, r)
	if err != nil {
		return err
	}
	below, err := toldBelow(ctx, db, s.below)
	if err != nil {
		return err
	}
	if len(doubts)+len(said) == 0 && !below && r.Status == provenance.CloseInDoubt { // the steps do not say which
		doubts = []archive.Doubt{{Of: provenance.Ref{Seq: r.Steps - 1}, At: s.last}}
	}
	for _, d := range doubts {
		if d.At >= l.from {
			l.add(need{needDoubt, r.ID.String(), &d.Of.Seq, d.At,
				fmt.Sprintf("step %d of run %s: it is not known whether it happened", d.Of.Seq, r.ID),
				fmt.Sprintf("look in the world, then: writ runs settle %s %d --as done|failed --data %s", r.ID, d.Of.Seq,
					cmp.Or(l.data, "DIR"))})
		}
	}
	return nil
}

// toldBelow says whether a run is in doubt for what a sub-agent's run has in doubt, or had: it is told there.
func toldBelow(ctx context.Context, db journal.Records, heads []provenance.Link) (bool, error) {
	for _, at := range heads {
		var head provenance.Head
		err := archive.Read(ctx, db, at, &head)
		if err != nil {
			return false, err
		}
		r, err := db.Run(ctx, head.Run)
		if err == nil && r.Status == provenance.CloseInDoubt {
			return true, nil
		}
		if err != nil && !errors.Is(err, journal.ErrNotFound) {
			return false, err
		}
	}
	return false, nil
}

// tellRun adds what a run needs.
func (l *look) tellRun(r journal.RunInfo, s *standing) {
	id := r.ID.String()
	if !r.IsOpen() {
		return
	}
	for _, w := range s.waiting {
		l.add(need{needApproval, id, &w.seq, w.at, fmt.Sprintf("run %s waits for its wallet since %s", id, sayTime(w.at)),
			"writ approve " + id})
	}
	for _, x := range s.stuck {
		next := fmt.Sprintf("writ tx ls; writ tx replace %s, or writ tx cancel %s", id, id)
		if x.why == tools.StuckGap {
			next = "writ tx ls names the nonce; ask another endpoint for eth_getTransactionCount of the account: if chain.rpc " +
				"was wrong, correct it; nonces that are really missing have to be sent from the account, to itself and of 0 coin"
		}
		l.add(need{needStuck, id, &x.seq, x.at, fmt.Sprintf("a transaction of run %s is in no block since %s: %s; what its "+
			"account sends after it waits too", id, sayTime(x.at), teller.SayStuck(x.why)), next})
	}
	if age := l.now.Sub(time.UnixMilli(s.last)); r.Status == "parked" && age > l.parked {
		l.add(need{needParked, id, nil, s.last, fmt.Sprintf("run %s is parked since %s", id, sayTime(s.last)),
			"writ runs show " + id + "; its wallet may approve, refuse or cancel"})
	}
}

func sayTime(ms int64) string { return time.UnixMilli(ms).UTC().Format(time.RFC3339) }

// examineLog compares journal and log.
func (l *look) examineLog(ctx context.Context, db journal.Database) error {
	// The checkpoint is read first: entries only become more.
	raw, err := os.ReadFile(filepath.Join(l.data, "log", "checkpoint"))
	switch {
	case errors.Is(err, fs.ErrNotExist): // built again from the journal at the next start
	case err != nil:
		return err
	default:
		err := translog.Compare(ctx, db, raw)
		if errors.Is(err, translog.ErrBehind) || errors.Is(err, translog.ErrForked) {
			l.add(need{Kind: needHistory, Detail: err.Error(), Next: "writ log epoch --data " + l.data + " --why REASON"})
			return nil
		}
		if err != nil {
			return err
		}
	}
	from, _, err := db.Unreceipted(ctx)
	if err != nil {
		return err
	}
	entries, err := db.Entries(ctx, from, stepPage)
	if err != nil {
		return err
	}
	for _, e := range entries {
		b, err := db.Block(ctx, e.CID)
		if err != nil {
			return err
		}
		var head provenance.Head
		if provenance.Decode(b, &head) != nil || l.now.Sub(time.UnixMilli(head.At)) <= l.lag {
			continue // it is no head, which has a time, or a fresh one
		}
		l.add(need{Kind: needLog, Run: head.Run.String(), Since: head.At, Detail: fmt.Sprintf(
			"the log is behind: entry %d, of %s, has no receipt", e.Index, sayTime(head.At)),
			Next: "start the server, which catches up; if it runs, look at its log: a witness or the disk may be away"})
		break
	}
	return nil
}

// examineKey looks at when the operator's key ends, if its wallet has bound it.
func (l *look) examineKey() error {
	raw, err := os.ReadFile(filepath.Join(l.data, datadir.BindingFile))
	if errors.Is(err, fs.ErrNotExist) {
		return nil
	}
	var b provenance.KeyBinding
	if err == nil {
		err = provenance.Decode(raw, &b)
	}
	if err != nil {
		return cli.Failf(cli.ExitIntegrity, "binding", "%s cannot be read: %s; writ key bind makes another",
			datadir.BindingFile, err)
	}
	switch left := time.UnixMilli(b.Until).Sub(l.now); {
	case left <= 0:
		l.add(need{Kind: needKey, Since: b.Until, Detail: "the operator's key has ended at " + sayTime(b.Until),
			Next: "writ key bind --data " + l.data})
	case left <= l.soon:
		l.add(need{Kind: needKey, Since: b.Until, Detail: "the operator's key ends at " + sayTime(b.Until),
			Next: "writ key bind --data " + l.data})
	}
	return nil
}

func (l *look) examineServer(ctx context.Context) error {
	u, err := url.Parse(l.server)
	if err != nil || u.Host == "" || u.Scheme != "http" && u.Scheme != "https" {
		return cli.Usage("%q is not a server's address; write http://HOST:PORT", l.server)
	}
	name := u.Scheme + "://" + u.Host
	l.looked = append(l.looked, "the server "+name)
	ctx, cancel := context.WithTimeout(ctx, 5*time.Second)
	defer cancel()
	switch status := readStatus(ctx, cmp.Or(l.client, http.DefaultClient), name+"/readyz"); status {
	case http.StatusOK:
	case 0:
		l.add(need{Kind: needServer, Detail: "no server answers at " + name, Next: "start it: writ serve"})
	default:
		l.add(need{Kind: needServer, Detail: fmt.Sprintf("the server at %s is not ready (status %d)", name, status),
			Next: "look at its log: its chain may not answer, its disk may be full"})
	}
	return nil
}

// examineEndpoints asks what the settings name: chain, models, Kubo. A URL may hold a key and is not shown.
func (l *look) examineEndpoints(ctx context.Context) {
	if n := len(l.cfg.Chain.RPC) + len(l.cfg.Models); n > 0 || l.cfg.IPFS.API != "" {
		l.looked = append(l.looked, "the endpoints of the settings")
	}
	var found []finding
	for i, u := range l.cfg.Chain.RPC {
		found = append(found, endpointFinding(ctx, l.cfg, u, fmt.Sprintf("endpoint %d of chain.rpc", i+1)))
	}
	for _, m := range l.cfg.Models {
		found = append(found, modelFinding(ctx, m))
	}
	if l.cfg.IPFS.API != "" {
		found = append(found, kuboFinding(ctx, l.cfg))
	}
	for _, f := range found {
		if !f.OK {
			l.add(need{Kind: needEndpoint, Detail: f.Name + ": " + f.Detail, Next: cmp.Or(f.Fix, "writ doctor")})
		}
	}
}
