package main

import (
	"errors"
	"fmt"
	"io"
	"io/fs"
	"time"

	"github.com/spf13/cobra"

	"github.com/writ-run/writ/agent/wire"
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
	revoke := &cobra.Command{
		Use: "revoke SESSION", Short: "End a session and what it has under way", Args: cobra.ExactArgs(1),
		RunE: func(c *cobra.Command, args []string) error {
			cl, s, err := a.connect(c.Context(), server)
			if err != nil {
				return err
			}
			defer cl.Close()
			err = cl.Revoke(c.Context(), args[0], reason)
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
	revoke.Flags().StringVar(&reason, "reason", "", "why, for the record")
	g := group("sessions", "List and revoke sessions", list, revoke)
	g.PersistentFlags().StringVar(&server, "server", "", "`URL` of the server")
	return g
}
