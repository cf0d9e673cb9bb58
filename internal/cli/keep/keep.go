// Package keep has the commands with which an operator keeps a data folder: copies of it, folders made of copies, and
// the log where it cannot be carried on.
package keep

import (
	"context"
	"crypto/ecdsa"
	"errors"
	"fmt"
	"io"
	"os"
	"strings"

	"filippo.io/age"
	"github.com/ethereum/go-ethereum/common"
	"github.com/ethereum/go-ethereum/crypto"
	"github.com/spf13/cobra"

	"github.com/writ-run/writ/internal/backup"
	"github.com/writ-run/writ/internal/cli"
	"github.com/writ-run/writ/internal/config"
	"github.com/writ-run/writ/internal/eth/pool"
	"github.com/writ-run/writ/internal/node"
	"github.com/writ-run/writ/provenance/logproof"
)

// Backup is writ backup. program is the version that a manifest names.
func Backup(a *cli.Shell, program string) *cobra.Command {
	var data string
	var to []string
	c := &cobra.Command{
		Use: "backup FILE|FOLDER [--data DIR]", Short: "Copy a data folder while its server runs",
		Long: `Copies the store of a data folder as it is at one moment, and the documents that agents search, while a server
uses them, into one file; in a folder the file gets a name by the time. It is signed by the operator's key and read again before it stands under its name.

The store holds the keys of sealed payloads, so keep a backup as secret as the folder. The operator's key and the
folder's other keys are left out, unless --to names an age recipient (age1..., from age-keygen) to whom they are
sealed. The log's files are left out: they are built again from the store.

  writ backup /backups --data writ-data --to age1...
  writ backup check /backups/writ-20261128T180000Z.backup
  writ restore /backups/writ-20261128T180000Z.backup --data new-data --identity key.txt`,
		Args: cobra.ExactArgs(1),
		RunE: func(c *cobra.Command, args []string) error {
			data, _, err := a.FindData(data)
			if err != nil {
				return err
			}
			readers, err := parseReaders(to)
			if err != nil {
				return err
			}
			path, m, err := backup.Make(c.Context(), backup.Making{
				Data: data, To: args[0], Program: program, Readers: readers, Tell: tellProgress(a),
			})
			if err != nil {
				return err
			}
			return doneBackup(a, "wrote", path, m)
		},
	}
	c.Flags().StringVar(&data, "data", "", "data `folder` of the server (default: that of writ.yaml)")
	c.Flags().StringSliceVar(&to, "to", nil, "age `recipient` to whom the folder's keys are sealed; repeatable")
	c.AddCommand(backupCheckCommand(a))
	return c
}

func parseReaders(names []string) ([]age.Recipient, error) {
	readers := make([]age.Recipient, len(names))
	for i, name := range names {
		var err error
		if readers[i], err = age.ParseX25519Recipient(name); err != nil {
			return nil, cli.Usage("--to %q is no age recipient; it begins with age1, age-keygen makes one", name)
		}
	}
	return readers, nil
}

func backupCheckCommand(a *cli.Shell) *cobra.Command {
	var operator string
	c := &cobra.Command{
		Use: "check FILE", Short: "Look at all of a backup: signature, digests, and every block and step in it",
		Args: cobra.ExactArgs(1),
		RunE: func(c *cobra.Command, args []string) error {
			m, err := backup.Check(c.Context(), args[0], operator, tellProgress(a))
			if err != nil {
				return err
			}
			return doneBackup(a, "checked", args[0], m)
		},
	}
	c.Flags().StringVar(&operator, "operator-key", "", "public `key` that must have signed it, 64 hex digits")
	return c
}

func doneBackup(a *cli.Shell, verb, path string, m backup.Manifest) error {
	v := struct {
		File string `json:"file"`
		backup.Manifest
	}{path, m}
	return a.Done(v, func(w io.Writer) {
		fmt.Fprintf(w, "%s %s: %s (%d open), %s of the log, as of %s; operator key %s\n", verb, path,
			cli.Count(int(m.Holds.Runs), "run"), m.Holds.Open, countEntries(m.Holds.Entries), m.Made, m.Operator)
		if m.Documents > 0 {
			fmt.Fprintf(w, "and %s that agents search\n", cli.Count(int(m.Documents), "document"))
		}
		if m.Keys == "sealed" {
			fmt.Fprintln(w, "its keys are sealed; who has the identity can restore it")
		} else {
			fmt.Fprintln(w, "the operator's key is not in it: keep a copy of operator.key apart, without it nothing is restored")
		}
	})
}

func countEntries(n int64) string {
	if n == 1 {
		return "1 entry"
	}
	return fmt.Sprintf("%d entries", n)
}

