package evidence

import (
	"context"
	"math"

	"github.com/ethereum/go-ethereum/common"
	"github.com/ipfs/go-cid"

	"github.com/writ-run/writ/internal/cli"
	"github.com/writ-run/writ/internal/digest"
	"github.com/writ-run/writ/internal/journal"
)

// FindRun returns the run in a data folder that a text names: by its CID, or as lines show it.
func FindRun(ctx context.Context, data, text string) (cid.Cid, error) {
	if run, err := cid.Decode(text); err == nil {
		return run, nil
	}
	db, err := OpenData(ctx, data)
	if err != nil {
		return cid.Undef, err
	}
	defer db.Close()
	all, err := db.Runs(ctx, common.Address{}, maxListed)
	if err != nil {
		return cid.Undef, err
	}
	var found []string
	for _, r := range all {
		if cli.IsShortOf(text, r.ID.String()) {
			found = append(found, r.ID.String())
		}
	}
	one, err := cli.OnlyOne(text, "run", found)
	if err != nil {
		return cid.Undef, err
	}
	return cid.Decode(one)
}

// maxListed bounds how many runs are looked at for one that is named in short.
const maxListed = 100_000

// A Run is one as its operator lists it.
type Run struct {
	ID     string `json:"run"`
	Owner  string `json:"owner"`
	Agent  string `json:"agent"`
	Status string `json:"status"`
	// Outcome is Status, but that what a person takes for different things is apart; Rule has stopped it, if one did.
	Outcome string `json:"outcome"`
	Rule    string `json:"rule,omitempty"`
	Steps   uint64 `json:"steps"`
	Opened  int64  `json:"opened"` // ms UTC
	Asked   string `json:"asked,omitempty"`
	Erased  bool   `json:"erased,omitempty"` // what was asked is
}

// ListRuns lists the runs of all wallets in a data folder, newest first. What they were asked is their owners', and
// only shown if asked says so.
func ListRuns(ctx context.Context, data string, limit int, asked bool) ([]Run, error) {
	db, err := OpenData(ctx, data)
	if err != nil {
		return nil, err
	}
	defer db.Close()
	all, err := db.Runs(ctx, common.Address{}, limit)
	list := make([]Run, 0, len(all))
	for _, r := range all {
		came, err := digest.ReadRun(ctx, db, r)
		if err != nil {
			return nil, err
		}
		x := Run{
			ID: r.ID.String(), Owner: r.Owner(), Agent: r.Agent, Status: r.Status, Outcome: came.Outcome, Rule: came.Rule,
			Steps: r.Steps, Opened: r.Opened,
		}
		if asked {
			x.Asked, x.Erased = came.Asked, came.Erased
		}
		list = append(list, x)
	}
	return list, err
}

// ListSessions lists the sessions of all wallets in a data folder, newest first.
func ListSessions(ctx context.Context, data string) ([]journal.Session, error) {
	db, err := OpenData(ctx, data)
	if err != nil {
		return nil, err
	}
	defer db.Close()
	return db.Sessions(ctx, common.Address{}, math.MaxInt64)
}
