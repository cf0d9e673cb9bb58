package main

import (
	"context"
	"encoding/base64"
	"encoding/hex"
	"errors"
	"flag"
	"fmt"
	"io"
	"io/fs"
	"os"
	"path/filepath"
	"strings"
	"time"

	"github.com/ipfs/go-cid"

	"github.com/writ-run/writ/agent/audit"
	"github.com/writ-run/writ/internal/verifier"
	"github.com/writ-run/writ/provenance"
	"github.com/writ-run/writ/provenance/logproof"
	"github.com/writ-run/writ/provenance/translog/reader"
)

// watchFlags are those of the command log.
type watchFlags struct {
	state              string // file of the remembered checkpoint
	follow             bool
	interval, patience time.Duration
	heads              bool
	run                string
	from               uint64
}

func (w *watchFlags) defineFlags(f *flag.FlagSet) {
	f.StringVar(&w.state, "state", "", "")
	f.BoolVar(&w.follow, "follow", false, "")
	f.DurationVar(&w.interval, "interval", 10*time.Second, "")
	f.DurationVar(&w.patience, "patience", 10*time.Minute, "")
	f.BoolVar(&w.heads, "heads", false, "")
	f.StringVar(&w.run, "run", "", "")
	f.Uint64Var(&w.from, "from", 0, "")
}

// A checkpointView is a checkpoint as it is printed.
type checkpointView struct {
	Origin   string   `json:"origin"`
	Size     uint64   `json:"size"`
	Root     string   `json:"root"` // base64
	Cosigned []string `json:"cosigned,omitempty"`
}

func viewOfCheckpoint(c logproof.Checkpoint) *checkpointView {
	return &checkpointView{c.Origin, c.Size, base64.StdEncoding.EncodeToString(c.Root[:]), c.Cosigned}
}

func (c *checkpointView) String() string {
	s := fmt.Sprintf("%s, size %d, root %s", audit.Printable(c.Origin), c.Size, c.Root)
	if len(c.Cosigned) > 0 {
		s += ", cosigned by " + strings.Join(c.Cosigned, ", ")
	}
	return s
}

// An entryView is an entry of the log. Who knows its run has its CID, and what is more comes from the head's block.
type entryView struct {
	Index  uint64 `json:"index"`
	Tag    string `json:"tag,omitempty"` // what the entries of one run have in common
	CID    string `json:"cid,omitempty"`
	Kind   string `json:"kind"` // "head", "binding", "unfetched", "sealed" (of a run that was not named), or "other"
	Run    string `json:"run,omitempty"`
	Seq    uint64 `json:"seq,omitempty"`
	Step   string `json:"step,omitempty"`
	At     string `json:"at,omitempty"`
	Signed bool   `json:"signed,omitempty"` // by the operator's key that was given
}

// An anchorView is an anchor on a chain.
type anchorView struct {
	Size   uint64 `json:"size"`
	Root   string `json:"root"`   // base64
	Closed string `json:"closed"` // base64
	Block  uint64 `json:"block"`
	Time   string `json:"time"`  // of the block
	Made   string `json:"made"`  // every head up to then is in the tree
	Shown  bool   `json:"shown"` // to be of the log
}

// A watchView is what came of looking at a log once.
type watchView struct {
	Verdict    string          `json:"verdict"` // provenance.Verified, Gaps or Failed
	Code       provenance.Code `json:"code,omitempty"`
	Detail     string          `json:"detail,omitempty"`
	Known      *checkpointView `json:"known,omitempty"` // the older one: remembered, or given
	Now        *checkpointView `json:"now,omitempty"`
	First      bool            `json:"first,omitempty"`   // nothing was remembered: nothing is known of before
	Refused    string          `json:"refused,omitempty"` // the file in which the checkpoint is that does not fit
	Entries    []entryView     `json:"entries,omitempty"`
	Anchors    []anchorView    `json:"anchors,omitempty"`
	Unanswered string          `json:"unanswered,omitempty"` // why a log could not be asked, while it is followed
}

func (v *watchView) exitCode() int {
	return audit.Exit(&provenance.Report{Verdict: v.Verdict, Code: v.Code})
}

// A watcher is one call of the command log.
type watcher struct {
	c      *command
	policy logproof.Policy
	log    *reader.Log // nil if only files are given
	// old is what is known, with its text; Size 0 and no text if nothing is.
	old     logproof.Checkpoint
	oldText []byte
	anchors *logproof.Anchors // nil if no chain is named
	epochs  []logproof.Epoch  // by which a log that is trusted goes on as another
	run     provenance.Link   // whose entries are listed; undefined for all
}

