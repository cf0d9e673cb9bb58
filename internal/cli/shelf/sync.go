package shelf

import (
	"context"
	"errors"
	"fmt"
	"io"
	"time"

	"github.com/spf13/cobra"

	"github.com/writ-run/writ/internal/cli"
	"github.com/writ-run/writ/internal/gather"
	"github.com/writ-run/writ/internal/library"
)

// minEvery is how often a place may be read at most.
const minEvery = time.Second

func (x *shelf) sync() *cobra.Command {
	var b labelling
	c := &cobra.Command{
		Use:   "sync FOLDER|CAR|CID|IPNS|URL --source NAME",
		Short: "Make a collection what a folder is: what is gone there is removed",
		Long: `Takes in what add would of the same place, and removes from the collection what is not there. If the place cannot be
read whole, the collection stays as it is.

With --every the place is followed until the command is interrupted: it is read again at that interval, and what is as it
was is left alone. A place that is gone, or empty, keeps what it had; writ docs ls says since when and why. A server does
the same by itself for the places under library.follow in its settings.

  writ docs sync handbook --source handbook --integrity operator --everyone --every 10m`,
		Args: cobra.ExactArgs(1),
		RunE: func(c *cobra.Command, args []string) error {
			if c.Flags().Changed("every") && b.every < minEvery {
				return cli.Usage("--every: a place is read at most once in %s", minEvery)
			}
			if b.every > 0 {
				return x.follow(c.Context(), args[0], b)
			}
			err := x.take(c.Context(), args, b, true)
			return errors.Join(err, x.notePlace(c.Context(), args[0], b, err))
		},
	}
	b.flags(c)
	c.Flags().DurationVar(&b.every, "every", 0, "follow the place, read again at this `interval`, e.g. 10m")
	return c
}

// follow makes the collection what the place is, again and again, until ctx ends. What fails is said and tried again.
func (x *shelf) follow(ctx context.Context, place string, b labelling) error {
	if _, err := b.document(); err != nil {
		return err
	}
	tick := time.NewTicker(b.every)
	defer tick.Stop()
	for {
		err := x.take(ctx, []string{place}, b, true)
		if ctx.Err() != nil {
			return nil
		}
		if err != nil {
			x.Note("%s; what %s had is kept, and it is tried again in %s", err, b.source, b.every)
		}
		if err := x.notePlace(ctx, place, b, err); err != nil && ctx.Err() == nil {
			return err
		}
		select {
		case <-ctx.Done():
			return nil
		case <-tick.C:
		}
	}
}

// notePlace notes what came of reading a place. If there is no collection to note it of, nothing is.
func (x *shelf) notePlace(ctx context.Context, place string, b labelling, failed error) error {
	if _, err := b.document(); err != nil {
		return nil
	}
	fault := ""
	if failed != nil {
		fault = failed.Error()
	}
	place = gather.Shown(place)
	err := x.with(func(l keeper) error { return l.NotePlace(ctx, b.source, place, fault) })
	if failed != nil {
		return nil // it is what there is to say
	}
	return err
}

func printPlace(w io.Writer, p library.Place) {
	at := func(t time.Time) string {
		if t.IsZero() {
			return "never"
		}
		return t.Format(time.RFC3339)
	}
	fmt.Fprintf(w, "%s is of %s, as it was read %s", p.Source, cli.Plain(p.Place), at(p.Synced))
	if p.Fault != "" {
		fmt.Fprintf(w, "; since then, last at %s: %s", at(p.Tried), cli.Plain(p.Fault))
	}
	switch {
	case p.Every > 0:
		fmt.Fprintf(w, "; followed by the server every %s, next %s", p.Every, at(p.Next))
	case !p.Ended.IsZero():
		fmt.Fprintf(w, "; not followed by the server since %s, so it stays as it is until writ docs rm %s", at(p.Ended),
			p.Source)
	}
	fmt.Fprintln(w)
}

// warnFollowed says that the server makes a collection anew, so that what is changed by hand does not last.
func (x *shelf) warnFollowed(ctx context.Context, source string) error {
	return x.with(func(l keeper) error {
		list, err := l.Places(ctx, source)
		for _, p := range list {
			if p.Every > 0 {
				x.Note("the server makes %s of %s every %s, by library.follow in its settings, and this lasts until then; "+
					"change it there", source, cli.Plain(p.Place), p.Every)
			}
		}
		return err
	})
}
