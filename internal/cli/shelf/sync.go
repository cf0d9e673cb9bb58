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
		Use:   "sync FOLDER|CAR|CID|URL --source NAME",
		Short: "Make a collection what a folder is: what is gone there is removed",
		Long: `Takes in what add would of the same place, and removes from the collection what is not there. If the place cannot be
read whole, the collection stays as it is.

With --every the place is followed until the command is interrupted: it is read again at that interval, and what is as it
was is left alone. A place that is gone, or empty, keeps what it had; writ docs ls says since when and why.

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
		if err := x.notePlace(ctx, place, b, err); err != nil {
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
	err := x.with(func(l *library.Library) error { return l.NotePlace(ctx, b.source, place, fault) })
	if failed != nil {
		return nil // it is what there is to say
	}
	return err
}

func printPlace(w io.Writer, p library.Place) {
	synced := "never"
	if !p.Synced.IsZero() {
		synced = p.Synced.Format(time.RFC3339)
	}
	if p.Fault != "" {
		fmt.Fprintf(w, "%s is of %s, as it was read %s; since then, last at %s: %s\n", p.Source, cli.Plain(p.Place), synced,
			p.Tried.Format(time.RFC3339), cli.Plain(p.Fault))
		return
	}
	fmt.Fprintf(w, "%s is of %s, as it was read %s\n", p.Source, cli.Plain(p.Place), synced)
}