// tellProgress says how far long work has come, at each tenth of it.
func tellProgress(a *cli.Shell) func(what string, done, total int64) {
	const long = 64 << 20
	last, at := "", int64(-1)
	return func(what string, done, total int64) {
		if strings.HasPrefix(what, "copying pages") {
			if total < long/4096 {
				return
			}
		} else if total < long {
			return
		}
		if tenth := done * 10 / max(total, 1); what != last || tenth != at {
			last, at = what, tenth
			a.Note("%s: %d%%", what, tenth*10)
		}
	}
}

// A restorer performs writ restore; its fields are its flags.
type restorer struct {
	*cli.Shell
	data, file, identity, operator string
	rpc, seen                      []string
	noChain                        bool
}

// Restore is writ restore.
func Restore(a *cli.Shell) *cobra.Command {
	r := &restorer{Shell: a}
	c := &cobra.Command{
		Use: "restore FILE --data DIR", Short: "Make a data folder of a backup, without forgetting what was spent since",
		Long: `Makes a new data folder of a backup. What the server did after the backup is not in it, so

- what was reserved counts as spent, and open runs end;
- the chain is asked what the agents' account has sent since, which counts under every cap that outlives a session;
- all sessions are over: wallets sign in again, and what they revoked since stays revoked;
- the log goes on under another name, with a statement that the operator's key signs, because others may have seen
  what it has lost. Give what witnesses, clients or an anchor have seen with --seen; it is named there.

The chain comes from the settings, as for writ serve, or from --rpc. If it cannot be had, nothing is restored; with
--no-chain the caps that outlive a session count as used up. A restoration that is cut short leaves no data folder.`,
		Args: cobra.ExactArgs(1),
		RunE: func(c *cobra.Command, args []string) error { return r.restore(c.Context(), args[0]) },
	}
	f := c.Flags()
	f.StringVar(&r.data, "data", "", "`folder` to make; it must not be there, or be empty")
	f.StringVar(&r.file, "config", "", "configuration `file` of the server (default writ.yaml, if it is there)")
	f.StringArrayVar(&r.rpc, "rpc", nil, "JSON-RPC `URL` of the chain, in place of the configured ones; repeatable")
	f.BoolVar(&r.noChain, "no-chain", false, "ask no chain, and count every cap that outlives a session as used up")
	f.StringVar(&r.identity, "identity", "", "age identity `file` that opens the keys in the backup")
	f.StringVar(&r.operator, "operator-key", "", "`file` with a copy of operator.key, if the backup holds no keys")
	f.StringArrayVar(&r.seen, "seen", nil, "`file` with a checkpoint of the log that others have; repeatable")
	return c
}

func (r *restorer) restore(ctx context.Context, file string) error {
	if r.data == "" {
		return cli.Usage("say where the data shall be: --data DIR")
	}
	flags := map[string]string{}
	if len(r.rpc) > 0 {
		flags["chain.rpc"] = strings.Join(r.rpc, ",")
	}
	cfg, err := node.ReadSettings(r.file, flags)
	if err != nil {
		return err
	}
	what := backup.Restoring{
		Backup: file, Data: r.data, Operator: r.operator, Origin: cfg.Transparency.Origin, Tell: tellProgress(r.Shell),
	}
	if what.Keys, err = readIdentities(r.identity); err != nil {
		return err
	}
	if what.Seen, err = readCheckpoints(r.seen); err != nil {
		return err
	}
	if !r.noChain {
		chain, endpoints, err := chainToAsk(cfg)
		if err != nil {
			return err
		}
		defer endpoints.Close()
		what.Chain = chain
	}
	done, err := backup.Restore(ctx, what)
	if err != nil {
		return err
	}
	return r.Done(done, func(w io.Writer) { writeRestored(w, done) })
}

func writeRestored(w io.Writer, r backup.Report) {
	fmt.Fprintf(w, "restored %s to %s, as it was at %s; what was done since is not in it\n",
		cli.Count(int(r.Backup.Holds.Runs), "run"), r.Data, r.Backup.Made)
	fmt.Fprintf(w, "ended: %s, %s; %s as spent\n", cli.Count(int(r.Ended.Sessions), "session"),
		cli.Count(int(r.Ended.Runs), "open run"), countAmounts(r.Ended.Reserved))
	if n := r.Backup.Documents; n > 0 {
		fmt.Fprintf(w, "%s as they were then: what was removed since, and who was shut out, is there again; "+
			"see writ docs ls\n", cli.Count(int(n), "document"))
	}
	switch {
	case r.Chain != "asked":
		fmt.Fprintln(w, "the chain was not asked: every cap that outlives a session counts as used up")
	case len(r.Sent) == 0:
		fmt.Fprintln(w, "the chain says that nothing was sent since")
	}
	for _, s := range r.Sent {
		to := ""
		if s.To != "" {
			to = " to " + s.To
		}
		fmt.Fprintf(w, "sent since, and counted as spent: %s%s\n", s.Amount, to)
	}
	writeEpoch(w, r)
}

