// Command writ-audit checks, as a stranger, what an agent did for a wallet.
//
// It needs a run's CAR file and nothing else: no server, no network, no database; it asks a gateway or an Ethereum node
// only when one is named. The keys of sealed payloads and the operator's public key come by other ways than that file,
// as flags. It is made of the record, the rules and the loop alone (testdata/deps.golden lists everything that it is
// built from), so that it can be read in full.
//
//	writ-audit verify FILE.car   is every hash, link, signature and decision right?
//	writ-audit replay FILE.car   decide every step again from its events: the same CIDs?
//	writ-audit show FILE.car     what happened, and why it was allowed
//	writ-audit diff A.car B.car  the first step in which two runs differ
//	writ-audit nonces ADDRESS    has every transaction of the agent's account its step?
//	writ-audit log [OLD] LOG     has the log kept everything that it once said? what is in it?
//
// Results go to standard output; with --json that is one object. Exit codes are those of agent/audit: 0 verified, 2
// integrity, 3 signature, permission or decision, 4 incomplete, 20 gaps, 21 not a form that is read; 6 if a gateway or
// node cannot be asked, 64 for a call that is wrong, 130 for an interrupt; diff ends with 1 if the runs differ.
package main

import (
	"context"
	"encoding/json"
	"errors"
	"flag"
	"fmt"
	"io"
	"os"
	"os/signal"
	"runtime"
	"runtime/debug"
	"slices"
	"strings"
	"syscall"

	"github.com/writ-run/writ/agent/audit"
	"github.com/writ-run/writ/internal/verifier"
	"github.com/writ-run/writ/provenance"
)

func main() { os.Exit(Main()) }

// Main runs writ-audit with the process's arguments and returns its exit code.
func Main() int {
	// What a file can make a verifier keep is bounded, at some 35 MB. Garbage is collected well before it doubles that, so
	// that the whole process stays below 64 MB on a busy machine too, where collecting lags behind. It is no hard limit:
	// where more is needed, it is taken.
	debug.SetMemoryLimit(30 << 20)
	ctx, stop := signal.NotifyContext(context.Background(), os.Interrupt, syscall.SIGTERM)
	defer stop()
	return run(ctx, os.Args[1:], os.Stdout, os.Stderr)
}

const (
	exitInternal = 1
	exitDiffers  = 1 // of diff alone, as of diff(1)
	exitNetwork  = 6
	exitUsage    = 64
	exitStopped  = 130
)

