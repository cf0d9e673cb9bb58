package main

import (
	"context"
	"crypto/rand"
	"encoding/json"
	"fmt"
	"io"
	"net"
	"os"
	"os/exec"
	"path/filepath"
	"strings"
	"time"

	"github.com/spf13/cobra"

	"github.com/writ-run/writ/agent/wire"
	"github.com/writ-run/writ/auth"
	"github.com/writ-run/writ/internal/chain"
	"github.com/writ-run/writ/internal/client"
	"github.com/writ-run/writ/provenance"
	"github.com/writ-run/writ/tools"
	chaintools "github.com/writ-run/writ/tools/chain"
)

// A demoReport is what the demo ends with.
type demoReport struct {
	Seconds  float64   `json:"seconds"`
	Runs     []demoRun `json:"runs"`
	CAR      []string  `json:"car"`
	Verified bool      `json:"verified"`
	Complete bool      `json:"complete"` // completeness is established for each run, by receipt and log
	Tampered string    `json:"tampered"` // the reason code of the file with one byte flipped
	Replayed bool      `json:"replayed"`
	Folder   string    `json:"folder"`
}

type demoRun struct {
	Asked   string `json:"asked"`
	Run     string `json:"run"`
	CID     string `json:"cid"`     // of the signed head: the root of the exported file
	Outcome string `json:"outcome"` // answered, approved, denied, recovered
	Steps   uint64 `json:"steps"`
	Said    string `json:"said"`
}

func (a *app) demoCommand() *cobra.Command {
	var dir string
	c := &cobra.Command{
		Use: "demo", Short: "Tell the whole story once: sign in, act, be refused, survive, check",
		Long: `Tells one story on this machine, with real signatures, a real chain, a real database and real processes, without any
key or network: a wallet signs what an agent may do; the agent reads, pays after the wallet's approval, and is refused;
the server is killed in the middle of a payment and finishes it; and a stranger checks all of it from files, with the
server off. It leaves the files in a folder.`,
		Args: cobra.NoArgs,
		RunE: func(c *cobra.Command, _ []string) error {
			d := &demo{app: a, began: time.Now(), dir: dir, w: a.out}
			if a.json {
				d.w = a.err
			}
			d.paint = paint(a.color(d.w))
			d.teller = &teller{paint: d.paint, say: func(l string) { fmt.Fprintln(d.w, "  "+l) }}
			if err := d.tell(c.Context()); err != nil {
				return err
			}
			return a.done(d.report, nil)
		},
	}
	c.Flags().StringVar(&dir, "dir", "", "`folder` to leave the files in (default: a new one)")
	return c
}

type demo struct {
	*app
	w      io.Writer
	paint  paint
	teller *teller
	began  time.Time
	dir    string
	report demoReport

	chain  *gate
	server *child
	addr   string
	key    auth.PrivateKey
	wallet *auth.Wallet
	cl     *client.Client
	ready  serverReady
	sess   wire.Session
	tools  map[string]tools.Tool
}

func (d *demo) tell(ctx context.Context) (err error) {
	if d.dir == "" {
		if d.dir, err = os.MkdirTemp("", "writ-demo-"); err != nil {
			return err
		}
	} else if err := os.MkdirAll(d.dir, 0o700); err != nil {
		return usage("the folder %s cannot be made: %s", d.dir, err)
	}
	d.report.Folder = d.dir
	defer func() {
		if d.cl != nil {
			d.cl.Close()
		}
		if d.server != nil {
			d.server.stop()
		}
	}()
	d.title("writ demo", "a wallet signs, an agent acts, a stranger checks")
	dev, stop, err := d.start(ctx)
	if err != nil {
		return err
	}
	defer stop()
	defer d.chain.close()
	for _, part := range []func(context.Context) error{d.signIn, d.read, d.pay, d.refused, d.survive} {
		if err := part(ctx); err != nil {
			return err
		}
	}
	if err := d.check(ctx); err != nil {
		return err
	}
	d.report.Seconds = time.Since(d.began).Seconds()
	d.next(dev)
	if !d.report.Verified || !d.report.Complete || !d.report.Replayed || d.report.Tampered == "" {
		return &failure{exit: exitIntegrity, code: "demo", message: "the demo did not end as it should; the files are in " + d.dir, result: d.report}
	}
	return nil
}

