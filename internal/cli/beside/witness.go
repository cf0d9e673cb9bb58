package beside

import (
	"context"
	"crypto/ed25519"
	"fmt"
	"io"
	"os"
	"path/filepath"
	"slices"
	"strings"

	"github.com/spf13/cobra"

	"github.com/writ-run/writ/internal/cli"
	"github.com/writ-run/writ/internal/datadir"
	"github.com/writ-run/writ/internal/node"
	"github.com/writ-run/writ/internal/telemetry"
	"github.com/writ-run/writ/provenance/logproof"
	"github.com/writ-run/writ/provenance/translog/witness"
)

// A witnessReady is what a witness says when logs can come.
type witnessReady struct {
	URL    string   `json:"url"`
	Listen string   `json:"listen"`
	Key    string   `json:"key"`    // name+hash+key, for policies
	Policy string   `json:"policy"` // a line of c2sp.org/tlog-policy that names it
	Logs   []string `json:"logs"`   // the origins that it cosigns
}

// witnessOptions are the flags of writ witness.
type witnessOptions struct {
	data, name, addr, readyFile string
	logs, fresh                 []string
}

// Witness is writ witness.
func Witness(a *cli.Shell) *cobra.Command {
	var o witnessOptions
	c := &cobra.Command{
		Use: "witness --log VKEY", Short: "Cosign the checkpoints of logs, as somebody else than their operator",
		Long: `Runs a witness (c2sp.org/tlog-witness): it remembers the newest checkpoint of each log that it knows, and
cosigns the next one only if nothing of the one before was changed or taken away. Who asks for the cosignatures of
witnesses that they trust knows that the log shows everybody the same history. A witness sees sizes and roots, and
nothing of what is logged.

--log is a log's key, origin+hash+key as its server says it at /log/, or a file of such lines; it may be given several
times. The key of the witness and what it remembers are in --data. Never give one key two memories, and never restore
an older one: it could then cosign a second history. A checkpoint that a log signed against what is remembered is kept
as a .convicted file: with the .checkpoint beside it, it is the proof.

A witness that has its key already and remembers nothing of a log does not begin with that log: the memory may be lost.
If it has never cosigned a checkpoint of that log, say so with --new-log ORIGIN, once.

The line that it prints goes into the log's policy file (transparency.witnesses) and into those of verifiers
(writ-audit verify --witness-policy). It listens on this machine only unless --listen says otherwise; put TLS before
it.`,
		Args: cobra.NoArgs,
		RunE: func(c *cobra.Command, _ []string) error { return o.serve(c.Context(), a) },
	}
	f := c.Flags()
	f.StringVar(&o.data, "data", "", "`folder` of the witness's key and memory")
	f.StringArrayVar(&o.logs, "log", nil, "a log's `key`, or a file of keys; may be given several times")
	f.StringArrayVar(&o.fresh, "new-log", nil,
		"`origin` of a log of which this key has never cosigned anything; may be given several times")
	f.StringVar(&o.name, "name", "", "the witness's `name`, best a URL without scheme (default: made of its key)")
	f.StringVar(&o.addr, "listen", "127.0.0.1:8422", "`host:port` to listen on; port 0 takes a free one")
	f.StringVar(&o.readyFile, "ready-file", "", "`file` to write when logs can come")
	return c
}

func (o *witnessOptions) serve(ctx context.Context, a *cli.Shell) error {
	if o.data == "" {
		return cli.Usage("say where the key and the memory of the witness shall be: --data DIR")
	}
	keys, err := witnessedLogs(o.logs)
	if err != nil {
		return err
	}
	lock, err := datadir.Lock(o.data)
	if err != nil {
		return err
	}
	defer lock.Unlock()
	w, err := o.openWitness(a, keys)
	if err != nil {
		return err
	}
	ln, err := cli.Listen(ctx, o.addr)
	if err != nil {
		return err
	}
	a.UntilSignal = true
	r := witnessReady{URL: "http://" + ln.Addr().String(), Listen: ln.Addr().String(), Key: w.VKey()}
	r.Policy = fmt.Sprintf("witness %s %s %s", strings.ReplaceAll(o.name, "/", "-"), r.Key, r.URL)
	for _, k := range keys {
		r.Logs = append(r.Logs, k.Origin())
	}
	err = cli.WriteReady(o.readyFile, r)
	if err == nil {
		err = a.Done(r, func(w io.Writer) {
			fmt.Fprintf(w, "a witness of %s at %s\n%s\n", strings.Join(r.Logs, ", "), r.URL, r.Policy)
		})
	}
	if err != nil {
		ln.Close()
		return err
	}
	return serveHTTP(ctx, ln, w)
}

// openWitness makes the witness of the key and the memory in the data folder.
func (o *witnessOptions) openWitness(a *cli.Shell, keys []logproof.Key) (*witness.Witness, error) {
	_, err := os.Stat(filepath.Join(o.data, "witness.key"))
	old := err == nil
	key, err := datadir.Key(o.data, "witness")
	if err != nil {
		return nil, err
	}
	if o.name == "" {
		o.name = fmt.Sprintf("writ/witness/%x", key.Public().(ed25519.PublicKey)[:8])
	}
	memory := filepath.Join(o.data, "logs")
	if err := os.MkdirAll(memory, 0o700); err != nil {
		return nil, cli.Usage("the memory of the witness cannot be made: %s", err)
	}
	log, err := telemetry.Log(a.Err, "info", "auto")
	if err != nil {
		return nil, err
	}
	w, err := witness.New(witness.Config{Name: o.name, Key: key, Logs: keys, Keep: witness.Folder(memory), Log: log})
	if err != nil {
		return nil, cli.Failf(cli.ExitIntegrity, "witness", "%s", err)
	}
	return w, checkFresh(w, keys, o.fresh, old)
}

// checkFresh refuses to begin at nothing with a log that the witness may have cosigned: it has its key already, nothing
// is remembered, and its operator has not said that the log is new to it.
func checkFresh(w *witness.Witness, keys []logproof.Key, fresh []string, old bool) error {
	for _, origin := range fresh {
		if !slices.ContainsFunc(keys, func(k logproof.Key) bool { return k.Origin() == origin }) {
			return cli.Usage("--new-log %s: no --log has that origin", cli.Plain(origin))
		}
	}
	for _, k := range keys {
		if old && !w.Remembers(k.Origin()) && !slices.Contains(fresh, k.Origin()) {
			return cli.Failf(cli.ExitIntegrity, "witness",
				"the witness has its key but remembers nothing of %s; restore its memory, or, if it has never cosigned that log, "+
					"give --new-log %s",
				cli.Plain(k.Origin()), cli.Plain(k.Origin()))
		}
	}
	return nil
}

// witnessedLogs reads the keys of logs: each is one, or a file of some, one a line.
func witnessedLogs(list []string) ([]logproof.Key, error) {
	var keys []logproof.Key
	for _, s := range list {
		lines := []string{s}
		if strings.Count(s, "+") < 2 {
			src, err := node.ReadSource(s)
			if err != nil {
				return nil, err
			}
			lines = strings.Split(string(src), "\n")
		}
		for _, line := range lines {
			if line = strings.TrimSpace(line); line == "" || strings.HasPrefix(line, "#") {
				continue
			}
			k, err := logproof.ParseKey(line)
			if err != nil {
				return nil, cli.Usage("--log: %s", err)
			}
			keys = append(keys, k)
		}
	}
	if len(keys) == 0 {
		return nil, cli.Usage("say whose checkpoints are cosigned: --log with the key that the log's server says at /log/")
	}
	return keys, nil
}