const manual = `writ-audit checks what an agent did for a wallet, from the run's file alone.

  writ-audit verify FILE.car|CID [--keys FILE] [--operator-key KEY] [--wallet 0x...] [--require-complete]
                    [--prices TABLE] [--rpc URL]... [--module FILE]... [--json|--sarif]
                                                                       judge all of it
  writ-audit replay FILE.car|CID --keys FILE [--json]                  decide every step again
  writ-audit show FILE.car|CID [--keys FILE] [--step N] [--json]       what happened, and why it was allowed
  writ-audit diff A B [--keys-a FILE] [--keys-b FILE] [--json]         the first step that differs
  writ-audit nonces ADDRESS --rpc URL [FILE.car|FOLDER...] [--keys FILE] [--operator-key KEY] [--from N] [--json]
                                                                       has every transaction of the account its step?
  writ-audit log [OLD] NEW|URL|DIR --log-key VKEY [--witness-policy FILE] [--log URL|DIR] [--state FILE [--follow]]
                 [--heads] [--run CID] [--from N] [--gateway URL] [--operator-key KEY] [--json]
                                                                       is it one log? what is in it?
  writ-audit version                                                   which build of it this is
  writ-audit --schema                                                  the JSON Schema of what verify --json prints

--keys opens sealed payloads: requests, arguments, results, the permission itself. nonces also takes NAME.keys.json that
lies beside NAME.car.
--operator-key is 64 hex digits, or a file that holds them, got by another way than the CAR file. Without it, or
--operator-wallet, a file is at best CONSISTENT, NOT ATTRIBUTED: anybody could have made it.
--wallet says whose permission it must be. With --require-complete a history that is not shown to be complete is not
verified, but INCOMPLETE.
--prices TABLE is a price table that you have, of writ prices import. What each call of a model cost is computed again
from its recorded tokens, and the first step that has another cost, or another table, is named (totals.price,
totals.table). Without it the report says which table was not looked at.
--rpc URL of verify, which may be given more than once, is an endpoint of your own choice: it is asked again, at the
recorded block, whether a contract wallet accepts what it signed, and for each transaction that the run says was mined, or
that has settled a payment by x402: block, outcome and events must be as recorded (transfers.mined). Without one none of
that is checked.
--module FILE of verify, which may be given more than once, is a WebAssembly module that a tool of the run is, by its CID:
what it returned is computed again, and must be the same byte by byte. Without the file that is not checked.
verify also takes what shows that nothing was left out, each got by another way than the CAR file:
  --operator-wallet 0x...   the operator's wallet, which has bound its key and its log in the file
  --log-key VKEY            the log's key, origin+hash+key, or a file that holds it
  --witness-policy FILE     which witnesses must have cosigned (c2sp.org/tlog-policy)
  --log-epoch FILE          a statement by which that log ended and another goes on, as the log serves it at epoch/2
  --receipt FILE            a receipt that a client of the run kept; may be given several times
  --checkpoint FILE         a checkpoint of the log from elsewhere; the file's must be of one log with it
  --log URL|DIR             the log, or a copy of its files, from which the proof of that comes
  --anchor-rpc URL --anchor-contract 0x...|eip155:N:0x... [--anchor-from BLOCK]
                            an endpoint of yours and the contract that has the log's anchors: that the head is in an
                            anchored tree (with --log), and was not made at another time than it says; log takes them too
--gateway URL, which may be given more than once, fetches what a CID leads to, or what FILE lacks, from trustless IPFS
gateways. Nothing that they answer is trusted.
log compares an older checkpoint OLD, a file, with a newer one, or with what the log at URL or in DIR says now; two files
want --log for the proof. --state FILE remembers the newest checkpoint that fitted, so that each call goes on from there,
and --follow looks every --interval (10s) until it is interrupted, something is found (a checkpoint that does not fit is
kept in FILE.refused), or the log is away for --patience (10m). --heads lists the log's entries, which name nothing to
who does not know their run; --run lists and opens those of a run, and what they are comes from --gateway.
Exit codes: 0 verified, 2 integrity, 3 signature or decision, 4 incomplete, 6 network, 20 gaps or not attributed, 21 not a
form that is read here, 64 usage; diff: 1 if the runs differ; nonces: 2 if a transaction has no step.
`

// A command is one run of the program.
type command struct {
	ctx  context.Context // of the process
	out  io.Writer
	json bool

	keys, keysA, keysB, operator string
	verifier                     verifier.Verifier
	log                          verifier.Log
	watch                        watchFlags
	step                         int
	asSARIF                      bool
	gateways                     gateways
	rpc                          string
	from                         uint64
}

// maxFiles is how many files and folders one call takes.
const maxFiles = 10_000

// usage says that the program was called wrongly.
func usage(format string, args ...any) error { return verifier.Usagef(format, args...) }

