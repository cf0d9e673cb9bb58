// Package demo is the command that tells the whole story once, with real processes: sign in, act, be refused, survive,
// check.
package demo

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

	"github.com/writ-run/writ/internal/cli"
	"github.com/writ-run/writ/internal/cli/approval"
	"github.com/writ-run/writ/internal/cli/evidence"
	"github.com/writ-run/writ/internal/cli/process"
	"github.com/writ-run/writ/internal/cli/teller"
	"github.com/writ-run/writ/internal/eth/pool"

	"github.com/spf13/cobra"

	"github.com/writ-run/writ/agent/wire"
	"github.com/writ-run/writ/auth"
	"github.com/writ-run/writ/internal/client"
	"github.com/writ-run/writ/internal/eth/devchain"
	"github.com/writ-run/writ/provenance"
	"github.com/writ-run/writ/tools"
	chaintools "github.com/writ-run/writ/tools/chain"
)

// A Report is what the demo ends with.
type Report struct {
	Seconds  float64   `json:"seconds"`
	Runs     []toldRun `json:"runs"`
	CAR      []string  `json:"car"`
	Verified bool      `json:"verified"`
	Complete bool      `json:"complete"` // completeness is established for each run, by receipt and log
	Tampered string    `json:"tampered"` // the reason code of the file with one byte flipped
	Replayed bool      `json:"replayed"`
	Folder   string    `json:"folder"`
}

type toldRun struct {
	Asked   string `json:"asked"`
	Run     string `json:"run"`
	CID     string `json:"cid"`     // of the signed head: the root of the exported file
	Outcome string `json:"outcome"` // answered, approved, denied, recovered
	Steps   uint64 `json:"steps"`
	Said    string `json:"said"`
}

// Command is writ demo.
func Command(sh *cli.Shell) *cobra.Command {
	var dir string
	c := &cobra.Command{
		Use: "demo", Short: "Tell the whole story once: sign in, act, be refused, survive, check",
		Long: `Tells one story on this machine, with real signatures, a real chain, a real database and real processes, without any
key or network: a wallet signs what an agent may do; the agent reads, pays after the wallet's approval, and is refused;
the server is killed in the middle of a payment and finishes it; and a stranger checks all of it from files, with the
server off. It leaves the files in a folder.`,
		Args: cobra.NoArgs,
		RunE: func(c *cobra.Command, _ []string) error {
			d := &demo{Shell: sh, began: time.Now(), dir: dir, w: sh.Out}
			if sh.JSON {
				d.w = sh.Err
			}
			d.paint = cli.Paint(sh.Color(d.w))
			d.teller = &teller.Teller{Paint: d.paint, Say: func(l string) { fmt.Fprintln(d.w, "  "+l) }}
			if err := d.tellStory(c.Context()); err != nil {
				return err
			}
			return sh.Done(d.report, nil)
		},
	}
	c.Flags().StringVar(&dir, "dir", "", "`folder` to leave the files in (default: a new one)")
	return c
}

type demo struct {
	*cli.Shell
	w      io.Writer
	paint  cli.Paint
	teller *teller.Teller
	began  time.Time
	dir    string
	report Report

	chain  *gate
	server *process.Child
	addr   string
	key    auth.PrivateKey
	wallet *auth.Wallet
	cl     *client.Client
	ready  process.ServerReady
	sess   wire.Session
	tools  map[string]tools.Tool
}

func (d *demo) tellStory(ctx context.Context) (err error) {
	if d.dir == "" {
		if d.dir, err = os.MkdirTemp("", "writ-demo-"); err != nil {
			return err
		}
	} else if err := os.MkdirAll(d.dir, 0o700); err != nil {
		return cli.Usage("the folder %s cannot be made: %s", d.dir, err)
	}
	d.report.Folder = d.dir
	defer func() {
		if d.cl != nil {
			d.cl.Close()
		}
		if d.server != nil {
			d.server.Stop()
		}
	}()
	d.showTitle("writ demo", "a wallet signs, an agent acts, a stranger checks")
	dev, stop, err := d.startChain(ctx)
	if err != nil {
		return err
	}
	defer stop()
	defer d.chain.close()
	for _, part := range []func(context.Context) error{d.signIn, d.askToRead, d.askToPay, d.askBeyondCap, d.surviveCrash} {
		if err := part(ctx); err != nil {
			return err
		}
	}
	if err := d.checkEvidence(ctx); err != nil {
		return err
	}
	d.report.Seconds = time.Since(d.began).Seconds()
	d.sayWhatIsNext(dev)
	if !d.report.Verified || !d.report.Complete || !d.report.Replayed || d.report.Tampered == "" {
		return &cli.Failure{Exit: cli.ExitIntegrity, Code: "demo",
			Message: "the demo did not end as it should; the files are in " + d.dir, Result: d.report}
	}
	return nil
}

