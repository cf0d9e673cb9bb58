package keep

import (
	"fmt"
	"io"
	"path/filepath"
	"slices"

	"github.com/spf13/cobra"

	"github.com/writ-run/writ/internal/cli"
	"github.com/writ-run/writ/internal/notice"
)

// Webhooks returns writ webhooks.
func Webhooks(s *cli.Shell) *cobra.Command {
	var data string
	c := &cobra.Command{
		Use: "webhooks --data DIR", Short: "List notices that webhooks have not taken",
		Long: `Lists what a server could not tell its webhooks yet and tries again, and what it has given up, each with what the
receiver answered last. What was told is not listed. A notice that was given up is not sent any more; the approval that it
tells of still waits at the server's page until its time is over.`,
		Args: cobra.NoArgs,
		RunE: func(*cobra.Command, []string) error { return listNotices(s, data) },
	}
	c.Flags().StringVar(&data, "data", "", "the server's data `folder`")
	return c
}

func listNotices(s *cli.Shell, data string) error {
	if data == "" {
		return cli.Usage("--data is missing: the server's data folder")
	}
	all, err := notice.Read(filepath.Join(data, notice.File))
	if err != nil {
		return err
	}
	left := slices.DeleteFunc(all, func(d notice.Delivery) bool { return d.IsTold() })
	return s.Done(map[string]any{"notices": left}, func(w io.Writer) {
		for _, d := range left {
			what := "is tried again at " + d.Next.UTC().Format("15:04:05 UTC")
			if d.IsDead() {
				what = "is given up"
			}
			fmt.Fprintf(w, "%s to %s %s after %d tries: %s\n", d.Run, d.Webhook, what, d.Tries, d.Error)
		}
		if len(left) == 0 {
			fmt.Fprintln(w, "Webhooks have taken every notice that there was.")
		}
	})
}
