package main

import (
	"context"
	"errors"
	"fmt"
	"io"
	"io/fs"
	"net/http"
	"os"
	"path/filepath"
	"time"

	"github.com/ethereum/go-ethereum/ethclient"
	"github.com/spf13/cobra"

	"github.com/writ-run/writ/internal/config"
	"github.com/writ-run/writ/provenance/ipfs"
)

// A finding is one thing that was looked at. Fix is set if it is not well.
type finding struct {
	Name   string `json:"name"`
	OK     bool   `json:"ok"`
	Detail string `json:"detail"`
	Fix    string `json:"fix,omitempty"`

	Account *accountLook `json:"account,omitempty"` // of a wallet
}

func found(name string, ok bool, detail, fix string) finding {
	return finding{Name: name, OK: ok, Detail: detail, Fix: fix}
}

func (a *app) doctorCommand() *cobra.Command {
	var file string
	var wallets []string
	c := &cobra.Command{
		Use: "doctor", Short: "Look for what is wrong here, and name the fix", Args: cobra.NoArgs,
		Long: "Looks at the settings, the data folder, the key files, the port, the chain, the wallets, the model server, the clock\nand the saved session. Changes nothing.\n\nOf each wallet that may sign in, and of each --wallet, it says what kind of account it is, which endpoints say so, and\nwhat they would be asked at its sign-in.",
		RunE: func(c *cobra.Command, _ []string) error {
			all, bad := a.examine(c.Context(), file, wallets), 0
			for _, f := range all {
				if !f.OK {
					bad++
				}
			}
			text := func(w io.Writer) {
				p := paint(a.color(w))
				for _, f := range all {
					mark := p.green("ok ")
					if !f.OK {
						mark = p.red("BAD")
					}
					fmt.Fprintf(w, "%s %-10s %s\n", mark, f.Name, plain(f.Detail))
					if f.Fix != "" {
						fmt.Fprintf(w, "               fix: %s\n", f.Fix)
					}
				}
			}
			v := map[string]any{"checks": all}
			if bad == 0 {
				return a.done(v, text)
			}
			if !a.json {
				text(a.out)
			}
			f := failf(exitInternal, "unwell", "%d of %d checks are bad", bad, len(all))
			f.result = v
			return f
		},
	}
	c.Flags().StringArrayVar(&wallets, "wallet", nil, "look at this `wallet` too: 0x..., or eip155:CHAIN:0x...; may be repeated")
	c.Flags().StringVar(&file, "config", "", "configuration `file` (default writ.yaml, if it is there)")
	return c
}

func (a *app) examine(ctx context.Context, file string, wallets []string) []finding {
	cfg, err := loadConfig(file, nil)
	if err != nil {
		return []finding{found("settings", false, err.Error(), "correct the file; writ config validate checks it")}
	}
	all := []finding{found("settings", true, "in order", ""), dataFinding(cfg.Data)}
	for _, name := range []string{"operator.key", "dev-wallet.key"} {
		if f, ok := keyFinding(filepath.Join(cfg.Data, name)); ok {
			all = append(all, f)
		}
	}
	all = append(all, portFinding(ctx, cfg), chainFinding(ctx, cfg))
	all = append(all, walletFindings(ctx, cfg, wallets)...)
	for _, m := range cfg.Models {
		all = append(all, modelFinding(ctx, m))
	}
	if cfg.IPFS.API != "" {
		all = append(all, kuboFinding(ctx, cfg))
	}
	return append(all, clockFinding(time.Now()), a.sessionFinding())
}

func dataFinding(dir string) finding {
	f := finding{Name: "data", OK: true, Detail: dir}
	probe, err := os.CreateTemp(dir, ".writ-doctor-*")
	switch {
	case errors.Is(err, fs.ErrNotExist):
		f.Detail += " is not there yet; the server makes it"
	case err != nil:
		f.OK, f.Detail, f.Fix = false, err.Error(), "make the folder yours and writable, or give another: data in the configuration"
	default:
		probe.Close()
		os.Remove(probe.Name())
		f.Detail += " is writable"
	}
	return f
}

func keyFinding(path string) (finding, bool) {
	info, err := os.Stat(path)
	if err != nil {
		return finding{}, false
	}
	f := finding{Name: "key file", OK: true, Detail: path}
	if info.Mode().Perm()&0o077 != 0 {
		f.OK, f.Fix = false, "chmod 600 "+path
		f.Detail += " can be read by others"
	}
	return f, true
}