// start starts the chain and the server, each a process of its own.
func (d *demo) start(ctx context.Context) (devchainReady, func(), error) {
	d.part(1, "Start", "a chain, a server and a wallet, made for this and thrown away after it")
	dev, stop, err := d.startDevchain(ctx, "127.0.0.1:0")
	if err != nil {
		return dev, nil, err
	}
	fail := func(err error) (devchainReady, func(), error) { stop(); return dev, nil, err }
	if d.chain, err = newGate(dev.URL); err != nil {
		return fail(err)
	}
	pool, err := chain.NewPool(chain.PoolConfig{URLs: []string{dev.URL}, Chain: chain.DevChainID})
	if err != nil {
		return fail(err)
	}
	all, err := chaintools.New(chaintools.Config{Client: pool, Book: chain.Book(), Key: chain.Accounts()["agent"].Key})
	if err != nil {
		return fail(err)
	}
	d.tools = map[string]tools.Tool{}
	for _, t := range all {
		d.tools[t.Spec().Name] = t
	}
	if d.addr, err = freeAddr(); err != nil {
		return fail(err)
	}
	if err := d.serve(ctx); err != nil {
		return fail(err)
	}
	if d.wallet, err = auth.NewWallet(rand.Reader); err != nil {
		return fail(err)
	}
	d.fact("chain", "%s, id %d, a process of its own; USDC at %s", dev.URL, dev.Chain, dev.Tokens["USDC"])
	d.fact("server", "%s, a process of its own; journal in SQLite", d.ready.URL)
	d.fact("operator key", "%s", d.ready.OperatorKey)
	d.fact("wallet", "%s", d.wallet.Address())
	d.fact("answers", "rules, no model")
	return dev, func() { pool.Close(); stop() }, nil
}

// serve starts the server, or starts it again.
func (d *demo) serve(ctx context.Context) error {
	ready := filepath.Join(d.dir, "ready.json")
	if err := os.Remove(ready); err != nil && !os.IsNotExist(err) {
		return err
	}
	var err error
	if d.server, err = startChild("serve", "--quiet", "--data", filepath.Join(d.dir, "server"), "--listen", d.addr, "--chain", d.chain.url, "--ready-file", ready); err != nil {
		return err
	}
	return until(ctx, func() (bool, error) {
		if err := d.server.failed(); err != nil {
			return false, err
		}
		b, err := os.ReadFile(ready)
		if err != nil {
			return false, nil // not yet
		}
		return json.Unmarshal(b, &d.ready) == nil, nil
	})
}

func (d *demo) signIn(ctx context.Context) (err error) {
	d.part(2, "Sign in", "the wallet signs what the agent may do, in words that a person can read")
	if d.key, err = auth.Generate(auth.P256, rand.Reader); err != nil {
		return err
	}
	if d.cl, err = client.Dial(ctx, d.ready.URL); err != nil {
		return err
	}
	d.sess, err = d.cl.SignIn(ctx, wire.ChallengeParams{
		Account: d.wallet.Address().Hex(), Chain: chain.DevChainID, Agent: "treasurer",
	}, d.key, func(message []byte) ([]byte, error) {
		d.box(string(message))
		return d.wallet.SignText(message)
	})
	if err != nil {
		return err
	}
	d.fact("signed", "the limits above are generated from the rules that are enforced, and compared byte for byte")
	d.fact("session", "%s, bound to the session key in the line URI", short(d.sess.ID))
	return nil
}

func (d *demo) read(ctx context.Context) error {
	d.part(3, "Read", "a question, answered by a tool at a block")
	_, err := d.ask(ctx, "what is alice's USDC balance?", "answered")
	return err
}

func (d *demo) pay(ctx context.Context) error {
	d.part(4, "Act with approval", "above 1 USDC the grant wants the wallet's signature on exactly this call")
	before, err := d.balance(ctx, "bob")
	if err != nil {
		return err
	}
	if _, err := d.ask(ctx, "send 5 USDC to bob", "approved"); err != nil {
		return err
	}
	after, err := d.balance(ctx, "bob")
	if err != nil {
		return err
	}
	d.fact("on chain", "bob had %s, and has %s", before, after)
	return nil
}