func run(ctx context.Context, args []string, out, errs io.Writer) int {
	if len(args) == 1 && args[0] == "--schema" {
		if _, err := out.Write(audit.ReportSchema()); err != nil {
			fmt.Fprintln(errs, "writ-audit:", err)
			return exitInternal
		}
		return 0
	}
	if len(args) == 0 || args[0] == "help" || args[0] == "-h" || args[0] == "--help" {
		fmt.Fprint(out, manual)
		return 0
	}
	c := &command{ctx: ctx, out: out}
	if args[0] == "version" || args[0] == "--version" {
		return c.printVersion(slices.Contains(args[1:], "--json"))
	}
	exit, err := c.callCommand(args[0], args[1:])
	c.json = c.json || slices.Contains(args, "--json") // perhaps the flags were not read as far as that
	if errors.Is(err, flag.ErrHelp) {
		fmt.Fprint(out, manual)
		return 0
	}
	if err == nil {
		return exit
	}
	exit, code := exitInternal, "internal"
	if _, ok := errors.AsType[verifier.UsageError](err); ok {
		exit, code = exitUsage, "usage"
	} else if ctx.Err() != nil {
		exit, code = exitStopped, "interrupted"
	} else if _, ok := errors.AsType[verifier.NetworkError](err); ok {
		exit, code = exitNetwork, "network"
	} else if f, ok := errors.AsType[*provenance.Fault](err); ok {
		exit, code = audit.Exit(provenance.FailedReport(f)), string(f.Code)
	}
	if c.json {
		_ = c.printObject(false, map[string]any{"error": map[string]string{"code": code, "message": err.Error()}})
	} else {
		fmt.Fprintln(errs, "writ-audit:", audit.Printable(err.Error()))
	}
	return exit
}

// version is set by release builds: -ldflags "-X main.version=v1.2.3".
var version = "dev"

func (c *command) printVersion(asJSON bool) int {
	commit := ""
	if info, ok := debug.ReadBuildInfo(); ok {
		for _, s := range info.Settings {
			if s.Key == "vcs.revision" {
				commit = s.Value
			}
		}
	}
	if asJSON {
		_ = c.printObject(true, map[string]any{"version": version, "commit": commit, "go": runtime.Version()})
	} else {
		fmt.Fprintln(c.out, strings.Join(strings.Fields("writ-audit "+version+" "+commit+" "+runtime.Version()), " "))
	}
	return 0
}

// A filesCommand is a command, with how many files it takes.
type filesCommand struct {
	do        func(files []string) (int, error)
	min, most int
}

// callCommand reads a command's flags, which may stand before and after its files, and runs it.
func (c *command) callCommand(name string, args []string) (int, error) {
	f := flag.NewFlagSet(name, flag.ContinueOnError)
	f.SetOutput(io.Discard)
	called, err := c.defineFlags(name, f)
	if err != nil {
		return 0, err
	}
	f.VisitAll(func(x *flag.Flag) {
		_, one := x.Value.(flag.Getter) // which what collects several values is not
		x.Value = &verifier.Given[flag.Value]{Of: x.Value, Many: !one}
	})
	var rest []string
	for {
		if err := f.Parse(args); errors.Is(err, flag.ErrHelp) {
			return 0, err
		} else if err != nil {
			return 0, usage("%s: %w; see: writ-audit help", name, err)
		}
		if f.NArg() == 0 {
			break
		}
		rest, args = append(rest, f.Arg(0)), f.Args()[1:]
	}
	if err := c.checkFiles(name, called, len(rest)); err != nil {
		return 0, err
	}
	return called.do(rest)
}

// defineFlags defines the flags of the command of that name.
func (c *command) defineFlags(name string, f *flag.FlagSet) (called filesCommand, err error) {
	called = filesCommand{min: 1, most: 1}
	f.BoolVar(&c.json, "json", false, "")
	switch name {
	case "verify":
		called.do = c.runVerify
		c.verifier.Define(f)
		f.BoolVar(&c.asSARIF, "sarif", false, "")
	case "replay":
		called.do = c.runReplay
	case "show":
		called.do = c.runShow
		f.IntVar(&c.step, "step", -1, "")
	case "diff":
		called = filesCommand{c.runDiff, 2, 2}
		f.StringVar(&c.keysA, "keys-a", "", "")
		f.StringVar(&c.keysB, "keys-b", "", "")
	case "nonces":
		called = filesCommand{c.runNonces, 1, maxFiles}
		f.StringVar(&c.operator, "operator-key", "", "")
		f.StringVar(&c.rpc, "rpc", "", "")
		f.Uint64Var(&c.from, "from", 0, "")
	case "log":
		called = filesCommand{c.watchLog, 1, 2}
		f.StringVar(&c.operator, "operator-key", "", "")
		c.log.Define(f)
		c.watch.defineFlags(f)
	default:
		return called, usage("there is no command %q; there are verify, replay, show, diff, nonces, log and version", name)
	}
	if name != "nonces" {
		f.Var(&c.gateways, "gateway", "")
	}
	if name != "diff" {
		f.StringVar(&c.keys, "keys", "", "")
	}
	return called, nil
}

