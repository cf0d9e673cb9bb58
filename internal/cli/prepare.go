package cli

import (
	"context"
	"log/slog"

	"github.com/writ-run/writ/internal/config"
	"github.com/writ-run/writ/internal/node"
)

// Prepare makes of settings what a server is made of, and reads every file that they name. It ends with ctx, even if
// one of the files is a pipe that nobody writes to; the process is to end then.
func Prepare(ctx context.Context, cfg *config.Config, g node.Given) (node.Config, error) {
	return await(ctx, func() (node.Config, error) {
		if cfg.TLS.Cert != "" {
			if _, err := readCertificate(cfg.TLS.Cert, cfg.TLS.Key, g.Log); err != nil {
				return node.Config{}, err
			}
		}
		return node.Configure(cfg, g)
	})
}

// Rehearse says what keeps writ serve from starting with settings, in its own words: it prepares a server as that does,
// and opens it where nobody hears of it. A chain that is not set may be given by a flag, so that is not said.
func Rehearse(ctx context.Context, cfg *config.Config) error {
	copied := *cfg // whose models get their prices
	copied.Models = append([]config.Model(nil), cfg.Models...)
	if len(copied.Chain.RPC) == 0 {
		copied.Chain.RPC = []string{"http://127.0.0.1:1"} // which nobody asks
	}
	c, err := Prepare(ctx, &copied, node.Given{Log: slog.New(slog.DiscardHandler)})
	if err != nil {
		return err
	}
	return node.Rehearse(ctx, c)
}

// ReadSettings is [node.ReadSettings] that ends with ctx, as [Prepare] does.
func ReadSettings(ctx context.Context, file string, flags map[string]string) (*config.Config, error) {
	return await(ctx, func() (*config.Config, error) { return node.ReadSettings(file, flags) })
}

// await returns what f does, or the end of ctx if that comes first.
func await[T any](ctx context.Context, f func() (T, error)) (T, error) {
	type answer struct {
		v   T
		err error
	}
	done := make(chan answer, 1)
	go func() {
		v, err := f()
		done <- answer{v, err}
	}()
	select {
	case a := <-done:
		return a.v, a.err
	case <-ctx.Done():
		var none T
		return none, ctx.Err()
	}
}
