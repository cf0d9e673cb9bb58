package door

import (
	"context"

	"github.com/writ-run/writ/agent/foreign"
)

// resolve reads the answers that a request quotes.
func (v *visitor) resolve(ctx context.Context, r *foreign.Request) (err error) {
	if r.Quoting != nil {
		r.Text, err = r.Quoting.Text(func(run string) (string, error) { return v.readAnswer(ctx, run) })
	}
	return err
}

// readAnswer returns what a run of the key's said to its user.
func (v *visitor) readAnswer(ctx context.Context, run string) (string, error) {
	unknown := foreign.UnknownItem(foreign.ItemPrefix + run)
	t := &turn{v: v, run: run}
	if err := t.subscribe(ctx); err != nil {
		return "", unknown
	}
	defer t.stream.Close()
	e := ending{Run: run}
	for {
		u, err := t.stream.Next(ctx)
		if err != nil {
			return "", unknown
		}
		if u.Event != nil && e.takeEvent(u.Event) {
			return e.text, nil
		}
	}
}
