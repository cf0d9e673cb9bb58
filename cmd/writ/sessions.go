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

	"github.com/writ-run/writ/agent/loop"
	"github.com/writ-run/writ/agent/wire"
	"github.com/writ-run/writ/auth"
	"github.com/writ-run/writ/internal/client"
)

// A sessionInfo is a session as it is shown: never its key.
type sessionInfo struct {
	Server  string `json:"server"`
	Session string `json:"session"`
	Account string `json:"account"`
	Agent   string `json:"agent"`
	Expires int64  `json:"expires"` // ms UTC
}

func sessionView(s saved) sessionInfo {
	return sessionInfo{s.Server, s.Session, s.Account, s.Agent, s.Expires}
}

func (a *app) whoamiCommand() *cobra.Command {
	return &cobra.Command{
		Use: "whoami", Short: "Show the saved session", Args: cobra.NoArgs,
		RunE: func(*cobra.Command, []string) error {
			var s saved
			if err := a.load("session.json", &s); errors.Is(err, fs.ErrNotExist) {
				return failf(exitSignIn, "session_required", "you are not signed in; run: writ login")
			} else if err != nil {
				return err
			}
			if time.Now().UnixMilli() >= s.Expires {
				return failf(exitSignIn, "session_expired", "your session has ended; run: writ login")
			}
			return a.done(sessionView(s), func(w io.Writer) {
				fmt.Fprintf(w, "%s at %s\nagent   %s\nsession %s\nuntil   %s\n", s.Account, s.Server, s.Agent, s.Session, clock(s.Expires))
			})
		},
	}
}

func (a *app) logoutCommand() *cobra.Command {
	var keep bool
	c := &cobra.Command{
		Use: "logout", Short: "End the session, here and on the server", Args: cobra.NoArgs,
		RunE: func(c *cobra.Command, _ []string) error {
			var s saved
			if err := a.load("session.json", &s); errors.Is(err, fs.ErrNotExist) {
				return a.done(nil, func(w io.Writer) { fmt.Fprintln(w, "you were not signed in") })
			} else if err != nil {
				return err
			}
			told := false
			if !keep && time.Now().UnixMilli() < s.Expires {
				cl, _, err := a.resume(c.Context(), s.Server)
				if err == nil {
					defer cl.Close()
					err = cl.Revoke(c.Context(), s.Session, "logout")
					told = err == nil
				}
				if err != nil && failureOf(err).exit != exitSignIn { // which is over anyway
					return failf(failureOf(err).exit, failureOf(err).code,
						"the server could not be told (%s); with --keep the session is forgotten here only", failureOf(err).message)
				}
			}
			if err := a.forget("session.json"); err != nil {
				return err
			}
			return a.done(map[string]any{"session": s.Session, "revoked": told}, func(w io.Writer) { fmt.Fprintln(w, "signed out") })
		},
	}
	c.Flags().BoolVar(&keep, "keep", false, "forget the session here, but leave it open on the server")
	return c
}