func (d *demo) refused(ctx context.Context) error {
	d.part(5, "Be refused", "no rule permits it, and the answer says which one forbids it")
	_, err := d.ask(ctx, "send 500 USDC to mallory", "denied")
	return err
}

// survive kills the server while a transaction is on its way: the chain has it, the server was never told.
func (d *demo) survive(ctx context.Context) error {
	d.part(6, "Survive", "the server is killed with SIGKILL while a payment is on its way")
	before, err := d.balance(ctx, "alice")
	if err != nil {
		return err
	}
	held := d.chain.hold()
	run, err := d.ask(ctx, "send 2 USDC to alice", "recovered", func(ev *wire.RunEvent) (bool, error) {
		for _, e := range ev.Does {
			if e.Kind != "call" || e.Phase != "send" {
				continue
			}
			select {
			case <-held:
			case <-ctx.Done():
				return false, ctx.Err()
			}
			d.server.kill()
			d.chain.release()
			d.fact("killed", "the signed transaction is in the journal and on the chain; the server never heard of it")
			return true, nil
		}
		return false, nil
	})
	if err != nil {
		return err
	}
	after, err := d.balance(ctx, "alice")
	if err != nil {
		return err
	}
	d.fact("on chain", "alice had %s, and has %s: it happened once (run %s)", before, after, short(run))
	return nil
}

// ask asks the agent for something, approves what it waits for, and tells its steps. If stop says so after a step,
// the server is started again and the run followed to its end.
func (d *demo) ask(ctx context.Context, input, outcome string, stop ...func(*wire.RunEvent) (bool, error)) (string, error) {
	fmt.Fprintf(d.w, "\n  %s %s\n", d.paint.bold("you:"), input)
	started, err := d.cl.Start(ctx, wire.StartParams{Agent: "treasurer", Input: input})
	if err != nil {
		return "", err
	}
	run := demoRun{Asked: input, Run: started.Run, Outcome: outcome}
	var from *wire.From
	for again := true; again; {
		again = false
		for u, err := range d.cl.Events(ctx, started.Run, from) {
			if err != nil {
				return "", err
			}
			if u.Event == nil {
				continue
			}
			ev := u.Event
			d.teller.tell(ev)
			from = &wire.From{Epoch: ev.Epoch, Seq: ev.Seq}
			for _, e := range ev.Does {
				switch e.Kind {
				case "say":
					run.Said = e.Text
				case "seek":
					if err := d.approve(ctx, started.Run); err != nil {
						return "", err
					}
				}
			}
			if len(stop) > 0 {
				if again, err = stop[0](ev); err != nil {
					return "", err
				} else if again {
					stop = nil
					break
				}
			}
		}
		if again {
			if err := d.restart(ctx); err != nil {
				return "", err
			}
		}
	}
	fmt.Fprintf(d.w, "  %s %s\n", d.paint.bold("writ:"), plain(run.Said))
	info, err := d.cl.Run(ctx, started.Run)
	if err != nil {
		return "", err
	}
	run.CID, run.Steps = info.Head, info.Steps
	d.report.Runs = append(d.report.Runs, run)
	return started.Run, nil
}

func (d *demo) restart(ctx context.Context) error {
	d.cl.Close()
	if err := d.serve(ctx); err != nil {
		return err
	}
	d.fact("restarted", "the journal is read again; the same session goes on over a new socket")
	var err error
	if d.cl, err = client.Dial(ctx, d.ready.URL); err != nil {
		return err
	}
	d.sess, err = d.cl.Resume(ctx, d.sess.ID, d.key)
	return err
}

