// Command vectors writes the tampering vectors to a folder, for people who write a verifier of their own.
//
//	go run ./internal/tamper/vectors -out vectors
package main

import (
	"flag"
	"fmt"
	"os"

	"github.com/writ-run/writ/internal/tamper"
)

func main() {
	out := flag.String("out", "", "write every file to this `folder`")
	lists := flag.String("lists", "", "write the files that the repository keeps to this `folder`")
	corpus := flag.String("decisions", "", "write the corpus of decisions to this `file`")
	root := flag.String("sets", ".", "the repository's `folder`, whose policy sets the corpus is made with")
	flag.Parse()
	if err := write(*out, *lists, *corpus, *root); err != nil {
		fmt.Fprintln(os.Stderr, "vectors:", err)
		os.Exit(1)
	}
}

func write(out, lists, corpus, root string) error {
	if out != "" {
		if err := tamper.Write(out); err != nil {
			return err
		}
	}
	if lists != "" {
		if err := tamper.WriteLists(lists); err != nil {
			return err
		}
	}
	if corpus == "" {
		return nil
	}
	data, err := tamper.Decisions(root)
	if err != nil {
		return err
	}
	return os.WriteFile(corpus, data, 0o644)
}