func countAmounts(n int64) string {
	if n == 1 {
		return "1 reserved amount counts"
	}
	return fmt.Sprintf("%d reserved amounts count", n)
}

func writeEpoch(w io.Writer, r backup.Report) {
	fmt.Fprintf(w, "the log goes on as epoch %d from %s on; its key is now %s: tell it to auditors and witnesses\n",
		r.LogEpoch, countEntries(int64(r.LogGood)), r.LogKey)
	for _, n := range r.LogSeen {
		fmt.Fprintf(w, "known of the log that ended, and named in the statement: a state of %s\n", countEntries(int64(n)))
	}
	if r.Unbound {
		fmt.Fprintln(w, "the wallet's key binding was for the log that ended: writ key bind makes another")
	}
}

// chainToAsk returns the chain of the settings.
func chainToAsk(cfg *config.Config) (*backup.Chain, *pool.Pool, error) {
	chain, err := node.ChainOf(cfg)
	if err != nil {
		return nil, nil, err
	}
	p, err := pool.New(pool.Config{URLs: chain.URLs, Chain: chain.Book.Chain})
	if err != nil {
		return nil, nil, cli.Usage("%s", err)
	}
	return &backup.Chain{Ask: p, Book: chain.Book, Account: accountOf(chain.Key)}, p, nil
}

func accountOf(key *ecdsa.PrivateKey) common.Address {
	if key == nil {
		return common.Address{}
	}
	return crypto.PubkeyToAddress(key.PublicKey)
}

func readIdentities(file string) ([]age.Identity, error) {
	if file == "" {
		return nil, nil
	}
	f, err := os.Open(file)
	if err != nil {
		return nil, err
	}
	defer f.Close()
	ids, err := age.ParseIdentities(f)
	if err != nil {
		return nil, cli.Usage("the identity file is none of age's") // what is in it is not shown
	}
	return ids, nil
}

func readCheckpoints(files []string) (out [][]byte, err error) {
	for _, name := range files {
		f, err := os.Open(name)
		if err != nil {
			return nil, err
		}
		raw, err := io.ReadAll(io.LimitReader(f, logproof.MaxProof+1))
		if err := errors.Join(err, f.Close()); err != nil {
			return nil, err
		}
		if _, err := logproof.ParseCheckpoint(raw); err != nil {
			return nil, cli.Usage("%s is no checkpoint of a log, as /log/checkpoint serves it or a witness keeps it", name)
		}
		out = append(out, raw)
	}
	return out, nil
}

// Log is writ log.
func Log(a *cli.Shell) *cobra.Command {
	var data, file, why string
	var seen []string
	c := &cobra.Command{
		Use: "epoch --data DIR --why REASON", Short: "End a log that cannot be carried on, and begin the next one",
		Long: `For a server that does not start because its journal and its log do not say the same. The log ends where both last
did, and what it holds stays beside it (log.epoch-1, and so on). The journal's entries begin a new log under another
name and key line; its first new entry is a statement of that, which the operator's key signs as the log that ends and
which is served at /log/epoch/2. Nothing of either history is lost. The server must be stopped.`,
		Args: cobra.NoArgs,
		RunE: func(c *cobra.Command, _ []string) error {
			if data == "" || why == "" {
				return cli.Usage("say which and why: --data DIR --why REASON; the reason is published")
			}
			return endLog(c.Context(), a, file, data, why, seen)
		},
	}
	f := c.Flags()
	f.StringVar(&data, "data", "", "data `folder` of the server")
	f.StringVar(&file, "config", "", "configuration `file` of the server (default writ.yaml, if it is there)")
	f.StringVar(&why, "why", "", "the `reason`, one line; it is published")
	f.StringArrayVar(&seen, "seen", nil, "`file` with a checkpoint of the log that others have; repeatable")
	return cli.Group("log", "Keep the transparency log", c)
}

func endLog(ctx context.Context, a *cli.Shell, file, data, why string, seen []string) error {
	cfg, err := node.ReadSettings(file, nil)
	if err != nil {
		return err
	}
	known, err := readCheckpoints(seen)
	if err != nil {
		return err
	}
	done, err := backup.EndLog(ctx, data, cfg.Transparency.Origin, why, known)
	if err != nil {
		return err
	}
	v := struct {
		Data     string   `json:"data"`
		LogEpoch int      `json:"log_epoch"`
		LogKey   string   `json:"log_key"`
		LogGood  uint64   `json:"log_good"`
		LogSeen  []uint64 `json:"log_seen,omitempty"`
		Unbound  bool     `json:"unbound,omitempty"`
	}{done.Data, done.LogEpoch, done.LogKey, done.LogGood, done.LogSeen, done.Unbound}
	return a.Done(v, func(w io.Writer) { writeEpoch(w, done) })
}