// watchLog judges a log: two checkpoints of it, or one and what it says now; lists what is in it; follows it.
func (c *command) watchLog(args []string) (int, error) {
	w, offered, err := c.openWatcher(args)
	if err != nil {
		return 0, err
	}
	if c.watch.follow {
		return w.followLog()
	}
	v, err := w.lookOnce(c.ctx, offered)
	if err != nil {
		return 0, unreachableError(err)
	}
	if c.json {
		return v.exitCode(), c.printObject(v.Verdict == provenance.Verified, v)
	}
	return v.exitCode(), v.writeText(c.out)
}

// openWatcher reads what the command was given: whose log it is, the log or a checkpoint that is offered, and the older
// one.
func (c *command) openWatcher(args []string) (w *watcher, offered []byte, err error) {
	o, err := c.log.Options(c.ctx)
	if err != nil {
		return nil, nil, err
	}
	w = &watcher{c: c, policy: o.Policy, anchors: o.Anchors}
	if len(o.Epochs) > 0 {
		if w.policy.Logs, w.epochs, err = logproof.FollowEpochs(w.policy.Logs, o.Epochs); err != nil {
			return nil, nil, fmt.Errorf("--log-epoch: %w", err)
		}
	}
	if err := w.checkFlags(len(args) == 2); err != nil {
		return nil, nil, err
	}
	if f := &c.watch; f.run != "" {
		if w.run, err = cid.Decode(f.run); err != nil {
			return nil, nil, usage("--run: %w", err)
		}
	}
	if offered, err = w.openLog(args[len(args)-1]); err != nil {
		return nil, nil, err
	}
	if len(args) == 2 {
		return w, offered, w.readRemembered(args[0], true)
	}
	return w, offered, w.readRemembered(c.watch.state, false)
}

// checkFlags says which flags do not go together. older says that an older checkpoint is given as a file.
func (w *watcher) checkFlags(older bool) error {
	f := &w.c.watch
	switch {
	case len(w.policy.Logs) == 0:
		return usage("log wants --log-key, or --witness-policy with a log line: whose checkpoints count; you have it " +
			"from the operator by another way than the log")
	case older && f.state != "":
		return usage("give an older checkpoint as a file, or --state, not both")
	case f.follow && f.state == "":
		return usage("--follow wants --state FILE, in which the newest checkpoint is remembered")
	case f.follow && (f.interval < 100*time.Millisecond || f.interval > 24*time.Hour || f.patience < 0):
		return usage("--interval is from 100ms to 24h, and --patience not negative")
	case len(w.c.gateways) > 0 && f.run == "":
		return usage("--gateway goes with --run: who does not know a run cannot read what the log has of it")
	case f.follow && (f.heads || f.run != "" || w.anchors != nil):
		return usage("list heads and compare anchors without --follow")
	}
	return nil
}

// openLog opens the log of that address or folder; or reads the checkpoint in a file of that name, and opens the log
// that --log names, if it does.
func (w *watcher) openLog(name string) (offered []byte, err error) {
	at := w.c.log.At
	if info, err := os.Stat(name); strings.Contains(name, "://") || err == nil && info.IsDir() {
		if at != "" {
			return nil, usage("the log is given twice: as %s and by --log", name)
		}
		if w.log, err = reader.Open(name); err != nil {
			return nil, usage("%w", err)
		}
		return nil, nil
	}
	if offered, err = verifier.ReadText("log", name); err != nil {
		return nil, err
	}
	if at != "" {
		if w.log, err = reader.Open(at); err != nil {
			return nil, usage("--log: %w", err)
		}
	}
	if w.c.watch.follow {
		return nil, usage("--follow wants the address of the log, or its folder")
	}
	return offered, nil
}

// unreachableError gives an error about the way to a log its exit code.
func unreachableError(err error) error {
	if errors.Is(err, reader.ErrUnreachable) {
		return verifier.Unreachable(err)
	}
	return err
}

// readRemembered reads the older checkpoint. That it is not there is an error only where it must be.
func (w *watcher) readRemembered(name string, must bool) error {
	if name == "" {
		return nil
	}
	raw, err := verifier.ReadText("the older checkpoint", name)
	if errors.Is(err, fs.ErrNotExist) && !must {
		return nil
	}
	if err != nil {
		return err
	}
	// Who cosigned it is not asked again: a policy may have changed since.
	if w.old, err = (logproof.Policy{Logs: w.policy.Logs}).OpenCheckpoint(raw); err != nil {
		return fmt.Errorf("%s, the older checkpoint: %w", name, err)
	}
	w.oldText = raw
	return nil
}

