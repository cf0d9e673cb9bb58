package doctor

import (
	"context"
	"errors"
	"fmt"
	"io/fs"
	"os"
	"path/filepath"
	"time"

	"github.com/writ-run/writ/internal/config"
	"github.com/writ-run/writ/internal/library"
)

// followFindings says of each place that the server follows when it was read last, and why not since.
func followFindings(ctx context.Context, cfg *config.Config, now time.Time) []finding {
	known := map[string]library.Place{}
	if _, err := os.Stat(filepath.Join(cfg.Data, library.FileName)); err == nil {
		l, err := library.Open(cfg.Data, nil)
		if err != nil {
			return []finding{findingOf("documents", false, err.Error(), "restore the data folder from a backup")}
		}
		list, err := l.Places(ctx, "")
		if err := errors.Join(err, l.Close()); err != nil {
			return []finding{findingOf("documents", false, err.Error(), "restore the data folder from a backup")}
		}
		for _, p := range list {
			known[p.Source] = p
		}
	} else if !errors.Is(err, fs.ErrNotExist) {
		return []finding{findingOf("documents", false, err.Error(), "make the data folder yours and readable")}
	}
	var all []finding
	for _, f := range cfg.Library.Follow {
		all = append(all, followFinding(f, known[f.Source], now))
	}
	return all
}

func followFinding(f config.Follow, p library.Place, now time.Time) finding {
	ago := func(t time.Time) string {
		if t.IsZero() {
			return "never read"
		}
		return "read " + max(now.Sub(t), 0).Round(time.Second).String() + " ago"
	}
	if p.Fault == "" {
		detail := fmt.Sprintf("%s, of the place that the server follows, was %s", f.Source, ago(p.Synced))
		if p.Tried.IsZero() {
			detail = fmt.Sprintf("%s is made when the server starts", f.Source)
		}
		return findingOf("documents", true, detail, "")
	}
	next := "the server tries it when it runs"
	if wait := p.Next.Sub(now); p.Every > 0 && wait > 0 {
		next = "the server tries again in " + wait.Round(time.Second).String()
	}
	detail := fmt.Sprintf("%s was %s and is kept as it was; tried %s ago, after %d failures in a row: %s", f.Source,
		ago(p.Synced), max(now.Sub(p.Tried), 0).Round(time.Second), p.Failures, p.Fault)
	return findingOf("documents", false, detail, "mend what is there, or library.follow in the settings; "+next)
}
