// Notes is a server of tools, as anybody may write one: it keeps notes in a file, and speaks the Model Context Protocol
// on its standard streams. It knows nothing of writ.
package main

import (
	"context"
	"log"
	"os"
	"strings"

	"github.com/modelcontextprotocol/go-sdk/mcp"
)

type note struct {
	Text string `json:"text" jsonschema:"what is to be remembered"`
}

type notes struct {
	Notes []string `json:"notes"`
}

type nothing struct{}

func main() {
	file := os.Args[1]
	server := mcp.NewServer(&mcp.Implementation{Name: "notes", Version: "1"}, nil)
	mcp.AddTool(server, &mcp.Tool{Name: "add-note", Description: "Adds a note to the notebook."},
		func(_ context.Context, _ *mcp.CallToolRequest, in note) (*mcp.CallToolResult, nothing, error) {
			f, err := os.OpenFile(file, os.O_APPEND|os.O_CREATE|os.O_WRONLY, 0o600)
			if err != nil {
				return nil, nothing{}, err
			}
			defer f.Close()
			_, err = f.WriteString(strings.ReplaceAll(in.Text, "\n", " ") + "\n")
			return nil, nothing{}, err
		})
	mcp.AddTool(server, &mcp.Tool{Name: "list-notes", Description: "Lists the notes in the notebook."},
		func(context.Context, *mcp.CallToolRequest, nothing) (*mcp.CallToolResult, notes, error) {
			data, err := os.ReadFile(file)
			if os.IsNotExist(err) {
				err = nil
			}
			return nil, notes{strings.FieldsFunc(string(data), func(r rune) bool { return r == '\n' })}, err
		})
	if err := server.Run(context.Background(), &mcp.StdioTransport{}); err != nil {
		log.Fatal(err)
	}
}