// lookOnce judges what the log says now, or offered, and remembers it if it fits. A finding is in the view, not an
// error.
func (w *watcher) lookOnce(ctx context.Context, offered []byte) (*watchView, error) {
	v := &watchView{Verdict: provenance.Verified, First: w.oldText == nil}
	if w.oldText != nil {
		v.Known = viewOfCheckpoint(w.old)
	}
	err := w.judgeCheckpoint(ctx, offered, v)
	if f, found := errors.AsType[*provenance.Fault](err); found {
		v.Verdict, v.Code, v.Detail = provenance.Failed, f.Code, f.Detail
		return v, nil
	}
	return v, err
}

// judgeCheckpoint judges the checkpoint of those bytes, or the log's newest if there are none.
func (w *watcher) judgeCheckpoint(ctx context.Context, raw []byte, v *watchView) (err error) {
	if raw == nil {
		if raw, err = w.readNewest(ctx); err != nil {
			return err
		}
	}
	now, err := w.policy.OpenCheckpoint(raw)
	if err == nil {
		v.Now = viewOfCheckpoint(now)
		if err = w.checkExtension(ctx, now, v); err == nil && w.anchors != nil {
			err = w.checkAnchors(ctx, now, v)
		}
	}
	state := w.c.watch.state
	if _, found := errors.AsType[*provenance.Fault](err); found && state != "" && len(raw) > 0 {
		// Two checkpoints that do not fit are the proof against the log: keep the one that is not remembered.
		v.Refused = state + ".refused"
		if err := writeDurably(v.Refused, raw); err != nil {
			return err
		}
	}
	if err != nil || v.Verdict != provenance.Verified {
		return err
	}
	if w.c.watch.heads || w.c.watch.run != "" {
		if err := w.listEntries(ctx, now, v); err != nil {
			return err
		}
	}
	if state != "" && string(raw) != string(w.oldText) {
		if err := writeDurably(state, raw); err != nil {
			return err
		}
	}
	w.old, w.oldText = now, raw
	return nil
}

// readNewest reads the log's newest checkpoint. Where there is none there may be no log at all.
func (w *watcher) readNewest(ctx context.Context) ([]byte, error) {
	raw, err := w.log.Checkpoint(ctx)
	if !errors.Is(err, fs.ErrNotExist) {
		return raw, err
	}
	if w.old.Size > 0 {
		return nil, &provenance.Fault{Code: logproof.CodeLogStale,
			Detail: fmt.Sprintf("the log has no checkpoint any more, and one of size %d is known", w.old.Size)}
	}
	return nil, verifier.Networkf("there is no checkpoint of a log there; a server's log is at its address with /log, " +
		"and has its first checkpoint soon after the first run")
}

// checkExtension checks that the log which was as is known is now as it says.
func (w *watcher) checkExtension(ctx context.Context, now logproof.Checkpoint, v *watchView) error {
	if w.oldText == nil {
		return nil
	}
	old := w.old
	if way, ok := logproof.FindWay(w.epochs, old.Origin, now.Origin); ok && len(way) > 0 {
		if kept := way.Kept(); old.Size > kept {
			v.Verdict, v.Detail = provenance.Gaps, fmt.Sprintf("the log ended, and the one that goes on kept %d of the %d "+
				"entries that are known; keep what you remember, and follow on with another --state", kept, old.Size)
			return nil
		}
		old.Origin = now.Origin
	}
	var hashes [][32]byte
	if old.Size > 0 && old.Size < now.Size && old.Origin == now.Origin {
		if w.log == nil {
			v.Verdict, v.Detail = provenance.Gaps, "whether the newer extends the older is not known: give --log, the log's "+
				"address or folder, which has the proof"
			return nil
		}
		var err error
		if hashes, err = w.log.Consistency(ctx, old, now); err != nil {
			return err
		}
	}
	return old.Consistent(now, hashes)
}

