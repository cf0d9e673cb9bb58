package main

import (
	"context"
	"encoding/json"
	"fmt"
	"strconv"
	"strings"

	"github.com/spf13/cobra"

	"github.com/writ-run/writ/agent/wire"
	"github.com/writ-run/writ/internal/cli"
	"github.com/writ-run/writ/internal/cli/runs"
	"github.com/writ-run/writ/internal/client"
	"github.com/writ-run/writ/internal/wording"
)

func sendCommand(a *app) *cobra.Command {
	var server, key string
	var files []string
	var approve, steer, noWait bool
	c := &cobra.Command{
		Use: "send RUN TEXT", Short: "Say something into a run that goes on, or answer what it asks",
		Long: `Sends a text into a run, signed with the session's key like the request itself. If the run asks you something, the text
is the answer; a number stands for one of the choices. Otherwise, and with --steer, the agent is told it with its next
turn. Then the run is watched to its end, as writ run does.`,
		Args: cobra.MinimumNArgs(2),
		RunE: func(c *cobra.Command, args []string) error {
			cl, s, err := a.connectSaved(c.Context(), server)
			if err != nil {
				return err
			}
			defer cl.Close()
			run, err := runs.Find(c.Context(), cl, args[0])
			if err != nil {
				return err
			}
			now, err := cl.Run(c.Context(), run)
			if err != nil {
				return err
			}
			p := wire.SendParams{Run: run, Text: strings.Join(args[1:], " "), Key: key}
			if now.Asks != nil && !steer {
				p.Of, p.Text = &now.Asks.Of, chooseAnswer(now.Asks, p.Text)
			}
			if p.Files, err = client.Attach(c.Context(), cl, files); err != nil {
				return explainFile(err)
			}
			sent, err := client.Send(c.Context(), cl, p)
			if err != nil {
				return err
			}
			if noWait {
				return a.Done(sent, nil)
			}
			from := &wire.From{Epoch: cl.Hello().Epoch, Seq: sent.Seq - 1}
			return a.watchRun(c.Context(), cl, s, run, approve, from)
		},
	}
	f := c.Flags()
	f.StringVar(&server, "server", "", "`URL` of the server")
	f.StringVar(&key, "idempotency-key", "", "the same `key` and text are sent only once")
	f.StringArrayVar(&files, "attach", nil, "attach a text or an image, by the `file`'s path; may be given again")
	f.StringVar(&a.PasswordFile, "password-file", "", "`file` with the password of the wallet's key file, to approve")
	f.BoolVar(&approve, "yes-approve", false, "approve with the wallet's key without asking")
	f.BoolVar(&steer, "steer", false, "tell the agent, though it asks something")
	f.BoolVar(&noWait, "no-wait", false, "do not watch the run")
	f.BoolVarP(&a.verbose, "verbose", "v", false, "tell each step that follows")
	return c
}

// askUser asks for the answer to a question of the agent's where somebody is there, and sends it; otherwise the run is
// left waiting.
func (w *watcher) askUser(ctx context.Context, at wire.Ref, args json.RawMessage) error {
	q := &wire.Question{Of: at}
	if err := json.Unmarshal(args, q); err != nil {
		return fmt.Errorf("the question of step %d cannot be read", at.Seq)
	}
	q.Of = at
	now, err := w.client.Run(ctx, w.run)
	if err != nil || now.Asks == nil || now.Asks.Of != at {
		return err // it was answered before
	}
	if !w.JSON {
		for _, line := range wordsOf(q) {
			w.Note("%s", line)
		}
	}
	if w.JSON || !cli.IsTerminal(w.In) {
		w.result.Asks = q
		return nil
	}
	fmt.Fprint(w.Err, "> ")
	line, err := w.ReadLine(ctx)
	if err != nil || strings.TrimSpace(line) == "" {
		w.result.Asks = q
		return nil
	}
	_, err = client.Send(ctx, w.client, wire.SendParams{Run: w.run, Text: chooseAnswer(q, line), Of: &at})
	return err
}

// wordsOf shows a question. What is chosen by its number becomes the user's own words, so that nothing in it may look
// like something else.
func wordsOf(q *wire.Question) []string {
	lines := strings.Split(q.Text, "\n")
	for i, line := range lines {
		lines[i] = wording.Reveal(line)
	}
	lines[0] = "the agent asks: " + lines[0]
	for i, c := range q.Choices {
		lines = append(lines, fmt.Sprintf("  %d  %s", i+1, wording.Reveal(c)))
	}
	return lines
}

// chooseAnswer returns the choice that a number stands for, or the text itself.
func chooseAnswer(q *wire.Question, text string) string {
	text = strings.TrimSpace(text)
	if n, err := strconv.Atoi(text); err == nil && n >= 1 && n <= len(q.Choices) {
		return q.Choices[n-1]
	}
	return text
}