// approve signs what the run waits for, after showing it.
func (d *demo) approve(ctx context.Context, run string) error {
	all, err := d.cl.Approvals(ctx)
	if err != nil {
		return err
	}
	for _, p := range all {
		if p.Run != run {
			continue
		}
		what, err := readApproval(saved{Account: d.wallet.Address().Hex()}, p)
		if err != nil {
			return err
		}
		d.box(fmt.Sprintf("Approve exactly this call?   (EIP-712 ToolApproval, single use)\n\n  amount     %s\n  to         %s\n  tool       %s\n  arguments  sha256 %x\n  until      %s",
			what.Amount, what.Recipient, what.Tool, what.Args[:8], what.NotAfter.UTC().Format(time.RFC3339)))
		sig, err := d.wallet.SignTyped(what)
		if err != nil {
			return err
		}
		if err := d.cl.Approve(ctx, p, sig); err != nil {
			return err
		}
		d.fact("wallet", "signed")
	}
	return nil
}

// check exports the runs, stops the server, and lets an auditor's process look at each file.
func (d *demo) check(ctx context.Context) error {
	d.part(7, "Check", "a stranger gets the files. The server is stopped first")
	var files [][3]string
	for i, r := range d.report.Runs {
		car, keys := filepath.Join(d.dir, fmt.Sprintf("run%d.car", i+1)), filepath.Join(d.dir, fmt.Sprintf("run%d.keys.json", i+1))
		// The receipt is what the client keeps: it shows the stranger that nothing was left out since.
		receipt := filepath.Join(d.dir, fmt.Sprintf("run%d.tlog-proof", i+1))
		text, err := d.cl.Receipt(ctx, r.Run, receiptWait)
		if err == nil {
			err = os.WriteFile(receipt, []byte(text), 0o600)
		}
		if err != nil {
			return err
		}
		p, err := d.cl.Provenance(ctx, r.Run, true)
		if err != nil {
			return err
		}
		if err := d.export(ctx, p, car, keys); err != nil {
			return err
		}
		files = append(files, [3]string{car, keys, receipt})
		d.report.CAR = append(d.report.CAR, car)
	}
	d.cl.Close()
	d.server.stop()
	audit, err := auditor(ctx, d.dir)
	if err != nil {
		return err
	}
	d.report.Verified, d.report.Complete = true, true
	for i, f := range files {
		if i == 0 {
			fmt.Fprintf(d.w, "\n  %s\n", d.paint.dim("$ writ-audit verify "+filepath.Base(f[0])+" --keys "+filepath.Base(f[1])+" --operator-key "+d.ready.OperatorKey[:8]+"... \\"))
			fmt.Fprintf(d.w, "  %s\n", d.paint.dim("    --log-key writ/log/... --receipt "+filepath.Base(f[2])))
			if err := d.show(exec.CommandContext(ctx, audit, d.verify(f[0], f[1], f[2])...)); err != nil {
				d.report.Verified = false
			}
		}
		rep, err := d.verdict(ctx, audit, f[0], f[1], f[2])
		if err != nil {
			return err
		}
		d.report.Verified = d.report.Verified && rep.Verdict == provenance.Verified
		d.report.Complete = d.report.Complete && rep.Completeness == provenance.Established
		d.fact(filepath.Base(f[0]), "%s, completeness %s: %d steps, %d blocks, %d bytes", d.mark(rep), rep.Completeness, rep.Steps, rep.Blocks, rep.Bytes)
	}

	bad := filepath.Join(d.dir, "tampered.car")
	b, err := os.ReadFile(files[1][0])
	if err != nil {
		return err
	}
	b[len(b)-16] ^= 1 // inside the last block
	if err := os.WriteFile(bad, b, 0o600); err != nil {
		return err
	}
	rep, err := d.verdict(ctx, audit, bad, files[1][1], files[1][2])
	if err != nil {
		return err
	}
	d.report.Tampered = string(rep.Code)
	d.fact("one bit flipped", "%s %s at %s", d.mark(rep), rep.Code, short(rep.At))

	d.report.Replayed = true
	for _, f := range files {
		out, err := exec.CommandContext(ctx, audit, "replay", "--json", "--keys", f[1], f[0]).Output()
		var r struct {
			OK    bool `json:"ok"`
			Same  bool `json:"same"`
			Steps int  `json:"steps"`
		}
		if err != nil || json.Unmarshal(out, &r) != nil || !r.Same {
			d.report.Replayed = false
		}
		d.fact("replayed", "%s: %d steps decided again from their events, the same CIDs: %t", filepath.Base(f[0]), r.Steps, r.Same)
	}
	return nil
}

