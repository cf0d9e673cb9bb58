package node

import (
	"cmp"
	"context"
	"strings"
	"time"

	"github.com/prometheus/client_golang/prometheus"

	"github.com/writ-run/writ/internal/collect"
	"github.com/writ-run/writ/internal/config"
	"github.com/writ-run/writ/internal/gather"
	"github.com/writ-run/writ/internal/library"
	"github.com/writ-run/writ/internal/reach"
	"github.com/writ-run/writ/policies/label"
)

// readFollow makes what settings say of a place that is followed.
func readFollow(f config.Follow) (out collect.Followed, err error) {
	out.Name, out.Every = f.Place, cmp.Or(f.Every, 10*time.Minute)
	out.From = gather.Getter{
		Gate: reach.Gate{Private: f.Private}, Gateway: cmp.Or(f.Gateway, "http://127.0.0.1:8080"),
	}
	out.As.Source = f.Source
	if out.As.Integrity, err = label.ParseIntegrity(cmp.Or(f.Integrity, "untrusted")); err != nil {
		return out, badSetting("library.follow: %s", err)
	}
	if out.As.Secrecy, err = label.ParseSecrecy(cmp.Or(f.Secrecy, "session")); err != nil {
		return out, badSetting("library.follow: %s", err)
	}
	for _, w := range f.Wallets {
		out.As.Readers = append(out.As.Readers, library.Reader{Wallet: strings.ToLower(w), Agent: f.Agent})
	}
	if len(f.Wallets) == 0 && (f.Everyone || f.Agent != "") {
		out.As.Readers = []library.Reader{{Agent: f.Agent}}
	}
	return out, nil
}

// startFollowing makes collections of the places that the settings name, while the node is open. Those that they
// name no more are not read any more, and keep what was made of them.
func startFollowing(n *Node, ctx context.Context, c *Config) (func() error, error) {
	if n.library == nil {
		return nil, nil
	}
	told := meterFollowed(c.Meters)
	return runUntilClosed(ctx, func(ctx context.Context) {
		if err := collect.Follow(ctx, n.library, c.Library.Follow, n.log, told); err != nil && ctx.Err() == nil {
			n.log.ErrorContext(ctx, "no place is followed, since the library cannot be written", "err", err)
		}
	}), nil
}

// meterFollowed registers the figures of places that are followed, and returns what counts. The sources are those of
// the settings.
func meterFollowed(reg *prometheus.Registry) func(collect.Outcome) {
	if reg == nil {
		return func(collect.Outcome) {}
	}
	tries := prometheus.NewCounterVec(prometheus.CounterOpts{
		Name: "writ_docs_follow_tries_total", Help: "Times that a followed place of documents was read, or could not be.",
	}, []string{"source", "outcome"})
	failing := prometheus.NewGaugeVec(prometheus.GaugeOpts{
		Name: "writ_docs_follow_failures", Help: "Tries in a row in which a followed place could not be read.",
	}, []string{"source"})
	read := prometheus.NewGaugeVec(prometheus.GaugeOpts{
		Name: "writ_docs_follow_read_seconds", Help: "When a followed place was last read, in seconds since 1970.",
	}, []string{"source"})
	reg.MustRegister(tries, failing, read)
	return func(o collect.Outcome) {
		failing.WithLabelValues(o.Source).Set(float64(o.Failures))
		if o.Failures > 0 {
			tries.WithLabelValues(o.Source, "failed").Inc()
			return
		}
		tries.WithLabelValues(o.Source, "read").Inc()
		read.WithLabelValues(o.Source).Set(float64(o.At.Unix()))
	}
}
