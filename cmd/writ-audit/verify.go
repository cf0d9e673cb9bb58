package main

import (
	"errors"
	"fmt"
	"io"
	"strings"

	"github.com/writ-run/writ/agent/audit"
	"github.com/writ-run/writ/internal/ethcall"
	"github.com/writ-run/writ/provenance"
)

// endpoints is the flag --rpc of verify, which may be given more than once.
type endpoints []string

func (e *endpoints) String() string { return strings.Join(*e, " ") }

func (e *endpoints) Set(s string) error {
	*e = append(*e, s)
	return nil
}

// verify judges a file. A fault of the file is the verdict, not an error.
func (c *command) verify(files []string) (int, error) {
	operator, err := operatorKey(c.operator)
	if err != nil {
		return 0, err
	}
	keys, err := readKeys(c.keys)
	if err != nil {
		return 0, err
	}
	chains, err := ethcall.DialAll(c.endpoints)
	if err != nil {
		return 0, usage("--rpc: %w", err)
	}
	log, err := c.log.options(c.ctx)
	if err != nil {
		return 0, err
	}
	var rep *provenance.Report
	car, file, err := c.openAny(files[0])
	if f, bad := errors.AsType[*provenance.Fault](err); bad {
		rep = provenance.FailedReport(f)
	} else if err != nil {
		return 0, err
	} else {
		defer file.Close()
		o := provenance.Options{OperatorKey: operator, Keys: keys, Log: log}
		if len(chains) > 0 {
			rep = audit.VerifyOn(c.ctx, car, o, chains)
		} else {
			rep = audit.Verify(car, o)
		}
	}
	if c.asSARIF {
		return audit.Exit(rep), c.sarif(rep, files[0])
	}
	if c.json {
		return audit.Exit(rep), c.object(rep.Verdict == provenance.Verified, rep)
	}
	return audit.Exit(rep), audit.Text(c.out, rep, c.color())
}

// A replay is what came of deciding a run again.
type replay struct {
	Verdict string          `json:"verdict"` // "same", "different", or "sealed": there was nothing to decide from
	Same    bool            `json:"same"`
	Steps   int             `json:"steps"` // of the run
	Again   int             `json:"again"` // steps that led to the same CID
	Run     string          `json:"run,omitempty"`
	Code    provenance.Code `json:"code,omitempty"`
	At      string          `json:"at,omitempty"`
	Detail  string          `json:"detail,omitempty"`
}

// replay decides every step again.
func (c *command) replay(files []string) (int, error) {
	keys, err := readKeys(c.keys)
	if err != nil {
		return 0, err
	}
	car, file, err := c.openAny(files[0])
	if err != nil {
		return 0, err
	}
	defer file.Close()
	var r replay
	rep := audit.Replay(car, provenance.Options{Keys: keys}, func(s audit.Replayed) {
		mark := "same"
		if s.Recorded == s.Recomputed {
			r.Again++
		} else {
			mark = "DIFFERENT: " + cidOrNone(s.Recomputed)
		}
		if !c.json {
			fmt.Fprintf(c.out, "%5d  %s  %s\n", s.Seq, s.Recorded, mark)
		}
	})
	r.Steps, r.Run = rep.Steps, rep.Run
	exit := audit.ExitVerified
	switch {
	case rep.Verdict == provenance.Failed:
		r.Verdict, r.Code, r.At, r.Detail = "different", rep.Code, rep.At, rep.Detail
		exit = audit.Exit(rep)
	case r.Again < r.Steps:
		r.Verdict, exit = "sealed", audit.ExitIncomplete
		r.Detail = rep.Status(provenance.CheckDecisions).Note + "; give --keys"
	default:
		r.Verdict, r.Same = "same", true
	}
	if c.json {
		return exit, c.object(r.Same, r)
	}
	return exit, r.text(c.out)
}

func cidOrNone(l provenance.Link) string {
	if !l.Defined() {
		return "no such record follows from the events"
	}
	return l.String()
}

func (r *replay) text(w io.Writer) (err error) {
	switch {
	case r.Same:
		_, err = fmt.Fprintf(w, "SAME %d of %d steps have the recorded CID when decided again, run %s\n", r.Again, r.Steps, r.Run)
	case r.Code != "":
		at := ""
		if r.At != "" {
			at = " at " + r.At
		}
		_, err = fmt.Fprintf(w, "DIFFERENT %s%s: %s\n", r.Code, at, audit.Printable(r.Detail))
	default:
		_, err = fmt.Fprintf(w, "NOT REPLAYED %s\n", r.Detail)
	}
	return err
}
