package cli

import (
	"bufio"
	"context"
	"errors"
	"fmt"
	"io"
	"os"
	"strings"
)

// Ask asks a person. Anything but a yes is a no.
func (s *Shell) Ask(ctx context.Context, question string) (bool, error) {
	fmt.Fprintf(s.Err, "%s [y/N] ", question)
	line, err := s.ReadLine(ctx)
	if err != nil && !errors.Is(err, io.EOF) {
		return false, err
	}
	answer := strings.ToLower(strings.TrimSpace(line))
	return answer == "y" || answer == "yes", nil
}

// ReadLine reads a line from standard input, or ends with ctx. Nothing can take back a read that has begun: its
// goroutine ends with the next line or with the program.
func (s *Shell) ReadLine(ctx context.Context) (string, error) {
	if s.lines == nil {
		s.lines = make(chan string)
		go func() {
			defer close(s.lines)
			for in := bufio.NewScanner(s.In); in.Scan(); { // lines of 64 KiB at most
				s.lines <- in.Text()
			}
		}()
	}
	select {
	case line, ok := <-s.lines:
		if !ok {
			return "", io.EOF
		}
		return line, nil
	case <-ctx.Done():
		fmt.Fprintln(s.Err)
		return "", ctx.Err()
	}
}

// AskConsent asks the user before the wallet signs. Where nobody can be asked, only --yes is an answer.
func (s *Shell) AskConsent(ctx context.Context, yes bool, question, refused string) error {
	if yes {
		return nil
	}
	if s.JSON || !IsTerminal(s.In) {
		return Usage("nobody is there to ask whether the wallet shall sign; say so with --yes")
	}
	ok, err := s.Ask(ctx, question)
	if err == nil && !ok {
		err = Failf(ExitDenied, "user_rejected", "%s", refused)
	}
	return err
}

// ReadText reads a file, or standard input for "-". Of what is far too long for a message only the start is read.
func (s *Shell) ReadText(file string) ([]byte, error) {
	in := s.In
	if file != "-" {
		f, err := os.Open(file)
		if err != nil {
			return nil, Usage("the message cannot be read: %s", err)
		}
		defer f.Close()
		in = f
	}
	b, err := io.ReadAll(io.LimitReader(in, 1<<20))
	if err != nil {
		return nil, Usage("the message cannot be read: %s", err)
	}
	return b, nil
}
