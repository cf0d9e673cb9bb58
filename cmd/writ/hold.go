package main

import (
	"errors"
	"fmt"
	"io"
	"os/user"
	"strconv"
	"time"

	"github.com/ethereum/go-ethereum/common"
	"github.com/ipfs/go-cid"
	"github.com/spf13/cobra"

	"github.com/writ-run/writ/agent"
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

func viewHold(h agent.Hold) holdView {
	v := holdView{ID: h.ID, At: h.At, By: h.By, Why: h.Why, Removed: h.Removed, RemovedBy: h.RemovedBy, Released: h.Released}
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

func (a *app) holdCommand() *cobra.Command {
	var data, by, why string
	flags := func(c *cobra.Command, notes bool) *cobra.Command {
		c.Flags().StringVar(&data, "data", "", "data `folder` of the server")
		if notes {
			c.Flags().StringVar(&by, "by", "", "`who` wants it (default: the user of this machine)")
			c.Flags().StringVar(&why, "why", "", "the `reason`; it is kept")
		}
		return c
	}
	who := func() error {
		if data == "" {
			return usage("say where the runs are: --data DIR; holds are the operator's, on the machine itself")
		}
		if why == "" {
			return usage("say why: --why 'case 2026/17', for instance; it is kept with the hold")
		}
		if by == "" {
			u, err := user.Current()
			if err != nil {
				return usage("say who wants it: --by NAME")
			}
			by = u.Username
		}
		return nil
	}
	add := &cobra.Command{
		Use: "add RUN|WALLET --why REASON --data DIR", Short: "Keep the payloads of a run, or of all runs of a wallet, from being erased",
		Args: cobra.ExactArgs(1),
		RunE: func(c *cobra.Command, args []string) error {
			if err := who(); err != nil {
				return err
			}
			h := agent.Hold{By: by, Why: why}
			if common.IsHexAddress(args[0]) {
				h.Wallet = common.HexToAddress(args[0])
			} else if run, err := cid.Decode(args[0]); err != nil {
				return usage("%q is neither a run's CID nor a wallet's address", args[0])
			} else {
				h.Run = run
			}
			db, err := openData(c.Context(), data)
			if err != nil {
				return err
			}
			defer db.Close()
			h, err = db.Hold(c.Context(), h)
			if errors.Is(err, agent.ErrNotFound) {
				return failf(exitIncomplete, "not_found", "the data folder %s has no run %s; writ runs ls shows yours", data, args[0])
			} else if err != nil {
				return usage("%s", plain(err.Error()))
			}
			v := viewHold(h)
			return a.done(v, func(w io.Writer) { fmt.Fprintf(w, "hold %d on %s\n", v.ID, v.target()) })
		},
	}
	var all bool
	ls := &cobra.Command{
		Use: "list --data DIR", Short: "List the holds that stand", Args: cobra.NoArgs,
		RunE: func(c *cobra.Command, _ []string) error {
			if data == "" {
				return usage("say where the runs are: --data DIR")
			}
			db, err := openData(c.Context(), data)
			if err != nil {
				return err
			}
			defer db.Close()
			holds, err := db.Holds(c.Context(), all)
			if err != nil {
				return err
			}
			views := make([]holdView, len(holds))
			for i, h := range holds {
				views[i] = viewHold(h)
			}
			return a.done(map[string]any{"holds": views}, func(w io.Writer) {
				if len(views) == 0 {
					fmt.Fprintln(w, "nothing is under a hold")
				}
				for _, v := range views {
					fmt.Fprintf(w, "%d  %s  since %s by %s: %s\n", v.ID, v.target(), day(v.At), v.By, v.Why)
					if v.Removed != 0 {
						fmt.Fprintf(w, "   removed %s by %s: %s\n", day(v.Removed), v.RemovedBy, v.Released)
					}
				}
			})
		},
	}
	ls.Flags().BoolVar(&all, "all", false, "also those that were removed")
	remove := &cobra.Command{
		Use: "remove NUMBER --why REASON --data DIR", Short: "End a hold; its row stays, with who and why", Args: cobra.ExactArgs(1),
		RunE: func(c *cobra.Command, args []string) error {
			id, err := strconv.ParseInt(args[0], 10, 64)
			if err != nil {
				return usage("%q is not the number of a hold; writ hold list shows them", args[0])
			}
			if err := who(); err != nil {
				return err
			}
			db, err := openData(c.Context(), data)
			if err != nil {
				return err
			}
			defer db.Close()
			switch err := db.Release(c.Context(), id, by, why); {
			case errors.Is(err, agent.ErrNotFound):
				return failf(exitIncomplete, "not_found", "there is no hold %d that stands; writ hold list shows them", id)
			case err != nil:
				return usage("%s", plain(err.Error()))
			}
			return a.done(map[string]any{"id": id}, func(w io.Writer) { fmt.Fprintf(w, "hold %d is removed\n", id) })
		},
	}
	c := group("hold", "Keep payloads from being erased, for as long as a legal hold stands", flags(add, true), flags(ls, false), flags(remove, true))
	return c
}

func day(ms int64) string { return time.UnixMilli(ms).UTC().Format("2006-01-02") }