// startChain starts the chain and the server, each a process of its own.
func (d *demo) startChain(ctx context.Context) (process.DevchainReady, func(), error) {
	d.showPart(1, "Start", "a chain, a server and a wallet, made for this and thrown away after it")
	dev, stop, err := process.StartDevchain(ctx, d.Err, "127.0.0.1:0")
	if err != nil {
		return dev, nil, err
	}
	fail := func(err error) (process.DevchainReady, func(), error) { stop(); return dev, nil, err }
	if d.chain, err = newGate(dev.URL); err != nil {
		return fail(err)
	}
	pool, err := pool.New(pool.Config{URLs: []string{dev.URL}, Chain: devchain.ID})
	if err != nil {
		return fail(err)
	}
	all, err := chaintools.New(chaintools.Config{Client: pool, Book: devchain.Book(),
		Key: devchain.Accounts()["agent"].Key})
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
	if err := d.startServer(ctx); err != nil {
		return fail(err)
	}
	if d.wallet, err = auth.NewWallet(rand.Reader); err != nil {
		return fail(err)
	}
	d.showFact("chain", "%s, id %d, a process of its own; USDC at %s", dev.URL, dev.Chain, dev.Tokens["USDC"])
	d.showFact("server", "%s, a process of its own; journal in SQLite", d.ready.URL)
	d.showFact("operator key", "%s", d.ready.OperatorKey)
	d.showFact("wallet", "%s", d.wallet.Address())
	d.showFact("answers", "rules, no model")
	return dev, func() { pool.Close(); stop() }, nil
}