func portFinding(ctx context.Context, cfg *config.Config) finding {
	f := finding{Name: "port", OK: true, Detail: cfg.Listen + " is free"}
	ln, err := listen(ctx, cfg.Listen)
	if err == nil {
		ln.Close()
		return f
	}
	ctx, cancel := context.WithTimeout(ctx, 2*time.Second)
	defer cancel()
	if status(ctx, "http://"+cfg.Listen+"/healthz") == http.StatusOK {
		f.Detail = "a server runs at " + cfg.Listen
		if status(ctx, "http://"+cfg.Listen+"/readyz") != http.StatusOK {
			f.OK, f.Detail, f.Fix = false, f.Detail+", but is not ready", "look at its log; often its chain does not answer"
		}
		return f
	}
	return found("port", false, err.Error(), "stop what listens there, or set listen to another port")
}

// status returns the HTTP status of a page, or 0.
func status(ctx context.Context, url string) int {
	req, err := http.NewRequestWithContext(ctx, http.MethodGet, url, nil)
	if err != nil {
		return 0
	}
	resp, err := http.DefaultClient.Do(req)
	if err != nil {
		return 0
	}
	resp.Body.Close()
	return resp.StatusCode
}

func chainFinding(ctx context.Context, cfg *config.Config) finding {
	if len(cfg.Chain.RPC) == 0 {
		return found("chain", false, "none is set", "set chain.rpc; writ devchain runs one, writ dev has one of its own")
	}
	ctx, cancel := context.WithTimeout(ctx, 3*time.Second)
	defer cancel()
	bad := found("chain", false, "chain.rpc does not answer", "start the chain (writ devchain), or correct chain.rpc") // URLs may hold keys
	node, err := ethclient.DialContext(ctx, cfg.Chain.RPC[0])
	if err != nil {
		return bad
	}
	defer node.Close()
	id, err := node.ChainID(ctx)
	if err != nil {
		return bad
	}
	h, err := node.HeaderByNumber(ctx, nil)
	if err != nil {
		return bad
	}
	if late := time.Since(time.Unix(int64(h.Time), 0)); late < -time.Minute {
		return found("chain", false, "its newest block is from the future, by "+(-late).Round(time.Second).String(), "set this machine's clock")
	}
	return found("chain", true, fmt.Sprintf("chain %s answers, block %s", id, h.Number), "")
}

func modelFinding(ctx context.Context, m config.Model) finding {
	ctx, cancel := context.WithTimeout(ctx, 3*time.Second)
	defer cancel()
	switch s := status(ctx, m.URL+"/models"); {
	case s == 0:
		return found("model", false, m.Name+" does not answer", "start the model server, or take the model out of the configuration; rules answer without it")
	case s == http.StatusUnauthorized || s == http.StatusForbidden:
		if m.Key == "" {
			return found("model", false, m.Name+" wants a key", "set its key, as file:PATH or env:NAME")
		}
	}
	return found("model", true, m.Name+" answers", "")
}

// clockFinding knows only that the clock cannot be before this program was written.
func kuboFinding(ctx context.Context, cfg *config.Config) finding {
	auth, err := "", error(nil)
	if cfg.IPFS.Auth != "" {
		auth, err = cfg.IPFS.Auth.Reveal()
	}
	if err != nil {
		return found("ipfs", false, err.Error(), "correct ipfs.auth")
	}
	ctx, cancel := context.WithTimeout(ctx, 5*time.Second)
	defer cancel()
	kubo, err := ipfs.NewKubo(cfg.IPFS.API, auth)
	var version string
	if err == nil {
		version, err = kubo.Version(ctx)
	}
	if err != nil {
		return found("ipfs", false, err.Error(), "start Kubo, or correct ipfs.api; until then records wait and nothing is lost")
	}
	return found("ipfs", true, "Kubo "+version+" answers", "")
}

func clockFinding(now time.Time) finding {
	if now.Year() < 2026 {
		return found("clock", false, "the clock says "+now.UTC().Format(time.RFC3339), "set the clock; sessions and approvals have times")
	}
	return found("clock", true, now.UTC().Format(time.RFC3339), "")
}

func (a *app) sessionFinding() finding {
	var s saved
	err := a.load("session.json", &s)
	switch {
	case errors.Is(err, fs.ErrNotExist):
		return found("session", true, "none is saved", "")
	case err != nil:
		return found("session", false, err.Error(), "writ login")
	case time.Now().UnixMilli() >= s.Expires:
		return found("session", false, "the saved one has ended", "writ login")
	}
	home, err := a.home()
	if err != nil {
		return found("session", false, err.Error(), "set WRIT_HOME")
	}
	if info, err := os.Stat(filepath.Join(home, "session.json")); err == nil && info.Mode().Perm()&0o077 != 0 {
		return found("session", false, "session.json can be read by others", "chmod 600 "+filepath.Join(home, "session.json"))
	}
	return found("session", true, s.Account+" at "+s.Server+" until "+clock(s.Expires), "")
}
