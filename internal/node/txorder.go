package node

import (
	"context"
	"crypto/ed25519"
	"encoding/json"
	"errors"
	"net/http"
	"time"

	"github.com/prometheus/client_golang/prometheus"

	"github.com/writ-run/writ/internal/chainwatch"
	"github.com/writ-run/writ/tools"
)

// What an order about transactions wants.
const (
	TxList    = "list"
	TxReplace = "replace"
	TxCancel  = "cancel"
)

// maxListed bounds the transactions of an answer.
const maxListed = 1000

// A Tx is a transaction that a run waits for.
type Tx struct {
	Run     string   `json:"run"`
	Account string   `json:"account"` // CAIP-10
	Nonce   uint64   `json:"nonce"`
	State   string   `json:"state"`         // waiting, behind, stuck or included
	Why     string   `json:"why,omitempty"` // it is stuck
	Hashes  []string `json:"hashes"`        // that were signed for it, the newest last
	Cancels bool     `json:"cancels,omitempty"`
	Since   int64    `json:"since"`              // ms UTC: the newest was begun to be sent
	Cap     string   `json:"max_fee,omitempty"`  // wei for a unit of gas that it offers at most
	Base    string   `json:"base_fee,omitempty"` // that the newest block asked
	Behind  int      `json:"behind"`             // how many of its account wait behind it
}

// Txs answers an order about transactions.
type Txs struct {
	Transactions []Tx   `json:"transactions"`
	More         int    `json:"more,omitempty"` // that are not listed
	Sent         string `json:"sent,omitempty"` // hash of the one that was put in another's place
	Cancels      bool   `json:"cancels,omitempty"`
}

// handleTxOrder lists the transactions that runs wait for, or puts another in the place of one.
func (n *Node) handleTxOrder(w http.ResponseWriter, r *http.Request) {
	out, err := n.performTxOrder(r)
	w.Header().Set("Content-Type", "application/json")
	if err != nil {
		refuseOrder(w, err, Reloaded{})
		return
	}
	_ = json.NewEncoder(w).Encode(out) // who asked may be gone
}

func (n *Node) performTxOrder(r *http.Request) (out Txs, err error) {
	o, err := n.readOrder(r.Body, txOrder)
	if err != nil {
		return out, err
	}
	watch := n.runner.Watch()
	switch o.Do {
	case TxList:
	case TxReplace, TxCancel:
		a, err := watch.Replace(context.WithoutCancel(r.Context()), o.Tx, o.Do == TxCancel)
		if err != nil {
			return out, refuseTx(err)
		}
		out.Sent, out.Cancels = a.Hash, a.Cancels
	default:
		return out, badUse("there is no order %q about transactions", o.Do)
	}
	out.Transactions, out.More = listTxs(watch)
	return out, nil
}

// listTxs lists what runs wait for, and how many are not listed.
func listTxs(watch *chainwatch.Watch) (txs []Tx, more int) {
	list := watch.List()
	more = max(len(list)-maxListed, 0)
	txs = make([]Tx, 0, len(list)-more)
	for _, t := range list[:len(list)-more] {
		txs = append(txs, Tx{
			Run: t.Run.String(), Account: t.Account, Nonce: t.Nonce, State: t.State, Why: t.Why, Hashes: t.Hashes,
			Cancels: t.Cancels, Since: t.Begun.UnixMilli(), Cap: t.Cap, Base: t.Base, Behind: t.Behind,
		})
	}
	return txs, more
}

// refuseTx says why there is no other transaction.
func refuseTx(err error) error {
	if e, ok := errors.AsType[*tools.Error](err); ok {
		return faultf(Settings, "tx_"+e.Code, "%s%s", e.Message, nextOfTx(e.Code))
	}
	if errors.Is(err, chainwatch.ErrNoTransaction) {
		return faultf(Settings, "tx_unknown", "%s; writ tx ls lists those that may be replaced", err)
	}
	return faultf(Unreachable, "tx_chain", "nothing was replaced, since the chain could not be asked; try again")
}

// nextOfTx says what an operator does about it.
func nextOfTx(code string) string {
	switch code {
	case tools.StuckCeiling:
		return " Raise chain.max_fee_gwei and start the server again, or wait until the chain asks less."
	case "insufficient_funds":
		return " Give the account some of the chain's coin."
	}
	return ""
}

// OrderTx sends an order of the operator's key about transactions to the server at url, on this machine, and returns
// its answer. tx names one for [TxReplace] and [TxCancel]. The error is a [*Fault].
func OrderTx(
	ctx context.Context, by *http.Client, url string, key ed25519.PrivateKey, do, tx string,
) (out Txs, err error) {
	says := func(f orderFault) string { return f.Message }
	err = sendOrder(ctx, by, url, key, txOrder, order{Do: do, Tx: tx}, &out, says)
	return out, err
}

// meterTransactions registers the figures of what runs wait for.
func meterTransactions(reg *prometheus.Registry, watch *chainwatch.Watch) {
	gauge := func(name, help string, of func([]chainwatch.Transaction) float64) {
		reg.MustRegister(prometheus.NewGaugeFunc(prometheus.GaugeOpts{Name: name, Help: help}, func() float64 {
			return of(watch.List())
		}))
	}
	count := func(states ...string) func([]chainwatch.Transaction) float64 {
		return func(list []chainwatch.Transaction) (n float64) {
			for _, t := range list {
				for _, s := range states {
					if t.State == s {
						n++
					}
				}
			}
			return n
		}
	}
	gauge("writ_tx_open", "Transactions that runs wait for, until their blocks are final.",
		func(list []chainwatch.Transaction) float64 { return float64(len(list)) })
	gauge("writ_tx_stuck", "Transactions that blocks leave out, and that a person has to look at.",
		count(chainwatch.TxStuck))
	gauge("writ_tx_behind", "Transactions that wait for an earlier one of their account.", count(chainwatch.TxBehind))
	gauge("writ_tx_oldest_seconds", "For how long the oldest transaction without a block has waited.",
		func(list []chainwatch.Transaction) (oldest float64) {
			for _, t := range list {
				if t.State != chainwatch.TxIncluded {
					oldest = max(oldest, time.Since(t.Begun).Seconds())
				}
			}
			return oldest
		})
	reg.MustRegister(prometheus.NewCounterFunc(prometheus.CounterOpts{
		Name: "writ_tx_replaced_total", Help: "Transactions in whose place another was put.",
	}, func() float64 { return float64(watch.Replaced()) }))
}
