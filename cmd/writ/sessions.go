package main

import (
	"context"
	"encoding/hex"
	"errors"
	"fmt"
	"io"
	"io/fs"
	"os"
	"path/filepath"
	"strings"
	"time"

	"github.com/ipfs/go-cid"
	"github.com/spf13/cobra"

	"github.com/writ-run/writ/agent/revocation"
	"github.com/writ-run/writ/agent/wire"
	"github.com/writ-run/writ/auth"
	"github.com/writ-run/writ/internal/cli"
	"github.com/writ-run/writ/internal/cli/evidence"
	"github.com/writ-run/writ/internal/client"
	"github.com/writ-run/writ/internal/datadir"
)

// A sessionInfo is a session as it is shown: never its key.
type sessionInfo struct {
	Server  string `json:"server"`
	Session string `json:"session"`
	Account string `json:"account"`
	Agent   string `json:"agent"`
	Expires int64  `json:"expires"` // ms UTC
}

func sessionView(s cli.SavedSession) sessionInfo {
	return sessionInfo{s.Server, s.Session, s.Account, s.Agent, s.Expires}
}

func whoamiCommand(a *app) *cobra.Command {
	return &cobra.Command{
		Use: "whoami", Short: "Show the saved session", Args: cobra.NoArgs,
		RunE: func(*cobra.Command, []string) error {
			var s cli.SavedSession
			if err := a.Load("session.json", &s); errors.Is(err, fs.ErrNotExist) {
				return cli.Failf(cli.ExitSignIn, "session_required", "you are not signed in; run: writ login")
			} else if err != nil {
				return err
			}
			if time.Now().UnixMilli() >= s.Expires {
				return cli.Failf(cli.ExitSignIn, "session_expired", "your session has ended; run: writ login")
			}
			return a.Done(sessionView(s), func(w io.Writer) {
				fmt.Fprintf(w, "%s at %s\nagent   %s\nsession %s\nuntil   %s\n", s.Account, s.Server, s.Agent, s.Session,
					cli.Clock(s.Expires))
			})
		},
	}
}

func logoutCommand(a *app) *cobra.Command {
	var keep bool
	c := &cobra.Command{
		Use: "logout", Short: "End the session, here and on the server", Args: cobra.NoArgs,
		RunE: func(c *cobra.Command, _ []string) error {
			var s cli.SavedSession
			if err := a.Load("session.json", &s); errors.Is(err, fs.ErrNotExist) {
				return a.Done(nil, func(w io.Writer) { fmt.Fprintln(w, "you were not signed in") })
			} else if err != nil {
				return err
			}
			told := false
			if !keep && time.Now().UnixMilli() < s.Expires {
				cl, _, err := a.resumeSession(c.Context(), s.Server)
				if err == nil {
					defer cl.Close()
					err = cl.Revoke(c.Context(), s.Session, "logout")
					told = err == nil
				}
				if err != nil && cli.FailureOf(err).Exit != cli.ExitSignIn { // which is over anyway
					return cli.Failf(cli.FailureOf(err).Exit, cli.FailureOf(err).Code,
						"the server could not be told (%s); with --keep the session is forgotten here only", cli.FailureOf(err).Message)
				}
			}
			if err := a.Forget("session.json"); err != nil {
				return err
			}
			return a.Done(map[string]any{"session": s.Session, "revoked": told},
				func(w io.Writer) { fmt.Fprintln(w, "signed out") })
		},
	}
	c.Flags().BoolVar(&keep, "keep", false, "forget the session here, but leave it open on the server")
	return c
}

func sessionsCommand(a *app) *cobra.Command {
	var server, data string
	list := &cobra.Command{
		Use: "ls", Short: "List the wallet's sessions", Args: cobra.NoArgs,
		RunE: func(c *cobra.Command, _ []string) error {
			if data != "" {
				return listSessionsOfAll(c.Context(), a, data)
			}
			return a.listSessions(c.Context(), server)
		},
	}
	list.Flags().StringVar(&data, "data", "", "list the sessions of all wallets in this data `folder`, as its operator")
	g := cli.Group("sessions", "List and revoke sessions", list, revokeSessionCommand(a, &server))
	g.SuggestFor = []string{"revoke"}
	g.PersistentFlags().StringVar(&server, "server", "", "`URL` of the server")
	return g
}