func (d *demo) mark(rep provenance.Report) string {
	if rep.Verdict == provenance.Failed {
		return d.paint.red("FAILED")
	}
	return d.paint.green(strings.ToUpper(rep.Verdict))
}

func (d *demo) export(ctx context.Context, p wire.Provenance, car, keys string) error {
	f, err := os.OpenFile(car, os.O_CREATE|os.O_TRUNC|os.O_WRONLY, 0o600)
	if err != nil {
		return err
	}
	if err := d.cl.CAR(ctx, p, f); err != nil {
		f.Close()
		return err
	}
	if err := f.Close(); err != nil {
		return err
	}
	leaves, err := leavesOf(p)
	if err != nil {
		return err
	}
	k, err := os.OpenFile(keys, os.O_CREATE|os.O_TRUNC|os.O_WRONLY, 0o600)
	if err != nil {
		return err
	}
	if err := provenance.WriteKeys(k, leaves); err != nil {
		k.Close()
		return err
	}
	return k.Close()
}

// verify is how the auditor is called for one file: with what the stranger has by another way than the file.
func (d *demo) verify(car, keys, receipt string) []string {
	return []string{"verify", "--keys", keys, "--operator-key", d.ready.OperatorKey, "--log-key", d.ready.LogKey, "--receipt", receipt, car}
}

// verdict runs the auditor on one file and reads its report. That it says "failed" is no error of this.
func (d *demo) verdict(ctx context.Context, audit, car, keys, receipt string) (rep provenance.Report, err error) {
	out, runErr := exec.CommandContext(ctx, audit, append(d.verify(car, keys, receipt), "--json")...).Output()
	if err := json.Unmarshal(out, &rep); err != nil {
		return rep, fmt.Errorf("the auditor said nothing that can be read: %w (%v)", err, runErr)
	}
	return rep, nil
}

func (d *demo) show(cmd *exec.Cmd) error {
	cmd.Stderr = d.err
	if d.paint {
		cmd.Env = append(os.Environ(), "CLICOLOR_FORCE=1")
	}
	out, err := cmd.Output()
	for line := range strings.Lines(string(out)) {
		fmt.Fprint(d.w, "  "+line)
	}
	return err
}

func (d *demo) next(devchainReady) {
	d.part(8, "Where next", fmt.Sprintf("told in %.1f s; the files are in %s", d.report.Seconds, d.dir))
	d.fact("writ dev", "the same, kept running")
	d.fact("writ run ...", `writ run "send 3 USDC to alice", in another terminal`)
	d.fact("a model", "writ dev --model http://127.0.0.1:11434/v1 --model-name NAME")
	fmt.Fprintln(d.w)
}

// balance reads a USDC balance from the chain itself, past the server.
func (d *demo) balance(ctx context.Context, who string) (string, error) {
	t := d.tools["erc20.balance"]
	def, err := tools.Compile(t.Spec())
	if err != nil {
		return "", err
	}
	args, err := def.Read([]byte(fmt.Sprintf(`{"account":%q,"token":"USDC"}`, who)))
	if err != nil {
		return "", err
	}
	out, err := t.Call(ctx, tools.Input{Args: args})
	if err != nil {
		return "", err
	}
	var r struct {
		Display string `json:"display"`
	}
	return r.Display, json.Unmarshal(out, &r)
}

func freeAddr() (string, error) {
	ln, err := net.Listen("tcp", "127.0.0.1:0")
	if err != nil {
		return "", err
	}
	return ln.Addr().String(), ln.Close()
}

// Looks.

func (d *demo) title(name, what string) {
	fmt.Fprintf(d.w, "\n%s  %s\n", d.paint.bold(name), what)
}

func (d *demo) part(n int, name, what string) {
	fmt.Fprintf(d.w, "\n%s %s\n", d.paint.bold(fmt.Sprintf("%d  %s", n, name)), d.paint.dim("- "+what))
}

func (d *demo) fact(name, format string, args ...any) {
	fmt.Fprintf(d.w, "  %s %s\n", d.paint.as("36", fmt.Sprintf("%-15s", name)), fmt.Sprintf(format, args...))
}