// checkAnchors checks that what is anchored on the chain is of this log, as far as the checkpoint goes.
func (w *watcher) checkAnchors(ctx context.Context, now logproof.Checkpoint, v *watchView) error {
	var keys []string
	for _, k := range w.policy.Logs {
		if k.Origin() == now.Origin {
			keys = append(keys, k.VKey())
		}
	}
	if err := w.anchors.Check(keys); err != nil {
		return err
	}
	v.Anchors = []anchorView{}
	stamp := func(s int64) string { return time.Unix(s, 0).UTC().Format(time.RFC3339) }
	for _, x := range w.anchors.List {
		old := logproof.Checkpoint{Origin: now.Origin, Size: x.Size, Root: x.Root}
		shown := x.Size == now.Size || x.Size < now.Size && w.log != nil
		if x.Size > now.Size && w.c.log.At == "" && w.log != nil { // the log itself says so
			return &provenance.Fault{Code: logproof.CodeLogStale,
				Detail: fmt.Sprintf("the log has %d entries, and block %d anchors %d", now.Size, x.Block, x.Size)}
		}
		if shown {
			var hashes [][32]byte
			var err error
			if x.Size < now.Size {
				if hashes, err = w.log.Consistency(ctx, old, now); err != nil {
					return err
				}
			}
			if old.Consistent(now, hashes) != nil {
				return &provenance.Fault{Code: logproof.CodeAnchorRoot,
					Detail: fmt.Sprintf("the tree of size %d that block %d anchors is not of this log", x.Size, x.Block)}
			}
		}
		v.Anchors = append(v.Anchors,
			anchorView{x.Size, base64.StdEncoding.EncodeToString(x.Root[:]), base64.StdEncoding.EncodeToString(x.Closed[:]),
				x.Block, stamp(x.Time), stamp(x.Made), shown})
	}
	return nil
}

// writeDurably writes a file whole or not at all, durably.
func writeDurably(path string, data []byte) (err error) {
	defer func() {
		if err != nil {
			err = fmt.Errorf("remember the checkpoint: %w", err)
		}
	}()
	f, err := os.CreateTemp(filepath.Dir(path), ".writ-audit-*")
	if err != nil {
		return err
	}
	defer os.Remove(f.Name())
	_, err = f.Write(data)
	if err == nil {
		err = f.Sync()
	}
	if err := errors.Join(err, f.Close()); err != nil {
		return err
	}
	if err := os.Rename(f.Name(), path); err != nil {
		return err
	}
	dir, err := os.Open(filepath.Dir(path))
	if err != nil {
		return err
	}
	return errors.Join(dir.Sync(), dir.Close())
}

// listEntries reads the entries of the log, opens those of the run that is asked for, and reads from gateways what they
// are.
func (w *watcher) listEntries(ctx context.Context, now logproof.Checkpoint, v *watchView) error {
	if w.log == nil {
		return usage("listing heads wants the log itself: its address, its folder, or --log")
	}
	operator, err := verifier.OperatorKey(w.c.operator)
	if err != nil {
		return err
	}
	var blocks *fetch
	if len(w.c.gateways) > 0 {
		blocks = newFetch(w.c.gateways)
	}
	seen := headsSeen{}
	v.Entries = []entryView{}
	for e, err := range w.log.Entries(ctx, now, w.c.watch.from) {
		if err != nil {
			return err
		}
		x, link, ours := w.openEntry(e)
		if blocks != nil && ours {
			data, err := blocks.getBlock(ctx, link)
			if err == nil {
				err = x.describeEntry(data, operator)
			}
			if err != nil && !errors.Is(err, provenance.ErrAbsent) {
				return err
			}
		}
		if w.c.watch.run != "" && !ours {
			continue
		}
		v.Entries = append(v.Entries, x)
		if err := seen.checkHead(x, link); err != nil {
			return err
		}
	}
	return nil
}

// headsSeen has the heads that were listed, by their place.
type headsSeen map[headPlace]entryView

type headPlace struct {
	run string
	seq uint64
}

// checkHead says if a head is of another history of its run than one before.
func (seen headsSeen) checkHead(x entryView, link provenance.Link) error {
	if x.Kind != "head" {
		return nil
	}
	at := headPlace{x.Run, x.Seq}
	if before, twice := seen[at]; twice && before.Step != x.Step {
		return &provenance.Fault{Code: logproof.CodeLogBranch, At: link,
			Detail: fmt.Sprintf("entries %d and %d are heads of two histories of run %s: another step %d each", before.Index,
				x.Index, x.Run, x.Seq)}
	}
	seen[at] = x
	return nil
}

// openEntry reads an entry, and opens it if it is of the run that is asked for.
func (w *watcher) openEntry(e reader.Entry) (x entryView, link provenance.Link, ours bool) {
	logged, ok := provenance.ParseLogEntry(e.Data)
	if !ok {
		return entryView{Index: e.Index, Kind: "other"}, link, false
	}
	tag := logged.Tag()
	x = entryView{Index: e.Index, Tag: hex.EncodeToString(tag[:]), Seq: logged.Seq(), Kind: "sealed"}
	if link, ours = logged.Open(w.run); ours {
		x.CID, x.Kind = link.String(), "unfetched"
	}
	return x, link, ours
}