func (a *app) listSessions(ctx context.Context, server string) error {
	cl, s, err := a.connectSaved(ctx, server)
	if err != nil {
		return err
	}
	defer cl.Close()
	all, err := cl.Sessions(ctx)
	if err != nil {
		return err
	}
	return a.Done(wire.Sessions{Sessions: all}, func(w io.Writer) {
		for _, x := range all {
			mark := " "
			if x.ID == s.Session {
				mark = "*"
			}
			fmt.Fprintf(w, "%s %s  %-12s %s\n", mark, x.ID, x.Agent, describeState(x, time.Now().UnixMilli()))
		}
	})
}

// listSessionsOfAll lists the sessions of all wallets in a data folder.
func listSessionsOfAll(ctx context.Context, a *app, data string) error {
	all, err := evidence.ListSessions(ctx, data)
	if err != nil {
		return err
	}
	type row struct {
		Session string `json:"session"`
		Owner   string `json:"owner"`
		Agent   string `json:"agent"`
		Opened  int64  `json:"opened"` // ms UTC
		Expires int64  `json:"expires"`
		Revoked int64  `json:"revoked,omitempty"`
		Used    int64  `json:"used"` // when its key last signed
	}
	rows := make([]row, 0, len(all))
	for _, s := range all {
		rows = append(rows, row{s.ID.String(), s.Owner(), s.Agent, s.Opened, s.Expires, s.Revoked, s.Used})
	}
	return a.Done(map[string]any{"sessions": rows}, func(w io.Writer) {
		for _, r := range rows {
			state := describeState(wire.Session{Expires: r.Expires, Idle: r.Expires, Revoked: r.Revoked}, time.Now().UnixMilli())
			fmt.Fprintf(w, "%s  %-12s %s  used %s  %s\n", r.Session, r.Agent, state, cli.Clock(r.Used), r.Owner)
		}
		if len(rows) == 0 {
			fmt.Fprintln(w, "no sessions yet")
		}
	})
}

// describeState says until when a session can be used, or why it cannot.
func describeState(s wire.Session, now int64) string {
	switch {
	case s.Revoked != 0:
		return "revoked " + cli.Clock(s.Revoked)
	case now >= s.Expires:
		return "ended " + cli.Clock(s.Expires)
	case now >= s.Idle:
		return "not used since, ended " + cli.Clock(s.Idle)
	}
	return "until " + cli.Clock(s.Expires)
}

func revokeSessionCommand(a *app, server *string) *cobra.Command {
	var reason string
	var by revoker
	c := &cobra.Command{
		Use: "revoke SESSION", Short: "End a session and what it has under way",
		Long: `Ends a session: its runs and those of sub-agents that it has called stop, calls under way are cancelled, and
nothing of it spends any more. The session that you are signed in with may end any of the same wallet. If its key is
lost, the wallet itself signs the revocation: name it with --key or --keystore. The operator of the server may end any
session with --operator and the server's data folder. What was signed is kept as a record, which the histories of the
runs name.

A wallet that signs elsewhere, such as a Safe, takes two steps and as much time as its owners need:

  writ sessions revoke SESSION --print-message text         # personal_sign, or approve it on the chain
  writ sessions revoke SESSION --message text --signature sig

where the file sig holds 0x and hex digits, or 0x alone if the owners approved on the chain.`,
		Args: cobra.ExactArgs(1),
		RunE: func(c *cobra.Command, args []string) error {
			if by.text != "" {
				return a.revocationText(args[0], reason, by)
			}
			return a.revokeSession(c.Context(), *server, args[0], reason, by)
		},
	}
	f := c.Flags()
	f.StringVar(&reason, "reason", "", "why, for the record")
	f.StringVar(&by.key, "key", "", "where the wallet's private key is: file:PATH or env:NAME")
	f.StringVar(&by.keystore, "keystore", "", "encrypted key `file` of the wallet")
	f.StringVar(&by.operator, "operator", "", "data `folder` of the server, whose key signs")
	f.StringVar(&by.text, "print-message", "",
		"only write the text that the wallet signs elsewhere to this `file`, - for standard output")
	f.StringVar(&by.message, "message", "", "`file` with what the wallet signed elsewhere")
	f.StringVar(&by.signature, "signature", "", "`file` with its signature, - for standard input")
	return c
}

