package main

import (
	"cmp"
	"context"
	"errors"
	"fmt"
	"io"
	"log/slog"
	"net"
	"os"
	"os/signal"
	"strings"
	"sync"
	"syscall"

	"github.com/spf13/cobra"

	"github.com/writ-run/writ/agent/model/openai"
	"github.com/writ-run/writ/agent/model/preset"
	"github.com/writ-run/writ/internal/cli"
	"github.com/writ-run/writ/internal/cli/process"
	"github.com/writ-run/writ/internal/cli/teller"
	"github.com/writ-run/writ/internal/config"
	"github.com/writ-run/writ/internal/datadir"
	"github.com/writ-run/writ/internal/node"
	"github.com/writ-run/writ/internal/runner"
	"github.com/writ-run/writ/internal/telemetry"
)

// serveOptions are the flags of writ serve.
type serveOptions struct {
	file, readyFile string
}

func serveCommand(a *app) *cobra.Command {
	var o serveOptions
	c := &cobra.Command{
		Use: "serve", Short: "Run the server",
		Long: `Runs the server until it is told to stop. Settings come from flags, WRIT_... environment variables and a YAML
file, in this order (writ config print shows them all, writ init writes a file to begin with). Runs that were under way
when a server stopped, however it stopped, go on.

A chain that does not answer is no reason not to start: the server says so in its log, and at /readyz until it does.`,
		Args: cobra.NoArgs,
		RunE: func(c *cobra.Command, _ []string) error { return o.serve(a, c) },
	}
	f := c.Flags()
	f.StringVar(&o.file, "config", "", "configuration `file` (default writ.yaml, if it is there)")
	f.String("data", "", "`folder` for the database and the keys")
	f.String("listen", "", "`host:port` to listen on; port 0 takes a free one")
	f.String("chain", "", "JSON-RPC `URL` of the chain; several with commas between them")
	f.String("policies", "", "policy `file`, or the name of a built-in set")
	f.StringVar(&o.readyFile, "ready-file", "", "`file` to write when clients can come")
	return c
}

func (o *serveOptions) serve(a *app, c *cobra.Command) error {
	flags := settingsOfFlags(c)
	cfg, err := cli.ReadSettings(c.Context(), o.file, flags)
	if err != nil {
		return err
	}
	for _, v := range config.UnknownVariables(os.Environ(), cfg) { // a server must not run without what it was told
		return cli.Usage("%s", cli.Plain(v.String()))
	}
	log, err := telemetry.Log(a.Err, cfg.Log.Level, cfg.Log.Format)
	if err != nil {
		return cli.Usage("%s", err)
	}
	p, err := cli.Prepare(c.Context(), cfg, node.Given{
		Program: program(), Log: log, Meters: telemetry.Metrics(version, build()),
	})
	if err != nil {
		return err
	}
	p.Reread = func() (runner.Rules, error) {
		now, err := node.ReadSettingsAgain(o.file, flags, cfg)
		if err != nil {
			return runner.Rules{}, err
		}
		return node.Rules(now.Policies, now.Dapps)
	}
	p.Restart = node.ChangedSince(o.file, flags)
	for _, path := range datadir.ExposedSecrets(cfg.Data, cfg.SecretFiles()) {
		log.Warn("a file with a secret can be read by others on this machine", "file", path, "fix", datadir.HideSecret(path))
	}
	ln, scheme, err := listenAt(c.Context(), cfg, log)
	if err != nil {
		return err
	}
	if isDefault(cfg, "domain") {
		p.Domain = ln.Addr().String()
	}
	found := openai.Found{}
	if len(cfg.Models) == 0 {
		found = localModel(c.Context())
	}
	return a.serve(c.Context(), p, ln, o.readyFile, process.ServerReady{URL: scheme}, func(r process.ServerReady) {
		a.Note("serving at %s, operator key %s, log key %s", r.URL, r.OperatorKey, r.LogKey)
		if note := cli.RoutesNote(cfg); note != "" {
			a.Note("%s", note)
		}
		if found.URL != "" {
			a.Note("no model is set, and a model server answers at %s: models: [{preset: %s, model: %s}] uses it", found.URL,
				preset.NameOf(found.URL), firstModel(found))
		}
	})
}

// listenAt listens where the settings say, with TLS if they have a certificate.
func listenAt(
	ctx context.Context, cfg *config.Config, log *slog.Logger,
) (ln net.Listener, scheme string, err error) {
	if ln, err = cli.Listen(ctx, cfg.Listen); err != nil || cfg.TLS.Cert == "" {
		return ln, "http://", err
	}
	secure, err := cli.ListenTLS(ln, cfg.TLS.Cert, cfg.TLS.Key, log)
	if err != nil {
		return nil, "", errors.Join(err, ln.Close())
	}
	return secure, "https://", nil
}

// settingsOfFlags returns the settings that are given by flags.
func settingsOfFlags(c *cobra.Command) map[string]string {
	settings := map[string]string{}
	for flag, path := range map[string]string{"data": "data", "listen": "listen", "chain": "chain.rpc",
		"policies": "policies"} {
		if c.Flags().Changed(flag) {
			settings[path] = c.Flag(flag).Value.String()
		}
	}
	return settings
}

// serve runs a node on ln until ctx ends. r gets filled in and is given to ready, to readyFile, and with --json to
// standard output.
func (a *app) serve(ctx context.Context, c node.Config, ln net.Listener, readyFile string, r process.ServerReady,
	ready func(process.ServerReady)) (err error) {
	n, err := node.Open(ctx, c)
	if err != nil {
		ln.Close()
		return err
	}
	defer func() { err = errors.Join(err, n.Close()) }()
	a.UntilSignal = true
	signal.Ignore(syscall.SIGPIPE) // who reads the log may go away, which ends no server
	if !cli.IsTerminal(a.In) {     // there it says that the terminal is gone, and the server goes with it
		defer reloadOnHangup(ctx, n)()
	}
	return n.Run(ctx, ln, func() error {
		r.Listen = ln.Addr().String()
		r.URL, r.OperatorKey, r.Epoch, r.Data = cmp.Or(r.URL, "http://")+r.Listen, n.OperatorKey(), n.Epoch(), c.Data
		r.LogKey = n.LogKey()
		ready(r)
		if err := cli.WriteReady(readyFile, r); err != nil {
			return err
		}
		return a.Done(r, func(io.Writer) {})
	})
}

// reloadOnHangup reloads at every SIGHUP until the function that it returns has returned.
func reloadOnHangup(ctx context.Context, n *node.Node) (stop func()) {
	ctx, cancel := context.WithCancel(ctx)
	hangups := make(chan os.Signal, 1)
	signal.Notify(hangups, syscall.SIGHUP)
	var wg sync.WaitGroup
	wg.Go(func() { n.ReloadOn(ctx, hangups) })
	return func() {
		signal.Stop(hangups)
		cancel()
		wg.Wait()
	}
}

// program is what the server says that it runs.
func program() node.Program { return node.Program{Version: version, Build: build()} }

func isDefault(c *config.Config, path string) bool {
	for _, s := range c.Settings() {
		if s.Path == path {
			return s.Origin == "default"
		}
	}
	return false
}

// describeModels says what answers, for people.
func describeModels(models []runner.NamedModel) string {
	var names []string
	for _, m := range models {
		names = append(names, fmt.Sprintf("%s (%s, %s)", m.Info.Name, m.Info.Model, teller.KindText(string(m.Info.Kind))))
	}
	return strings.Join(names, ", then ")
}