// checkFiles says what a command wants if it was given too few files or too many, or two forms at once.
func (c *command) checkFiles(name string, called filesCommand, given int) error {
	fits := given >= called.min && given <= called.most
	switch {
	case given < called.min && name == "nonces":
		return usage("nonces wants the address of the agent's account; see: writ-audit help")
	case !fits && name == "log":
		return usage("log wants a checkpoint file, or the log's address or folder, and perhaps an older checkpoint " +
			"before it; see: writ-audit help")
	case !fits:
		return usage("%s wants %d CAR file(s) and was given %d; see: writ-audit help", name, called.min, given)
	case c.json && c.asSARIF:
		return usage("give --json or --sarif, not both")
	}
	return nil
}

// openCAR opens a CAR file. Faults of what it holds are a [*provenance.Fault]; the caller closes the file.
func openCAR(path string) (*provenance.CAR, *os.File, error) {
	f, err := os.Open(path)
	if err != nil {
		return nil, nil, usage("%w", err)
	}
	info, err := f.Stat()
	if err == nil && !info.Mode().IsRegular() {
		err = fmt.Errorf("%s is not a file", path)
	}
	if err != nil {
		f.Close()
		return nil, nil, usage("%w", err)
	}
	car, err := provenance.OpenCAR(f, info.Size())
	if err != nil {
		f.Close()
		return nil, nil, fmt.Errorf("%s: %w; fetch or export the file again", path, err)
	}
	return car, f, nil
}

// readKeys reads a key file; without one there are no keys.
func readKeys(path string) (map[provenance.Link]provenance.LeafKey, error) {
	return readKeysBy(path, func(r io.Reader) io.Reader { return r })
}

// readKeysBy is readKeys of what by makes of the file.
func readKeysBy(path string, by func(io.Reader) io.Reader) (map[provenance.Link]provenance.LeafKey, error) {
	if path == "" {
		return nil, nil
	}
	f, err := os.Open(path)
	if err != nil {
		return nil, usage("%w", err)
	}
	defer f.Close()
	keys, err := provenance.ReadKeys(by(f))
	if err != nil {
		return nil, fmt.Errorf("--keys %s: %w", path, err)
	}
	return keys, nil
}

// printObject prints one JSON object: "ok", and the members of v, which marshals to an object.
func (c *command) printObject(ok bool, v any) error {
	b, err := json.Marshal(v)
	if err != nil {
		return fmt.Errorf("write the result: %w", err)
	}
	_, err = fmt.Fprintf(c.out, "{\"ok\":%t,%s\n", ok, b[1:])
	return err
}

// hasColor says whether the output shows colours: a terminal does, unless NO_COLOR is set; CLICOLOR_FORCE forces it.
func (c *command) hasColor() bool {
	if force := os.Getenv("CLICOLOR_FORCE"); force != "" && force != "0" {
		return true
	}
	f, ok := c.out.(*os.File)
	if !ok || os.Getenv("NO_COLOR") != "" || os.Getenv("TERM") == "dumb" {
		return false
	}
	info, err := f.Stat()
	return err == nil && info.Mode()&os.ModeCharDevice != 0
}