// revokeSession ends a session, by the saved one's word or as by says.
func (a *app) revokeSession(ctx context.Context, server, session, reason string, by revoker) error {
	var saved cli.SavedSession
	if by == (revoker{}) {
		cl, s, err := a.connectSaved(ctx, server)
		if err != nil {
			return err
		}
		defer cl.Close()
		if session, err = findSession(ctx, cl, session); err != nil {
			return err
		}
		if err := cl.Revoke(ctx, session, reason); err != nil {
			return err
		}
		saved = s
	} else if err := a.revokeBy(ctx, server, session, reason, by); err != nil {
		return err
	}
	if session == saved.Session {
		if err := a.Forget("session.json"); err != nil {
			return err
		}
	}
	return a.Done(map[string]any{"session": session}, func(w io.Writer) { fmt.Fprintln(w, "revoked") })
}

// A revoker says who revokes a session that is not one's own: one field is set, or message and signature.
type revoker struct{ key, keystore, operator, text, message, signature string }

// revocationText writes the text that a wallet signs elsewhere.
func (a *app) revocationText(session, reason string, by revoker) error {
	if by != (revoker{text: by.text}) {
		return cli.Usage("--print-message only writes the text; give the others with --message and --signature, or " +
			"without it")
	}
	if by.text == "-" && a.JSON {
		return cli.Usage("--print-message - and --json both want standard output; give --print-message a file")
	}
	id, err := cid.Decode(session)
	if err != nil {
		return cli.Usage("%q is not a session; writ sessions ls lists them", session)
	}
	text, err := auth.RevocationText(id, reason, time.Now().UTC().Truncate(time.Second))
	if err != nil {
		return cli.Usage("%s", err)
	}
	if err := a.textFile(by.text, text); err != nil || by.text == "-" {
		return err
	}
	return a.Done(map[string]any{"session": session, "message": by.text}, func(w io.Writer) {
		fmt.Fprintf(w,
			"%s written; nothing is revoked yet. Once it is signed: writ sessions revoke %s --message %s --signature FILE\n",
			by.text, session, by.text)
	})
}

// signedElsewhere reads what a wallet has signed, and its signature.
func (a *app) signedElsewhere(by revoker) (message, sig []byte, err error) {
	if by.message == "" || by.signature == "" || by.message == "-" && by.signature == "-" {
		return nil, nil, cli.Usage("give --message FILE and --signature FILE: what the wallet signed, and what came of it")
	}
	if message, err = a.ReadText(by.message); err != nil {
		return nil, nil, err
	}
	line, err := a.ReadText(by.signature)
	if err != nil {
		return nil, nil, err
	}
	sig, err = auth.ParseContractSig(strings.TrimSpace(string(line)))
	return message, sig, err
}

// revokeBy has the wallet or the operator sign a revocation, and sends it.
func (a *app) revokeBy(ctx context.Context, server, session, reason string, by revoker) error {
	id, err := cid.Decode(session)
	if err != nil {
		return cli.Usage("%q is not a session; writ sessions ls lists them", session)
	}
	text, err := auth.RevocationText(id, reason, time.Now().UTC().Truncate(time.Second))
	if err != nil {
		return cli.Usage("%s", err)
	}
	return a.revokeWith(ctx, server, wire.RevokeParams{Session: session}, text, by)
}

// revokeWith has a text signed by whom by names, and sends it with p.
func (a *app) revokeWith(ctx context.Context, server string, p wire.RevokeParams, text []byte, by revoker) (err error) {
	p.Message = string(text)
	var sig []byte
	switch {
	case by.message+by.signature != "" && by.key+by.keystore+by.operator == "":
		message, s, err := a.signedElsewhere(by)
		if err != nil {
			return err
		}
		p.Message, sig = string(message), s
	case by.message+by.signature == "" && by.operator != "" && by.key == "" && by.keystore == "":
		if _, err := os.Stat(filepath.Join(by.operator, "operator.key")); err != nil {
			return cli.Usage("there is no operator's key in %s", by.operator)
		}
		key, err := datadir.OperatorKey(by.operator)
		if err != nil {
			return err
		}
		sig, p.Operator = revocation.Sign(key, text), true
	case by.message+by.signature == "" && by.operator == "" && (by.key == "" || by.keystore == ""):
		ref := by.key
		if by.keystore != "" {
			ref = "keystore:" + by.keystore
		}
		w, err := a.OpenWallet(ctx, ref)
		if err != nil {
			return err
		}
		if sig, err = w.SignText(text); err != nil {
			return err
		}
	default:
		return cli.Usage("give one of --key, --keystore, --operator, and --message with --signature")
	}
	p.Signature = "0x" + hex.EncodeToString(sig)
	if server, err = a.FindServer(server); err != nil {
		return err
	}
	cl, err := client.Dial(ctx, server)
	if err != nil {
		return err
	}
	defer cl.Close()
	return cl.RevokeBy(ctx, p)
}