func (a *app) sessionsCommand() *cobra.Command {
	var server, reason string
	list := &cobra.Command{
		Use: "ls", Short: "List the wallet's sessions", Args: cobra.NoArgs,
		RunE: func(c *cobra.Command, _ []string) error {
			cl, s, err := a.connect(c.Context(), server)
			if err != nil {
				return err
			}
			defer cl.Close()
			all, err := cl.Sessions(c.Context())
			if err != nil {
				return err
			}
			return a.done(wire.Sessions{Sessions: all}, func(w io.Writer) {
				for _, x := range all {
					state := "until " + clock(x.Expires)
					if x.Revoked != 0 {
						state = "revoked " + clock(x.Revoked)
					} else if time.Now().UnixMilli() >= x.Expires {
						state = "ended " + clock(x.Expires)
					} else if time.Now().UnixMilli() >= x.Idle {
						state = "not used since, ended " + clock(x.Idle)
					}
					mark := " "
					if x.ID == s.Session {
						mark = "*"
					}
					fmt.Fprintf(w, "%s %s  %-12s %s\n", mark, x.ID, x.Agent, state)
				}
			})
		},
	}
	var by revoker
	revoke := &cobra.Command{
		Use: "revoke SESSION", Short: "End a session and what it has under way",
		Long: `Ends a session: its runs and those of sub-agents that it has called stop, calls under way are cancelled, and nothing
of it spends any more. The session that you are signed in with may end any of the same wallet. If its key is lost, the
wallet itself signs the revocation: name it with --key or --keystore. The operator of the server may end any session with
--operator and the server's data folder. What was signed is kept as a record, which the histories of the runs name.

A wallet that signs elsewhere, such as a Safe, takes two steps and as much time as its owners need:

  writ sessions revoke SESSION --print-message text         # personal_sign, or approve it on the chain
  writ sessions revoke SESSION --message text --signature sig

where the file sig holds 0x and hex digits, or 0x alone if the owners approved on the chain.`,
		Args: cobra.ExactArgs(1),
		RunE: func(c *cobra.Command, args []string) error {
			var s saved
			var err error
			if by.text != "" {
				return a.revocationText(args[0], reason, by)
			}
			if by == (revoker{}) {
				var cl *client.Client
				if cl, s, err = a.connect(c.Context(), server); err != nil {
					return err
				}
				defer cl.Close()
				err = cl.Revoke(c.Context(), args[0], reason)
			} else {
				err = a.revokeBy(c.Context(), server, args[0], reason, by)
			}
			if err != nil {
				return err
			}
			if args[0] == s.Session {
				if err := a.forget("session.json"); err != nil {
					return err
				}
			}
			return a.done(map[string]any{"session": args[0]}, func(w io.Writer) { fmt.Fprintln(w, "revoked") })
		},
	}
	f := revoke.Flags()
	f.StringVar(&reason, "reason", "", "why, for the record")
	f.StringVar(&by.key, "key", "", "where the wallet's private key is: file:PATH or env:NAME")
	f.StringVar(&by.keystore, "keystore", "", "encrypted key `file` of the wallet")
	f.StringVar(&by.operator, "operator", "", "data `folder` of the server, whose key signs")
	f.StringVar(&by.text, "print-message", "", "only write the text that the wallet signs elsewhere to this `file`, - for standard output")
	f.StringVar(&by.message, "message", "", "`file` with what the wallet signed elsewhere")
	f.StringVar(&by.signature, "signature", "", "`file` with its signature, - for standard input")
	g := group("sessions", "List and revoke sessions", list, revoke)
	g.PersistentFlags().StringVar(&server, "server", "", "`URL` of the server")
	return g
}

// A revoker says who revokes a session that is not one's own: one field is set, or message and signature.
type revoker struct{ key, keystore, operator, text, message, signature string }

// revocationText writes the text that a wallet signs elsewhere.
func (a *app) revocationText(session, reason string, by revoker) error {
	if by != (revoker{text: by.text}) {
		return usage("--print-message only writes the text; give the others with --message and --signature, or without it")
	}
	if by.text == "-" && a.json {
		return usage("--print-message - and --json both want standard output; give --print-message a file")
	}
	id, err := cid.Decode(session)
	if err != nil {
		return usage("%q is not a session; writ sessions ls lists them", session)
	}
	text, err := auth.RevocationText(id, reason, time.Now().UTC().Truncate(time.Second))
	if err != nil {
		return usage("%s", err)
	}
	if err := a.textFile(by.text, text); err != nil || by.text == "-" {
		return err
	}
	return a.done(map[string]any{"session": session, "message": by.text}, func(w io.Writer) {
		fmt.Fprintf(w, "%s written; nothing is revoked yet. Once it is signed: writ sessions revoke %s --message %s --signature FILE\n", by.text, session, by.text)
	})
}

// signedElsewhere reads what a wallet has signed, and its signature.
func (a *app) signedElsewhere(by revoker) (message, sig []byte, err error) {
	if by.message == "" || by.signature == "" || by.message == "-" && by.signature == "-" {
		return nil, nil, usage("give --message FILE and --signature FILE: what the wallet signed, and what came of it")
	}
	if message, err = a.text(by.message); err != nil {
		return nil, nil, err
	}
	line, err := a.text(by.signature)
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
		return usage("%q is not a session; writ sessions ls lists them", session)
	}
	text, err := auth.RevocationText(id, reason, time.Now().UTC().Truncate(time.Second))
	if err != nil {
		return usage("%s", err)
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
			return usage("there is no operator's key in %s", by.operator)
		}
		key, err := operatorKey(by.operator)
		if err != nil {
			return err
		}
		sig, p.Operator = loop.SignRevocation(key, text), true
	case by.message+by.signature == "" && by.operator == "" && (by.key == "" || by.keystore == ""):
		ref := by.key
		if by.keystore != "" {
			ref = "keystore:" + by.keystore
		}
		w, err := a.wallet(ctx, ref)
		if err != nil {
			return err
		}
		if sig, err = w.SignText(text); err != nil {
			return err
		}
	default:
		return usage("give one of --key, --keystore, --operator, and --message with --signature")
	}
	p.Signature = "0x" + hex.EncodeToString(sig)
	if server, err = a.server(server); err != nil {
		return err
	}
	cl, err := client.Dial(ctx, server)
	if err != nil {
		return err
	}
	defer cl.Close()
	return cl.RevokeBy(ctx, p)
}
