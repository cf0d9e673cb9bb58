package verifier

import (
	"context"
	"io"
	"os"

	"github.com/writ-run/writ/agent/audit"
	"github.com/writ-run/writ/tools/module"
)

// computeTime is how long one result may be computed again: three times what a server gives it.
const computeTime = 3 * module.MaxTime

// readModules reads the modules that the flags name. The files are the runs' operators' own, so nothing of them is
// trusted: what a module may do is bounded as it was for them.
func (v *Verifier) readModules(ctx context.Context) (audit.Compute, error) {
	if len(v.modules) == 0 {
		return nil, nil
	}
	set := module.Set{}
	for _, name := range v.modules {
		data, err := readModule(name)
		if err != nil {
			return nil, Usagef("--module: %w", err)
		}
		if _, err := set.Add(ctx, data); err != nil {
			return nil, Usagef("--module %s: %w", name, err)
		}
		v.Log.inputs = append(v.Log.inputs, inputOf("--module", data))
	}
	slow := map[string]bool{}
	return func(cid string, args []byte) ([]byte, bool) {
		if set[cid] == nil || slow[cid] {
			return nil, false
		}
		ctx, cancel := context.WithTimeout(ctx, computeTime)
		defer cancel()
		out, err := set[cid].Run(ctx, args)
		slow[cid] = ctx.Err() != nil // of what is not known in that time, no more is tried
		return out, err == nil || ctx.Err() == nil
	}, nil
}

// readModule reads a file, of one that is too long a byte more than allowed.
func readModule(name string) ([]byte, error) {
	f, err := os.Open(name)
	if err != nil {
		return nil, err
	}
	defer f.Close()
	return io.ReadAll(io.LimitReader(f, module.MaxModule+1))
}
