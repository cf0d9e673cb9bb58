package main

import (
	"fmt"
	"io"

	"github.com/writ-run/writ/agent/audit"
	"github.com/writ-run/writ/provenance"
)

// runVerify judges a file. A fault of the file is the verdict, not an error.
func (c *command) runVerify(files []string) (int, error) {
	keys, err := readKeysBy(c.keys, c.verifier.NoteKeys)
	if err != nil {
		return 0, err
	}
	rep, err := c.verifier.Judge(c.ctx, files[0], keys, func() (*provenance.CAR, io.Closer, error) {
		return c.openAny(files[0])
	})
	if err != nil {
		return 0, err
	}
	if c.asSARIF {
		return audit.Exit(rep), c.writeSARIF(rep, files[0])
	}
	if c.json {
		return audit.Exit(rep), c.printReport(rep)
	}
	return audit.Exit(rep), audit.WriteText(c.out, rep, c.hasColor())
}

// printReport prints a report as writ verify does.
func (c *command) printReport(rep *provenance.Report) error {
	code, message := audit.Refusal(rep)
	if code == "" {
		return c.printObject(true, rep)
	}
	return c.printObject(false, struct {
		Error map[string]string `json:"error"`
		*provenance.Report
	}{map[string]string{"code": code, "message": message}, rep})
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

// runReplay decides every step again.
func (c *command) runReplay(files []string) (int, error) {
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
	rep := audit.Replay(car, audit.Options{Keys: keys}, func(s audit.Replayed) {
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
	case rep.Refused():
		r.Verdict, r.Code, r.At, r.Detail = "different", rep.Code, rep.At, rep.Detail
		exit = audit.Exit(rep)
	case r.Again < r.Steps:
		r.Verdict, exit = "sealed", audit.ExitIncomplete
		r.Detail = rep.Status(provenance.CheckDecisions).Note + "; give --keys"
	default:
		r.Verdict, r.Same = "same", true
	}
	if c.json {
		return exit, c.printObject(r.Same, r)
	}
	return exit, r.writeText(c.out)
}

func cidOrNone(l provenance.Link) string {
	if !l.Defined() {
		return "no such record follows from the events"
	}
	return l.String()
}

func (r *replay) writeText(w io.Writer) (err error) {
	switch {
	case r.Same:
		_, err = fmt.Fprintf(w, "SAME %d of %d steps have the recorded CID when decided again, run %s\n", r.Again, r.Steps,
			r.Run)
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