// describeEntry says what an entry is by its block.
func (x *entryView) describeEntry(data, operator []byte) error {
	x.Kind = "other"
	switch rec, _ := provenance.DecodeAny(data); rec := rec.(type) {
	case *provenance.Head:
		x.Kind, x.Run, x.Seq, x.Step = "head", rec.Run.String(), rec.Seq, rec.Step.String()
		x.At = time.UnixMilli(rec.At).UTC().Format(time.RFC3339Nano)
		if len(operator) > 0 {
			if err := rec.Verify(operator); err != nil {
				return fmt.Errorf("entry %d: %w", x.Index, err)
			}
			x.Signed = true
		}
	case *provenance.KeyBinding:
		x.Kind = "binding"
	}
	return nil
}

// followLog looks again and again until the context ends, something is found, or the log is away for too long.
func (w *watcher) followLog() (int, error) {
	ctx := w.c.ctx
	var away time.Time // since when; zero while it answers
	tick := time.NewTicker(w.c.watch.interval)
	defer tick.Stop()
	for told := false; ; told = true {
		before := string(w.oldText)
		v, err := w.lookOnce(ctx, nil)
		switch {
		case ctx.Err() != nil:
			return 0, context.Cause(ctx)
		case errors.Is(err, reader.ErrUnreachable):
			if away.IsZero() {
				away = time.Now()
				v.Verdict, v.Unanswered = provenance.Gaps, err.Error()
				if err := w.printView(v); err != nil {
					return 0, err
				}
			}
			if time.Since(away) >= w.c.watch.patience {
				return 0, verifier.Unreachable(fmt.Errorf("away for %s: %w", w.c.watch.patience, err))
			}
		case err != nil:
			return 0, err
		default:
			away = time.Time{}
			if !told || v.Verdict == provenance.Failed || before != string(w.oldText) {
				if err := w.printView(v); err != nil {
					return 0, err
				}
			}
			if v.Verdict == provenance.Failed {
				return v.exitCode(), nil
			}
		}
		select {
		case <-tick.C:
		case <-ctx.Done():
		}
	}
}

// printView prints what was seen while a log is followed: with --json, one object a line.
func (w *watcher) printView(v *watchView) error {
	if w.c.json {
		return w.c.printObject(v.Verdict == provenance.Verified, v)
	}
	return v.writeText(w.c.out)
}

func (v *watchView) writeText(w io.Writer) error {
	var b strings.Builder
	for _, e := range v.Entries {
		fmt.Fprintf(&b, "%8d  %-9s  ", e.Index, e.Kind)
		switch {
		case e.CID != "":
			b.WriteString(e.CID)
		case e.Tag != "":
			fmt.Fprintf(&b, "step %d of %s", e.Seq, e.Tag)
		}
		if e.Kind == "head" {
			fmt.Fprintf(&b, "  step %d of run %s at %s", e.Seq, e.Run, e.At)
		}
		b.WriteString("\n")
	}
	for _, x := range v.Anchors {
		fmt.Fprintf(&b, "anchor size %d in block %d of %s, with every head up to %s", x.Size, x.Block, x.Time, x.Made)
		if !x.Shown {
			b.WriteString("; not compared: it is of another size, and the log was not given")
		}
		b.WriteString("\n")
	}
	if v.Known != nil {
		fmt.Fprintf(&b, "known  %s\n", v.Known)
	}
	if v.Now != nil {
		fmt.Fprintf(&b, "now    %s\n", v.Now)
	}
	v.writeVerdict(&b)
	if _, err := io.WriteString(w, b.String()); err != nil {
		return fmt.Errorf("write the result: %w", err)
	}
	return nil
}

func (v *watchView) writeVerdict(b *strings.Builder) {
	switch {
	case v.Unanswered != "":
		fmt.Fprintf(b, "AWAY %s; trying again\n", audit.Printable(v.Unanswered))
	case v.Verdict == provenance.Failed:
		fmt.Fprintf(b, "FAILED %s: %s\n", v.Code, audit.Printable(v.Detail))
		if v.Refused != "" {
			fmt.Fprintf(b, "the checkpoint that does not fit is kept in %s\n", audit.Printable(v.Refused))
		}
	case v.Verdict == provenance.Gaps:
		fmt.Fprintf(b, "VERIFIED WITH GAPS %s\n", v.Detail)
	case v.First:
		b.WriteString("VERIFIED signed by the log; nothing older is known to compare it with\n")
	default:
		b.WriteString("VERIFIED one log: nothing of the older checkpoint was changed or taken away\n")
	}
}
