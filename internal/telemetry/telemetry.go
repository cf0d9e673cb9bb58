// Package telemetry sets up what a running server says of itself: a log and a registry of metrics.
//
// [Log] returns a logger. [Metrics] returns a registry with the program's version and the Go runtime's figures, to
// which the parts of the program add their own; internal/server serves it.
//
// Nothing has to be redacted later: keys and payloads are types that print "[redacted]" or nothing, and as a second
// line [Log] drops attributes whose names are those of secrets.
package telemetry

import (
	"fmt"
	"io"
	"log/slog"
	"os"
	"runtime"
	"strings"

	"github.com/prometheus/client_golang/prometheus"
	"github.com/prometheus/client_golang/prometheus/collectors"
)

// Log returns a logger that writes to w from level on ("debug", "info", "warn", "error"; info if empty), as "text",
// "json", or "auto": text on a terminal, json elsewhere.
func Log(w io.Writer, level, format string) (*slog.Logger, error) {
	var l slog.Level
	if level == "" {
		level = "info"
	}
	if err := l.UnmarshalText([]byte(level)); err != nil {
		return nil, fmt.Errorf("log level %q: it is one of debug, info, warn, error", level)
	}
	o := &slog.HandlerOptions{Level: l, ReplaceAttr: redact}
	switch {
	case format == "text" || (format == "auto" || format == "") && terminal(w):
		return slog.New(slog.NewTextHandler(w, o)), nil
	case format == "json" || format == "auto" || format == "":
		return slog.New(slog.NewJSONHandler(w, o)), nil
	}
	return nil, fmt.Errorf("log format %q: it is one of auto, text, json", format)
}

func terminal(w io.Writer) bool {
	f, ok := w.(*os.File)
	if !ok {
		return false
	}
	i, err := f.Stat()
	return err == nil && i.Mode()&os.ModeCharDevice != 0
}

// secrets are names of attributes that no log line may have. The rule is a net, not the floor: nobody should try.
var secrets = []string{"key", "secret", "token", "password", "sig", "signature", "prompt", "payload", "params",
	"input", "authorization"}

func redact(_ []string, a slog.Attr) slog.Attr {
	name := strings.ToLower(a.Key)
	for _, s := range secrets {
		if name == s || strings.HasSuffix(name, "_"+s) {
			return slog.String(a.Key, "[redacted]")
		}
	}
	return a
}

// Metrics returns a registry that holds the figures of the Go runtime and the process, and writ_build_info, whose
// labels say what runs.
func Metrics(version, revision string) *prometheus.Registry {
	reg := prometheus.NewRegistry()
	build := prometheus.NewGauge(prometheus.GaugeOpts{
		Name: "writ_build_info", Help: "What runs; always 1.",
		ConstLabels: prometheus.Labels{"version": version, "revision": revision, "go": runtime.Version()},
	})
	build.Set(1)
	reg.MustRegister(build, collectors.NewGoCollector(), collectors.NewProcessCollector(collectors.ProcessCollectorOpts{}))
	return reg
}
