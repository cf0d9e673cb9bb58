package main

import (
	"context"
	"encoding/base64"
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
	"github.com/writ-run/writ/internal/logreader"
	"github.com/writ-run/writ/provenance"
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

func (w *watchFlags) define(f *flag.FlagSet) {
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

func viewOfCheckpoint(c provenance.Checkpoint) *checkpointView {
	return &checkpointView{c.Origin, c.Size, base64.StdEncoding.EncodeToString(c.Root[:]), c.Cosigned}
}

func (c *checkpointView) String() string {
	s := fmt.Sprintf("%s, size %d, root %s", audit.Printable(c.Origin), c.Size, c.Root)
	if len(c.Cosigned) > 0 {
		s += ", cosigned by " + strings.Join(c.Cosigned, ", ")
	}
	return s
}

// An entryView is an entry of the log. What is more than its CID comes from its block.
type entryView struct {
	Index  uint64 `json:"index"`
	CID    string `json:"cid"`
	Kind   string `json:"kind"` // "head", "binding", "unfetched", or "other"
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

func (v *watchView) exit() int {
	return audit.Exit(&provenance.Report{Verdict: v.Verdict, Code: v.Code})
}

// A watcher is one call of the command log.
type watcher struct {
	c      *command
	policy provenance.LogPolicy
	log    *logreader.Log // nil if only files are given
	// old is what is known, with its text; Size 0 and no text if nothing is.
	old     provenance.Checkpoint
	oldText []byte
	anchors *provenance.Anchors // nil if no chain is named
}

// watchLog judges a log: two checkpoints of it, or one and what it says now; lists what is in it; follows it.
func (c *command) watchLog(args []string) (int, error) {
	o, err := c.log.options(c.ctx)
	if err != nil {
		return 0, err
	}
	w := &watcher{c: c, policy: o.Policy, anchors: o.Anchors}
	f := &c.watch
	last := args[len(args)-1]
	switch {
	case len(w.policy.Logs) == 0:
		return 0, usage("log wants --log-key, or --witness-policy with a log line: whose checkpoints count; you have it from the operator by another way than the log")
	case len(args) == 2 && f.state != "":
		return 0, usage("give an older checkpoint as a file, or --state, not both")
	case f.follow && f.state == "":
		return 0, usage("--follow wants --state FILE, in which the newest checkpoint is remembered")
	case f.follow && (f.interval < 100*time.Millisecond || f.interval > 24*time.Hour || f.patience < 0):
		return 0, usage("--interval is from 100ms to 24h, and --patience not negative")
	case f.run != "" && len(c.gateways) == 0:
		return 0, usage("--run wants --gateway, from which the heads come: the log has their CIDs alone")
	case f.follow && (f.heads || f.run != "" || o.Anchors != nil):
		return 0, usage("list heads and compare anchors without --follow")
	}
	var offered []byte // a checkpoint in a file
	switch info, err := os.Stat(last); {
	case strings.Contains(last, "://") || err == nil && info.IsDir():
		if c.log.at != "" {
			return 0, usage("the log is given twice: as %s and by --log", last)
		}
		if w.log, err = logreader.Open(last); err != nil {
			return 0, usage("%w", err)
		}
	default:
		if offered, err = readText("log", last); err != nil {
			return 0, err
		}
		if c.log.at != "" {
			if w.log, err = logreader.Open(c.log.at); err != nil {
				return 0, usage("--log: %w", err)
			}
		}
		if f.follow {
			return 0, usage("--follow wants the address of the log, or its folder")
		}
	}
	older := f.state
	if len(args) == 2 {
		older = args[0]
	}
	if err := w.remembered(older, len(args) == 2); err != nil {
		return 0, err
	}
	if f.follow {
		return w.follow()
	}
	v, err := w.look(c.ctx, offered)
	if err != nil {
		return 0, unreachable(err)
	}
	if c.json {
		return v.exit(), c.object(v.Verdict == provenance.Verified, v)
	}
	return v.exit(), v.text(c.out)
}

// unreachable gives an error about the way to a log its exit code.
func unreachable(err error) error {
	if errors.Is(err, logreader.ErrUnreachable) {
		return networkError{err}
	}
	return err
}

// remembered reads the older checkpoint. That it is not there is an error only where it must be.
func (w *watcher) remembered(name string, must bool) error {
	if name == "" {
		return nil
	}
	raw, err := os.ReadFile(name)
	if errors.Is(err, fs.ErrNotExist) && !must {
		return nil
	}
	if err == nil && len(raw) > provenance.MaxProof {
		err = fmt.Errorf("%s is no checkpoint", name)
	}
	if err != nil {
		return usage("the older checkpoint: %w", err)
	}
	// Who cosigned it is not asked again: a policy may have changed since.
	if w.old, err = (provenance.LogPolicy{Logs: w.policy.Logs}).OpenCheckpoint(raw); err != nil {
		return fmt.Errorf("%s, the older checkpoint: %w", name, err)
	}
	w.oldText = raw
	return nil
}

// look judges what the log says now, or offered, and remembers it if it fits. A finding is in the view, not an error.
func (w *watcher) look(ctx context.Context, offered []byte) (*watchView, error) {
	v := &watchView{Verdict: provenance.Verified, First: w.oldText == nil}
	if w.oldText != nil {
		v.Known = viewOfCheckpoint(w.old)
	}
	err := w.judge(ctx, offered, v)
	if f, found := errors.AsType[*provenance.Fault](err); found {
		v.Verdict, v.Code, v.Detail = provenance.Failed, f.Code, f.Detail
		return v, nil
	}
	return v, err
}

func (w *watcher) judge(ctx context.Context, raw []byte, v *watchView) error {
	if raw == nil {
		var err error
		raw, err = w.log.Checkpoint(ctx)
		switch {
		case errors.Is(err, fs.ErrNotExist) && w.old.Size > 0:
			return &provenance.Fault{Code: provenance.CodeLogStale, Detail: fmt.Sprintf("the log has no checkpoint any more, and one of size %d is known", w.old.Size)}
		case errors.Is(err, fs.ErrNotExist):
			v.Verdict, v.Detail = provenance.Gaps, "the log has no checkpoint yet"
			return nil
		case err != nil:
			return err
		}
	}
	now, err := w.policy.OpenCheckpoint(raw)
	if err == nil {
		v.Now = viewOfCheckpoint(now)
		if err = w.extends(ctx, now, v); err == nil && w.anchors != nil {
			err = w.anchored(ctx, now, v)
		}
	}
	if _, found := errors.AsType[*provenance.Fault](err); found {
		// Two checkpoints that do not fit are the proof against the log: keep the one that is not remembered.
		if w.c.watch.state != "" && len(raw) > 0 {
			v.Refused = w.c.watch.state + ".refused"
			if err := remember(v.Refused, raw); err != nil {
				return err
			}
		}
		return err
	}
	if err != nil || v.Verdict != provenance.Verified {
		return err
	}
	if w.c.watch.heads || w.c.watch.run != "" {
		if err := w.list(ctx, now, v); err != nil {
			return err
		}
	}
	if w.c.watch.state != "" && string(raw) != string(w.oldText) {
		if err := remember(w.c.watch.state, raw); err != nil {
			return err
		}
	}
	w.old, w.oldText = now, raw
	return nil
}

// extends checks that the log which was as is known is now as it says.
func (w *watcher) extends(ctx context.Context, now provenance.Checkpoint, v *watchView) error {
	if w.oldText == nil {
		return nil
	}
	var hashes [][32]byte
	if w.old.Size > 0 && w.old.Size < now.Size && w.old.Origin == now.Origin {
		if w.log == nil {
			v.Verdict, v.Detail = provenance.Gaps, "whether the newer extends the older is not known: give --log, the log's address or folder, which has the proof"
			return nil
		}
		var err error
		if hashes, err = w.log.Consistency(ctx, w.old, now); err != nil {
			return err
		}
	}
	return w.old.Consistent(now, hashes)
}

// anchored checks that what is anchored on the chain is of this log, as far as the checkpoint goes.
func (w *watcher) anchored(ctx context.Context, now provenance.Checkpoint, v *watchView) error {
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
		old := provenance.Checkpoint{Origin: now.Origin, Size: x.Size, Root: x.Root}
		shown := x.Size == now.Size || x.Size < now.Size && w.log != nil
		if x.Size > now.Size && w.c.log.at == "" && w.log != nil { // the log itself says so
			return &provenance.Fault{Code: provenance.CodeLogStale, Detail: fmt.Sprintf("the log has %d entries, and block %d anchors %d", now.Size, x.Block, x.Size)}
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
				return &provenance.Fault{Code: provenance.CodeAnchorRoot, Detail: fmt.Sprintf("the tree of size %d that block %d anchors is not of this log", x.Size, x.Block)}
			}
		}
		v.Anchors = append(v.Anchors, anchorView{x.Size, base64.StdEncoding.EncodeToString(x.Root[:]), base64.StdEncoding.EncodeToString(x.Closed[:]),
			x.Block, stamp(x.Time), stamp(x.Made), shown})
	}
	return nil
}

// remember writes a file whole or not at all, durably.
func remember(path string, data []byte) (err error) {
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

// list reads the entries of the log, and, from gateways, what they are.
func (w *watcher) list(ctx context.Context, now provenance.Checkpoint, v *watchView) error {
	if w.log == nil {
		return usage("listing heads wants the log itself: its address, its folder, or --log")
	}
	operator, err := operatorKey(w.c.operator)
	if err != nil {
		return err
	}
	var blocks *fetch
	if len(w.c.gateways) > 0 {
		blocks = newFetch(w.c.gateways)
	}
	type place struct {
		run string
		seq uint64
	}
	steps := map[place]entryView{}
	v.Entries = []entryView{}
	for e, err := range w.log.Entries(ctx, now, w.c.watch.from) {
		if err != nil {
			return err
		}
		n, link, err := cid.CidFromBytes(e.Data)
		if err != nil || n != len(e.Data) {
			if w.c.watch.run == "" {
				v.Entries = append(v.Entries, entryView{Index: e.Index, Kind: "other"})
			}
			continue
		}
		x := entryView{Index: e.Index, CID: link.String(), Kind: "unfetched"}
		if blocks != nil {
			data, err := blocks.get(ctx, link)
			if err != nil && !errors.Is(err, provenance.ErrAbsent) {
				return err
			}
			if err == nil {
				x.Kind = "other"
				switch rec, _ := provenance.DecodeAny(data); rec := rec.(type) {
				case *provenance.Head:
					x.Kind, x.Run, x.Seq, x.Step = "head", rec.Run.String(), rec.Seq, rec.Step.String()
					x.At = time.UnixMilli(rec.At).UTC().Format(time.RFC3339Nano)
					if len(operator) > 0 {
						if err := rec.Verify(operator); err != nil {
							return fmt.Errorf("entry %d: %w", e.Index, err)
						}
						x.Signed = true
					}
				case *provenance.KeyBinding:
					x.Kind = "binding"
				}
			}
		}
		if w.c.watch.run != "" && x.Run != w.c.watch.run {
			continue
		}
		v.Entries = append(v.Entries, x)
		if x.Kind != "head" {
			continue
		}
		at := place{x.Run, x.Seq}
		if before, twice := steps[at]; twice && before.Step != x.Step {
			return &provenance.Fault{Code: provenance.CodeLogBranch, At: link,
				Detail: fmt.Sprintf("entries %d and %d are heads of two histories of run %s: another step %d each", before.Index, x.Index, x.Run, x.Seq)}
		}
		steps[at] = x
	}
	return nil
}

// follow looks again and again until the context ends, something is found, or the log is away for too long.
func (w *watcher) follow() (int, error) {
	ctx := w.c.ctx
	var away time.Time // since when; zero while it answers
	tick := time.NewTicker(w.c.watch.interval)
	defer tick.Stop()
	for told := false; ; told = true {
		before := string(w.oldText)
		v, err := w.look(ctx, nil)
		switch {
		case ctx.Err() != nil:
			return 0, context.Cause(ctx)
		case errors.Is(err, logreader.ErrUnreachable):
			if away.IsZero() {
				away = time.Now()
				v.Verdict, v.Unanswered = provenance.Gaps, err.Error()
				if err := w.tell(v); err != nil {
					return 0, err
				}
			}
			if time.Since(away) >= w.c.watch.patience {
				return 0, networkError{fmt.Errorf("away for %s: %w", w.c.watch.patience, err)}
			}
		case err != nil:
			return 0, err
		default:
			away = time.Time{}
			if !told || v.Verdict == provenance.Failed || before != string(w.oldText) {
				if err := w.tell(v); err != nil {
					return 0, err
				}
			}
			if v.Verdict == provenance.Failed {
				return v.exit(), nil
			}
		}
		select {
		case <-tick.C:
		case <-ctx.Done():
		}
	}
}

// tell prints what was seen while a log is followed: with --json, one object a line.
func (w *watcher) tell(v *watchView) error {
	if w.c.json {
		return w.c.object(v.Verdict == provenance.Verified, v)
	}
	return v.text(w.c.out)
}

func (v *watchView) text(w io.Writer) error {
	var b strings.Builder
	for _, e := range v.Entries {
		fmt.Fprintf(&b, "%8d  %-9s  %s", e.Index, e.Kind, e.CID)
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
	switch {
	case v.Unanswered != "":
		fmt.Fprintf(&b, "AWAY %s; trying again\n", audit.Printable(v.Unanswered))
	case v.Verdict == provenance.Failed:
		fmt.Fprintf(&b, "FAILED %s: %s\n", v.Code, audit.Printable(v.Detail))
		if v.Refused != "" {
			fmt.Fprintf(&b, "the checkpoint that does not fit is kept in %s\n", audit.Printable(v.Refused))
		}
	case v.Verdict == provenance.Gaps:
		fmt.Fprintf(&b, "VERIFIED WITH GAPS %s\n", v.Detail)
	case v.First:
		b.WriteString("VERIFIED signed by the log; nothing older is known to compare it with\n")
	default:
		b.WriteString("VERIFIED one log: nothing of the older checkpoint was changed or taken away\n")
	}
	if _, err := io.WriteString(w, b.String()); err != nil {
		return fmt.Errorf("write the result: %w", err)
	}
	return nil
}
