// Package doctor is the command that looks for what is wrong on a machine, and names the fix. It changes nothing.
package doctor

import (
	"context"
	"errors"
	"fmt"
	"io"
	"io/fs"
	"net/http"
	"os"
	"path/filepath"
	"slices"
	"time"

	"github.com/ethereum/go-ethereum/crypto"
	"github.com/ethereum/go-ethereum/ethclient"
	"github.com/spf13/cobra"

	"github.com/writ-run/writ/internal/cli"
	"github.com/writ-run/writ/internal/cli/evidence"
	"github.com/writ-run/writ/internal/config"
	"github.com/writ-run/writ/internal/datadir"
	"github.com/writ-run/writ/internal/node"
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

func findingOf(name string, ok bool, detail, fix string) finding {
	return finding{Name: name, OK: ok, Detail: detail, Fix: fix}
}

// Command is writ doctor.
func Command(sh *cli.Shell) *cobra.Command {
	var file string
	var wallets []string
	c := &cobra.Command{
		Use: "doctor", Short: "Look for what is wrong here, and name the fix", Args: cobra.NoArgs,
		Long: "Looks at the settings, the data folder, the key files, the port, the chain, its tokens, the wallets, " +
			"the model\nserver, the clock and the saved session. Changes nothing.\n\nOf each wallet that may sign in, and " +
			"of each --wallet, it says what kind of account it is, which endpoints say so, and\nwhat they would be asked " +
			"at its sign-in.",
		RunE: func(c *cobra.Command, _ []string) error {
			return tellFindings(sh, examineAll(c.Context(), sh, file, wallets))
		},
	}
	c.Flags().StringArrayVar(&wallets, "wallet", nil,
		"look at this `wallet` too: 0x..., or eip155:CHAIN:0x...; may be repeated")
	c.Flags().StringVar(&file, "config", "", "configuration `file` (default writ.yaml, if it is there)")
	return c
}

// tellFindings prints what was found. It is an error if something is bad.
func tellFindings(sh *cli.Shell, all []finding) error {
	bad := 0
	for _, f := range all {
		if !f.OK {
			bad++
		}
	}
	text := func(w io.Writer) {
		p := cli.Paint(sh.Color(w))
		for _, f := range all {
			mark := p.Green("ok ")
			if !f.OK {
				mark = p.Red("BAD")
			}
			fmt.Fprintf(w, "%s %-10s %s\n", mark, f.Name, cli.Plain(f.Detail))
			if f.Fix != "" {
				fmt.Fprintf(w, "               fix: %s\n", f.Fix)
			}
		}
	}
	v := map[string]any{"checks": all}
	if bad == 0 {
		return sh.Done(v, text)
	}
	if !sh.JSON {
		text(sh.Out)
	}
	f := cli.Failf(cli.ExitInternal, "unwell", "%d of %d checks are bad", bad, len(all))
	f.Result = v
	return f
}

func examineAll(ctx context.Context, sh *cli.Shell, file string, wallets []string) []finding {
	cfg, err := cli.ReadSettings(ctx, file, nil)
	if err != nil {
		return []finding{findingOf("settings", false, err.Error(), "correct the file; writ config validate checks it")}
	}
	return withSettings(settingsFinding(ctx, cfg), examineEach(ctx, sh, cfg, wallets))
}

// settingsFinding says what keeps a server from starting with the settings.
func settingsFinding(ctx context.Context, cfg *config.Config) finding {
	if err := cli.Rehearse(ctx, cfg); err != nil {
		return findingOf("settings", false, err.Error(), "correct it; writ serve does not start, and writ config validate "+
			"checks it")
	}
	return findingOf("settings", true, "in order", "")
}

// withSettings puts what is wrong with the settings first, unless another finding says the same.
func withSettings(f finding, all []finding) []finding {
	if slices.ContainsFunc(all, func(x finding) bool { return !x.OK && !f.OK && x.Detail == f.Detail }) {
		return all
	}
	return append([]finding{f}, all...)
}

// examineEach looks at one thing after the other.
func examineEach(ctx context.Context, sh *cli.Shell, cfg *config.Config, wallets []string) []finding {
	all := []finding{dataFinding(cfg.Data)}
	for _, v := range config.UnknownVariables(os.Environ(), cfg) {
		all = append(all, findingOf("environment", false, v.String(), "correct or unset it; writ serve does not start"))
	}
	files := cfg.SecretFiles()
	if f := os.Getenv("WRIT_PASSWORD_FILE"); f != "" {
		files = append(files, f)
	}
	for _, path := range datadir.ExposedSecrets(cfg.Data, files) {
		all = append(all, findingOf("key file", false, path+" can be read by others", datadir.HideSecret(path)))
	}
	all = append(all, portFinding(ctx, cfg), chainFinding(ctx, cfg))
	if f, ok := accountFinding(ctx, cfg); ok {
		all = append(all, f)
	}
	all = append(all, tokenFindings(ctx, cfg)...)
	all = append(all, walletFindings(ctx, cfg, wallets)...)
	for _, m := range cfg.Models {
		all = append(all, modelFinding(ctx, m))
	}
	if len(cfg.Documents) > 0 {
		all = append(all, documentFindings(cfg)...)
	}
	all = append(all, followFindings(ctx, cfg, time.Now())...)
	if cfg.IPFS.API != "" {
		all = append(all, kuboFinding(ctx, cfg))
	}
	if f, ok := stuckFinding(ctx, cfg); ok {
		all = append(all, f)
	}
	return append(all, clockFinding(time.Now()), sessionFinding(sh))
}

func dataFinding(dir string) finding {
	f := finding{Name: "data", OK: true, Detail: dir}
	if _, err := datadir.CheckStore(dir); err != nil {
		return findingOf("data", false, err.Error(), "do so before writ serve, which refuses it too")
	}
	probe, err := os.CreateTemp(dir, ".writ-doctor-*")
	switch {
	case errors.Is(err, fs.ErrNotExist):
		f.Detail += " is not there yet; the server makes it"
	case err != nil:
		f.OK, f.Detail, f.Fix = false, err.Error(), "make the folder yours and writable, or give another: data in the "+
			"configuration"
	default:
		probe.Close()
		os.Remove(probe.Name())
		f.Detail += " is writable"
	}
	return f
}

// stuckFinding says whether a transaction of an open run is stuck, if there is a data folder with runs.
func stuckFinding(ctx context.Context, cfg *config.Config) (finding, bool) {
	if there, err := datadir.CheckStore(cfg.Data); err != nil || !there { // as the finding of the folder says
		return finding{}, false
	}
	db, err := evidence.OpenData(ctx, cfg.Data)
	if err != nil {
		return findingOf("payments", false, err.Error(), "writ attention says more"), true
	}
	defer db.Close()
	l := &look{cfg: cfg, data: cfg.Data, now: time.Now()}
	if err := l.examineRuns(ctx, db); err != nil {
		return findingOf("payments", false, err.Error(), "writ attention says more"), true
	}
	if err := l.examineNonces(ctx, db); err != nil {
		return findingOf("payments", false, err.Error(), "writ attention says more"), true
	}
	if err := l.examineReversals(ctx, db); err != nil {
		return findingOf("payments", false, err.Error(), "writ attention says more"), true
	}
	for _, n := range l.needs {
		if n.Kind == needStuck || n.Kind == needNonce || n.Kind == needReversal {
			return findingOf("payments", false, n.Detail, n.Next), true
		}
	}
	return findingOf("payments", true, "none is stuck, and none that was final is gone", ""), true
}

func portFinding(ctx context.Context, cfg *config.Config) finding {
	f := finding{Name: "port", OK: true, Detail: cfg.Listen + " is free"}
	ln, err := cli.Listen(ctx, cfg.Listen)
	if err == nil {
		ln.Close()
		return f
	}
	ctx, cancel := context.WithTimeout(ctx, 2*time.Second)
	defer cancel()
	url, client := serverOf(cfg)
	if readStatus(ctx, client, url+"/healthz") == http.StatusOK {
		f.Detail = "a server runs at " + cfg.Listen
		if readStatus(ctx, client, url+"/readyz") != http.StatusOK {
			f.OK, f.Detail = false, f.Detail+", but is not ready"
			f.Fix = "look at its log: its chain may not answer, its disk may be full"
		}
		return f
	}
	return findingOf("port", false, err.Error(), "stop what listens there, or set listen to another port")
}

func chainFinding(ctx context.Context, cfg *config.Config) finding {
	if len(cfg.Chain.RPC) == 0 {
		return findingOf("chain", false, "none is set", "set chain.rpc; writ devchain runs one, writ dev has one of its own")
	}
	var says string
	for i, url := range cfg.Chain.RPC {
		where := "chain.rpc"
		if len(cfg.Chain.RPC) > 1 {
			where = fmt.Sprintf("endpoint %d of chain.rpc", i+1) // URLs may hold keys
		}
		f := endpointFinding(ctx, cfg, url, where)
		if !f.OK {
			return f
		}
		says = f.Detail
	}
	return findingOf("chain", true, says, "")
}

// accountFinding looks at the agents' account: it pays the fees.
func accountFinding(ctx context.Context, cfg *config.Config) (finding, bool) {
	if len(cfg.Chain.RPC) == 0 {
		return finding{}, false
	}
	c, err := node.ChainOf(cfg)
	if err != nil {
		return findingOf("account", false, err.Error(), "correct chain.key and what stands with it"), true
	}
	if c.Key == nil {
		if who, tool := namesPayingTool(cfg); who != "" {
			return findingOf("account", false,
				fmt.Sprintf("chain.key is not set, and the agent %s names %s, which pays", who, tool),
				"writ wallet new agent.key and chain.key: file:agent.key, or take "+who+" out of agents"), true
		}
		return findingOf("account", true, "chain.key is not set: agents read, and pay nothing", ""), true
	}
	at := crypto.PubkeyToAddress(c.Key.PublicKey)
	ctx, cancel := context.WithTimeout(ctx, 3*time.Second)
	defer cancel()
	client, err := ethclient.DialContext(ctx, cfg.Chain.RPC[0])
	if err != nil {
		return finding{}, false // the finding of the chain says so
	}
	defer client.Close()
	wei, err := client.BalanceAt(ctx, at, nil)
	if err != nil {
		return finding{}, false
	}
	if wei.Sign() == 0 {
		return findingOf("account", false, "the agents' account "+at.Hex()+" has nothing to pay fees with",
			"send it some of the chain's own coin"), true
	}
	return findingOf("account", true, "the agents pay from "+at.Hex(), ""), true
}

// namesPayingTool returns an agent that the server could not start with as long as no account pays.
func namesPayingTool(cfg *config.Config) (agent, tool string) {
	all, err := node.Agents(cfg.Agents, cfg.Chain.Number())
	if err != nil {
		return "", "" // the settings say so
	}
	for _, d := range all {
		for _, name := range d.Tools {
			if slices.Contains([]string{"erc20.transfer", "tx.simulate"}, name) {
				return d.Name, name
			}
		}
	}
	return "", ""
}

func modelFinding(ctx context.Context, m config.Model) finding {
	ctx, cancel := context.WithTimeout(ctx, 3*time.Second)
	defer cancel()
	switch s := readStatus(ctx, http.DefaultClient, m.URL+"/models"); {
	case s == 0:
		return findingOf("model", false, m.Name+" does not answer",
			"start the model server, or take the model out of the configuration; rules answer without it")
	case s == http.StatusUnauthorized || s == http.StatusForbidden:
		if m.Key == "" {
			return findingOf("model", false, m.Name+" wants a key", "set its key, as file:PATH or env:NAME")
		}
	}
	return findingOf("model", true, m.Name+" answers", "")
}

// documentFindings says which documents agents can search, and names those that are left out.
func documentFindings(cfg *config.Config) []finding {
	docs, skipped, err := node.ReadDocuments(cfg.Documents)
	if err != nil {
		return []finding{findingOf("documents", false, err.Error(), "correct documents in the settings, or the files")}
	}
	if len(skipped) == 0 {
		return []finding{findingOf("documents", true, cli.Count(len(docs), "document"), "")}
	}
	var all []finding
	for _, x := range skipped {
		all = append(all, findingOf("documents", false, fmt.Sprintf("%s/%s is left out, and nobody finds it: %s", x.Source,
			x.Name, x.Why), "mend or move the file, and restart the server"))
	}
	return all
}

// clockFinding knows only that the clock cannot be before this program was written.
func kuboFinding(ctx context.Context, cfg *config.Config) finding {
	auth, err := "", error(nil)
	if cfg.IPFS.Auth != "" {
		auth, err = cfg.IPFS.Auth.Reveal()
	}
	if err != nil {
		return findingOf("ipfs", false, err.Error(), "correct ipfs.auth")
	}
	ctx, cancel := context.WithTimeout(ctx, 5*time.Second)
	defer cancel()
	kubo, err := ipfs.NewKubo(cfg.IPFS.API, auth)
	var version string
	if err == nil {
		version, err = kubo.Version(ctx)
	}
	if err != nil {
		return findingOf("ipfs", false, err.Error(),
			"start Kubo, or correct ipfs.api; until then records wait and nothing is lost")
	}
	return findingOf("ipfs", true, "Kubo "+version+" answers", "")
}

func clockFinding(now time.Time) finding {
	if now.Year() < 2026 {
		return findingOf("clock", false, "the clock says "+now.UTC().Format(time.RFC3339),
			"set the clock; sessions and approvals have times")
	}
	return findingOf("clock", true, now.UTC().Format(time.RFC3339), "")
}

func sessionFinding(sh *cli.Shell) finding {
	var s cli.SavedSession
	err := sh.Load("session.json", &s)
	switch {
	case errors.Is(err, fs.ErrNotExist):
		return findingOf("session", true, "none is saved", "")
	case err != nil:
		return findingOf("session", false, err.Error(), "writ login")
	case time.Now().UnixMilli() >= s.Expires:
		return findingOf("session", false, "the saved one has ended", "writ login")
	}
	home, err := sh.HomeDir()
	if err != nil {
		return findingOf("session", false, err.Error(), "set WRIT_HOME")
	}
	if info, err := os.Stat(filepath.Join(home, "session.json")); err == nil && info.Mode().Perm()&0o077 != 0 {
		return findingOf("session", false, "session.json can be read by others",
			"chmod 600 "+filepath.Join(home, "session.json"))
	}
	return findingOf("session", true, s.Account+" at "+s.Server+" until "+cli.Clock(s.Expires), "")
}
