package main

import (
	"context"
	"errors"
	"fmt"
	"io"
	"os/user"
	"strconv"
	"time"

	"github.com/writ-run/writ/internal/cli"
	"github.com/writ-run/writ/internal/cli/evidence"
	"github.com/writ-run/writ/internal/journal"

	"github.com/ethereum/go-ethereum/common"
	"github.com/ipfs/go-cid"
	"github.com/spf13/cobra"
)

// A holdView is a legal hold as it is shown.
type holdView struct {
	ID        int64  `json:"id"`
	Run       string `json:"run,omitempty"`
	Wallet    string `json:"wallet,omitempty"`
	At        int64  `json:"at"` // ms UTC
	By        string `json:"by"`
	Why       string `json:"why"`
	Removed   int64  `json:"removed,omitempty"` // ms UTC
	RemovedBy string `json:"removed_by,omitempty"`
	Released  string `json:"released,omitempty"` // why it was removed
}

func viewHold(h journal.Hold) holdView {
	v := holdView{ID: h.ID, At: h.At, By: h.By, Why: h.Why, Removed: h.Removed, RemovedBy: h.RemovedBy,
		Released: h.RemovedWhy}
	if h.Run.Defined() {
		v.Run = h.Run.String()
	} else {
		v.Wallet = h.Wallet.Hex()
	}
	return v
}

func (v holdView) target() string {
	if v.Run != "" {
		return "run " + v.Run
	}
	return "wallet " + v.Wallet
}

// A holder performs the commands of writ hold; its fields are their flags.
type holder struct {
	*app
	data, by, why string
	all           bool
}

func holdCommand(a *app) *cobra.Command {
	h := &holder{app: a}
	add := &cobra.Command{
		Use:   "add RUN|WALLET --why REASON --data DIR",
		Short: "Keep the payloads of a run, or of all runs of a wallet, from being erased",
		Args:  cobra.ExactArgs(1),
		RunE:  func(c *cobra.Command, args []string) error { return h.addHold(c.Context(), args[0]) },
	}
	list := &cobra.Command{
		Use: "list --data DIR", Short: "List the holds that stand", Args: cobra.NoArgs,
		RunE: func(c *cobra.Command, _ []string) error { return h.listHolds(c.Context()) },
	}
	list.Flags().BoolVar(&h.all, "all", false, "also those that were removed")
	remove := &cobra.Command{
		Use: "remove NUMBER --why REASON --data DIR", Short: "End a hold; its row stays, with who and why",
		Args: cobra.ExactArgs(1),
		RunE: func(c *cobra.Command, args []string) error { return h.removeHold(c.Context(), args[0]) },
	}
	for _, c := range []*cobra.Command{add, list, remove} {
		c.Flags().StringVar(&h.data, "data", "", "data `folder` of the server")
		if c != list {
			c.Flags().StringVar(&h.by, "by", "", "`who` wants it (default: the user of this machine)")
			c.Flags().StringVar(&h.why, "why", "", "the `reason`; it is kept")
		}
	}
	return cli.Group("hold", "Keep payloads from being erased, for as long as a legal hold stands", add, list, remove)
}

// checkReason asks for the folder and the reason, and finds out who wants it.
func (h *holder) checkReason() error {
	if h.data == "" {
		return cli.Usage("say where the runs are: --data DIR; holds are the operator's, on the machine itself")
	}
	if h.why == "" {
		return cli.Usage("say why: --why 'case 2026/17', for instance; it is kept with the hold")
	}
	if h.by == "" {
		u, err := user.Current()
		if err != nil {
			return cli.Usage("say who wants it: --by NAME")
		}
		h.by = u.Username
	}
	return nil
}

func (h *holder) addHold(ctx context.Context, target string) error {
	if err := h.checkReason(); err != nil {
		return err
	}
	hold := journal.Hold{By: h.by, Why: h.why}
	if common.IsHexAddress(target) {
		hold.Wallet = common.HexToAddress(target)
	} else if run, err := cid.Decode(target); err != nil {
		return cli.Usage("%q is neither a run's CID nor a wallet's address", target)
	} else {
		hold.Run = run
	}
	db, err := evidence.OpenData(ctx, h.data)
	if err != nil {
		return err
	}
	defer db.Close()
	hold, err = db.AddHold(ctx, hold)
	if errors.Is(err, journal.ErrNotFound) {
		return cli.Failf(cli.ExitIncomplete, "not_found", "the data folder %s has no run %s; writ runs ls shows yours",
			h.data, target)
	} else if err != nil {
		return cli.Usage("%s", cli.Plain(err.Error()))
	}
	v := viewHold(hold)
	return h.Done(v, func(w io.Writer) { fmt.Fprintf(w, "hold %d on %s\n", v.ID, v.target()) })
}

func (h *holder) listHolds(ctx context.Context) error {
	if h.data == "" {
		return cli.Usage("say where the runs are: --data DIR")
	}
	db, err := evidence.OpenData(ctx, h.data)
	if err != nil {
		return err
	}
	defer db.Close()
	holds, err := db.Holds(ctx, h.all)
	if err != nil {
		return err
	}
	views := make([]holdView, len(holds))
	for i, x := range holds {
		views[i] = viewHold(x)
	}
	return h.Done(map[string]any{"holds": views}, func(w io.Writer) {
		if len(views) == 0 {
			fmt.Fprintln(w, "nothing is under a hold")
		}
		for _, v := range views {
			fmt.Fprintf(w, "%d  %s  since %s by %s: %s\n", v.ID, v.target(), formatDay(v.At), v.By, v.Why)
			if v.Removed != 0 {
				fmt.Fprintf(w, "   removed %s by %s: %s\n", formatDay(v.Removed), v.RemovedBy, v.Released)
			}
		}
	})
}

func (h *holder) removeHold(ctx context.Context, number string) error {
	id, err := strconv.ParseInt(number, 10, 64)
	if err != nil {
		return cli.Usage("%q is not the number of a hold; writ hold list shows them", number)
	}
	if err := h.checkReason(); err != nil {
		return err
	}
	db, err := evidence.OpenData(ctx, h.data)
	if err != nil {
		return err
	}
	defer db.Close()
	switch err := db.RemoveHold(ctx, id, h.by, h.why); {
	case errors.Is(err, journal.ErrNotFound):
		return cli.Failf(cli.ExitIncomplete, "not_found", "there is no hold %d that stands; writ hold list shows them", id)
	case err != nil:
		return cli.Usage("%s", cli.Plain(err.Error()))
	}
	return h.Done(map[string]any{"id": id}, func(w io.Writer) { fmt.Fprintf(w, "hold %d is removed\n", id) })
}

func formatDay(ms int64) string { return time.UnixMilli(ms).UTC().Format("2006-01-02") }
