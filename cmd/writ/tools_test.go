package main

import (
	"context"
	"html"
	"net"
	"net/http"
	"os"
	"regexp"
	"strings"
	"time"

	"github.com/modelcontextprotocol/go-sdk/mcp"

	"github.com/writ-run/writ/tools/mcp/mcptest"
)

// toolServer is a server of tools for scripts, of the protocol's own library: "post", which appends to a file, and "look",
// which reads it. It is run with the file, and with another that has post's description.
func toolServer() {
	file := os.Args[1]
	about, err := os.ReadFile(os.Args[2])
	if err != nil {
		os.Exit(1)
	}
	type in struct {
		Text string `json:"text"`
	}
	s := mcp.NewServer(&mcp.Implementation{Name: "board", Version: "1"}, nil)
	mcp.AddTool(s, &mcp.Tool{Name: "post", Description: strings.TrimSpace(string(about))},
		func(_ context.Context, _ *mcp.CallToolRequest, x in) (*mcp.CallToolResult, any, error) {
			f, err := os.OpenFile(file, os.O_APPEND|os.O_CREATE|os.O_WRONLY, 0o600)
			if err != nil {
				return nil, nil, err
			}
			defer f.Close()
			if _, err = f.WriteString(x.Text + "\n"); strings.HasPrefix(x.Text, "die") {
				os.Exit(1) // it is done, and nobody hears of it
			}
			return &mcp.CallToolResult{Content: []mcp.Content{&mcp.TextContent{Text: "posted"}}}, nil, err
		})
	mcp.AddTool(s, &mcp.Tool{Name: "look", Description: "Reads what was posted."},
		func(context.Context, *mcp.CallToolRequest, struct{}) (*mcp.CallToolResult, any, error) {
			b, err := os.ReadFile(file)
			return &mcp.CallToolResult{Content: []mcp.Content{&mcp.TextContent{Text: string(b)}}}, nil, err
		})
	if s.Run(context.Background(), &mcp.StdioTransport{}) != nil {
		os.Exit(1)
	}
}

// guardedServer is a server of tools that wants somebody to sign in. It writes its address to a file.
func guardedServer() {
	ln, err := net.Listen("tcp", "127.0.0.1:0")
	if err != nil {
		os.Exit(1)
	}
	url := "http://" + ln.Addr().String()
	if os.WriteFile(os.Args[1], []byte(url), 0o600) != nil || http.Serve(ln, mcptest.NewGuarded(url, time.Hour)) != nil {
		os.Exit(1)
	}
}

var linkInPage = regexp.MustCompile(`href="([^"]*)"`)

// agreeingBrowser is a browser that goes where the page that it opens leads, and wherever it is led on from there.
func agreeingBrowser() {
	page, err := os.ReadFile(os.Args[1])
	if err != nil {
		os.Exit(1)
	}
	res, err := http.Get(html.UnescapeString(string(linkInPage.FindSubmatch(page)[1])))
	if err != nil || res.Body.Close() != nil {
		os.Exit(1)
	}
}
