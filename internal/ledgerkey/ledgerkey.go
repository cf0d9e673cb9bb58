// Package ledgerkey names the ledgers of a run's budgets in a store.
package ledgerkey

import (
	"cmp"

	"github.com/writ-run/writ/agent/loop"
	"github.com/writ-run/writ/internal/journal"
	"github.com/writ-run/writ/provenance"
)

// Names are those that the ledgers of a run's budgets have in the store. Each name is made once.
type Names struct {
	info            journal.RunInfo // whose run it is
	wallet, session string          // what names of these scopes begin with; made when the first is asked for
	made            map[ID]string
}

// An ID says which ledger: Key within its scope, of a delegation if that is the scope. Caller is the agent's name if
// it is not the run's own.
type ID struct {
	Scope  string
	Of     provenance.Link
	Caller string
	Key    string
}

// New returns the names of a run's ledgers.
func New(info journal.RunInfo) Names {
	return Names{info: info, made: map[ID]string{}}
}

// KeysOf returns the names of ledgers as a machine lists them.
func (n *Names) KeysOf(ledgers []loop.Ledger) []string {
	keys := make([]string, len(ledgers))
	for i, l := range ledgers {
		keys[i] = n.KeyOf(ID{l.Scope, l.Of, l.Caller, l.Key})
	}
	return keys
}

// KeyOf returns the name of one ledger.
func (n *Names) KeyOf(id ID) string {
	key, there := n.made[id]
	if !there {
		key = n.makeKey(id)
		n.made[id] = key
	}
	return key
}

func (n *Names) makeKey(id ID) string {
	switch id.Scope {
	case "wallet":
		if n.wallet == "" {
			n.wallet = "wallet/" + n.info.Owner() + "/"
		}
		return n.wallet + id.Key
	case loop.ScopeDelegation:
		return "delegation/" + id.Of.String() + "/" + id.Key
	case "agent":
		return "agent/" + cmp.Or(id.Caller, n.info.Agent) + "/" + id.Key
	}
	if n.session == "" {
		n.session = "session/" + n.info.Session.String() + "/"
	}
	return n.session + id.Key
}