// startServer starts the server, or starts it again.
func (d *demo) startServer(ctx context.Context) error {
	ready := filepath.Join(d.dir, "ready.json")
	if err := os.Remove(ready); err != nil && !os.IsNotExist(err) {
		return err
	}
	var err error
	if d.server, err = process.Start("serve", "--quiet", "--data", filepath.Join(d.dir, "server"), "--listen", d.addr,
		"--chain", d.chain.url, "--ready-file", ready); err != nil {
		return err
	}
	return process.Until(ctx, func() (bool, error) {
		if err := d.server.CheckAlive(); err != nil {
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
	d.showPart(2, "Sign in", "the wallet signs what the agent may do, in words that a person can read")
	if d.key, err = auth.Generate(auth.P256, rand.Reader); err != nil {
		return err
	}
	if d.cl, err = client.Dial(ctx, d.ready.URL); err != nil {
		return err
	}
	d.sess, err = d.cl.SignIn(ctx, wire.ChallengeParams{
		Account: d.wallet.Address().Hex(), Chain: devchain.ID, Agent: "treasurer",
	}, d.key, func(message []byte) ([]byte, error) {
		d.showBox(string(message))
		return d.wallet.SignText(message)
	})
	if err != nil {
		return err
	}
	d.showFact("signed", "the limits above are generated from the rules that are enforced, and compared byte for byte")
	d.showFact("session", "%s, bound to the session key in the line URI", cli.ShortCID(d.sess.ID))
	return nil
}

func (d *demo) askToRead(ctx context.Context) error {
	d.showPart(3, "Read", "a question, answered by a tool at a block")
	_, err := d.runRequest(ctx, "what is alice's USDC balance?", "answered")
	return err
}

func (d *demo) askToPay(ctx context.Context) error {
	d.showPart(4, "Act with approval", "above 1 USDC the grant wants the wallet's signature on exactly this call")
	before, err := d.readBalance(ctx, "bob")
	if err != nil {
		return err
	}
	if _, err := d.runRequest(ctx, "send 5 USDC to bob", "approved"); err != nil {
		return err
	}
	after, err := d.readBalance(ctx, "bob")
	if err != nil {
		return err
	}
	d.showFact("on chain", "bob had %s, and has %s", before, after)
	return nil
}

func (d *demo) askBeyondCap(ctx context.Context) error {
	d.showPart(5, "Be refused", "no rule permits it, and the answer says which one forbids it")
	_, err := d.runRequest(ctx, "send 500 USDC to mallory", "denied")
	return err
}

// surviveCrash kills the server while a transaction is on its way: the chain has it, the server was never told.
func (d *demo) surviveCrash(ctx context.Context) error {
	d.showPart(6, "Survive", "the server is killed with SIGKILL while a payment is on its way")
	before, err := d.readBalance(ctx, "alice")
	if err != nil {
		return err
	}
	held := d.chain.holdNext()
	run, err := d.runRequest(ctx, "send 2 USDC to alice", "recovered", func(ev *wire.RunEvent) (bool, error) {
		for _, e := range ev.Does {
			if e.Kind != "call" || e.Phase != "send" {
				continue
			}
			select {
			case <-held:
			case <-ctx.Done():
				return false, ctx.Err()
			}
			d.server.Kill()
			d.chain.release()
			d.showFact("killed", "the signed transaction is in the journal and on the chain; the server never heard of it")
			return true, nil
		}
		return false, nil
	})
	if err != nil {
		return err
	}
	after, err := d.readBalance(ctx, "alice")
	if err != nil {
		return err
	}
	d.showFact("on chain", "alice had %s, and has %s: it happened once (run %s)", before, after, cli.ShortCID(run))
	return nil
}

// runRequest asks the agent for something, approves what it waits for, and tells its steps. If stop says so after a
// step, the server is started again and the run followed to its end.
func (d *demo) runRequest(
	ctx context.Context, input, outcome string, stop ...func(*wire.RunEvent) (bool, error),
) (string, error) {
	fmt.Fprintf(d.w, "\n  %s %s\n", d.paint.Bold("you:"), input)
	started, err := d.cl.Start(ctx, wire.StartParams{Agent: "treasurer", Input: input})
	if err != nil {
		return "", err
	}
	run := toldRun{Asked: input, Run: started.Run, Outcome: outcome}
	for last := (*wire.RunEvent)(nil); ; stop = nil {
		stopped, err := d.tellSteps(ctx, &run, &last, stop)
		if err != nil {
			return "", err
		}
		if !stopped {
			break
		}
		if err := d.restartServer(ctx); err != nil {
			return "", err
		}
	}
	fmt.Fprintf(d.w, "  %s %s\n", d.paint.Bold("writ:"), cli.Plain(run.Said))
	info, err := d.cl.Run(ctx, started.Run)
	if err != nil {
		return "", err
	}
	run.CID, run.Steps = info.Head, info.Steps
	d.report.Runs = append(d.report.Runs, run)
	return started.Run, nil
}

// tellSteps tells the steps that come after the last one, and approves what the run waits for, until the run ends or
// stop says so after a step.
func (d *demo) tellSteps(
	ctx context.Context, run *toldRun, last **wire.RunEvent, stop []func(*wire.RunEvent) (bool, error),
) (stopped bool, err error) {
	var from *wire.From
	if *last != nil {
		from = &wire.From{Epoch: (*last).Epoch, Seq: (*last).Seq}
	}
	for u, err := range d.cl.Events(ctx, run.Run, from) {
		if err != nil {
			return false, err
		}
		if u.Event == nil {
			continue
		}
		*last = u.Event
		d.teller.Tell(u.Event)
		for _, e := range u.Event.Does {
			switch e.Kind {
			case "say":
				run.Said = e.Text
			case "seek":
				if err := d.approveCall(ctx, run.Run); err != nil {
					return false, err
				}
			}
		}
		for _, isEnough := range stop {
			if stopped, err := isEnough(u.Event); stopped || err != nil {
				return stopped, err
			}
		}
	}
	return false, nil
}

func (d *demo) restartServer(ctx context.Context) error {
	d.cl.Close()
	if err := d.startServer(ctx); err != nil {
		return err
	}
	d.showFact("restarted", "the journal is read again; the same session goes on over a new socket")
	var err error
	if d.cl, err = client.Dial(ctx, d.ready.URL); err != nil {
		return err
	}
	d.sess, err = d.cl.Resume(ctx, d.sess.ID, d.key)
	return err
}

// approveCall signs what the run waits for, after showing it.
func (d *demo) approveCall(ctx context.Context, run string) error {
	all, err := d.cl.Approvals(ctx)
	if err != nil {
		return err
	}
	for _, p := range all {
		if p.Run != run {
			continue
		}
		what, err := approval.Read(d.wallet.Address().Hex(), p)
		if err != nil {
			return err
		}
		args, err := approval.Arguments(p, what)
		if err != nil {
			return err
		}
		d.showBox(fmt.Sprintf("Approve exactly this call?   (EIP-712 ToolApproval, single use)\n\n"+
			"  amount     %s\n  to         %s\n  tool       %s\n  arguments  %s\n  until      %s",
			what.Amount, what.Recipient, what.Tool, args, what.NotAfter.UTC().Format(time.RFC3339)))
		sig, err := d.wallet.SignTyped(what)
		if err != nil {
			return err
		}
		if err := d.cl.Approve(ctx, p, sig); err != nil {
			return err
		}
		d.showFact("wallet", "signed")
	}
	return nil
}

// A runFile is the files of one run, for a stranger.
type runFile struct{ car, keys, receipt string }

// checkEvidence exports the runs, stops the server, and lets an auditor's process look at each file.
func (d *demo) checkEvidence(ctx context.Context) error {
	d.showPart(7, "Check", "a stranger gets the files. The server is stopped first")
	var files []runFile
	for i, r := range d.report.Runs {
		f, err := d.writeFiles(ctx, r.Run, filepath.Join(d.dir, fmt.Sprintf("run%d", i+1)))
		if err != nil {
			return err
		}
		files = append(files, f)
		d.report.CAR = append(d.report.CAR, f.car)
	}
	d.cl.Close()
	d.server.Stop()
	audit, err := findAuditor(ctx, d.dir)
	if err != nil {
		return err
	}
	d.report.Verified, d.report.Complete = true, true
	d.showVerify(ctx, audit, files[0])
	for _, f := range files {
		rep, err := d.judgeFile(ctx, audit, f.car, f.keys, f.receipt)
		if err != nil {
			return err
		}
		d.report.Verified = d.report.Verified && rep.Verdict == provenance.Verified
		d.report.Complete = d.report.Complete && rep.Completeness == provenance.Established
		d.showFact(filepath.Base(f.car), "%s, completeness %s: %d steps, %d blocks, %d bytes",
			d.markVerdict(rep), rep.Completeness, rep.Steps, rep.Blocks, rep.Bytes)
	}
	if err := d.flipBit(ctx, audit, files[1]); err != nil {
		return err
	}
	d.report.Replayed = true
	for _, f := range files {
		d.replayFile(ctx, audit, f)
	}
	return nil
}

// writeFiles exports a run to files whose names begin so. The receipt is what the client keeps: it shows the stranger
// that nothing was left out since.
func (d *demo) writeFiles(ctx context.Context, run, name string) (f runFile, err error) {
	f = runFile{name + ".car", name + ".keys.json", name + ".tlog-proof"}
	text, err := d.cl.Receipt(ctx, run, evidence.ReceiptWait)
	if err == nil {
		err = os.WriteFile(f.receipt, []byte(text), 0o600)
	}
	if err != nil {
		return f, err
	}
	p, err := d.cl.Provenance(ctx, run, true)
	if err != nil {
		return f, err
	}
	return f, d.exportRun(ctx, p, f.car, f.keys)
}

// showVerify shows a verification as the auditor's own process prints it.
func (d *demo) showVerify(ctx context.Context, audit string, f runFile) {
	fmt.Fprintf(d.w, "\n  %s\n", d.paint.Dim("$ writ-audit verify "+filepath.Base(f.car)+" --keys "+filepath.Base(f.keys)+
		" --operator-key "+d.ready.OperatorKey[:8]+"... \\"))
	fmt.Fprintf(d.w, "  %s\n", d.paint.Dim("    --log-key writ/log/... --receipt "+filepath.Base(f.receipt)))
	if err := d.showOutput(exec.CommandContext(ctx, audit, d.verifyArguments(f.car, f.keys, f.receipt)...)); err != nil {
		d.report.Verified = false
	}
}

// flipBit shows what the auditor says of a file in which one bit is another.
func (d *demo) flipBit(ctx context.Context, audit string, f runFile) error {
	bad := filepath.Join(d.dir, "tampered.car")
	b, err := os.ReadFile(f.car)
	if err != nil {
		return err
	}
	b[len(b)-16] ^= 1 // inside the last block
	if err := os.WriteFile(bad, b, 0o600); err != nil {
		return err
	}
	rep, err := d.judgeFile(ctx, audit, bad, f.keys, f.receipt)
	if err != nil {
		return err
	}
	d.report.Tampered = string(rep.Code)
	d.showFact("one bit flipped", "%s %s at %s", d.markVerdict(rep), rep.Code, cli.ShortCID(rep.At))
	return nil
}

// replayFile has the steps of a run decided again from their events.
func (d *demo) replayFile(ctx context.Context, audit string, f runFile) {
	out, err := exec.CommandContext(ctx, audit, "replay", "--json", "--keys", f.keys, f.car).Output()
	var r struct {
		OK    bool `json:"ok"`
		Same  bool `json:"same"`
		Steps int  `json:"steps"`
	}
	if err != nil || json.Unmarshal(out, &r) != nil || !r.Same {
		d.report.Replayed = false
	}
	d.showFact("replayed", "%s: %d steps decided again from their events, the same CIDs: %t",
		filepath.Base(f.car), r.Steps, r.Same)
}

func (d *demo) markVerdict(rep provenance.Report) string {
	if rep.Refused() {
		return d.paint.Red("FAILED")
	}
	return d.paint.Green(strings.ToUpper(rep.Verdict))
}

func (d *demo) exportRun(ctx context.Context, p wire.Provenance, car, keys string) error {
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
	leaves, err := evidence.LeavesOf(p)
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

// verifyArguments is how the auditor is called for one file: with what the stranger has by another way than the file.
func (d *demo) verifyArguments(car, keys, receipt string) []string {
	return []string{"verify", "--keys", keys, "--operator-key", d.ready.OperatorKey, "--log-key", d.ready.LogKey,
		"--receipt", receipt, car}
}

// judgeFile runs the auditor on one file and reads its report. That it says "failed" is no error of this.
func (d *demo) judgeFile(ctx context.Context, audit, car, keys, receipt string) (rep provenance.Report, err error) {
	out, runErr := exec.CommandContext(ctx, audit, append(d.verifyArguments(car, keys, receipt), "--json")...).Output()
	if err := json.Unmarshal(out, &rep); err != nil {
		return rep, fmt.Errorf("the auditor said nothing that can be read: %w (%v)", err, runErr)
	}
	return rep, nil
}

func (d *demo) showOutput(cmd *exec.Cmd) error {
	cmd.Stderr = d.Err
	if d.paint {
		cmd.Env = append(os.Environ(), "CLICOLOR_FORCE=1")
	}
	out, err := cmd.Output()
	for line := range strings.Lines(string(out)) {
		fmt.Fprint(d.w, "  "+line)
	}
	return err
}

func (d *demo) sayWhatIsNext(process.DevchainReady) {
	d.showPart(8, "Where next", fmt.Sprintf("told in %.1f s; the files are in %s", d.report.Seconds, d.dir))
	d.showFact("writ dev", "the same, kept running")
	d.showFact("writ run ...", `writ run "send 3 USDC to alice", in another terminal`)
	d.showFact("a model", "writ dev --model http://127.0.0.1:11434/v1 --model-name NAME")
	fmt.Fprintln(d.w)
}

// readBalance reads a USDC balance from the chain itself, past the server.
func (d *demo) readBalance(ctx context.Context, who string) (string, error) {
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

func (d *demo) showTitle(name, what string) {
	fmt.Fprintf(d.w, "\n%s  %s\n", d.paint.Bold(name), what)
}

func (d *demo) showPart(n int, name, what string) {
	fmt.Fprintf(d.w, "\n%s %s\n", d.paint.Bold(fmt.Sprintf("%d  %s", n, name)), d.paint.Dim("- "+what))
}

func (d *demo) showFact(name, format string, args ...any) {
	fmt.Fprintf(d.w, "  %s %s\n", d.paint.As("36", fmt.Sprintf("%-15s", name)), fmt.Sprintf(format, args...))
}
