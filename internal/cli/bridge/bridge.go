// Package bridge is the command writ mcp: an agent as a server of the Model Context Protocol on standard input and
// output, for programs that start such servers. It carries the calls to a server's /mcp and the results back.
package bridge

import (
	"context"
	"errors"
	"fmt"
	"io"
	"net"
	"net/http"
	"net/url"
	"strconv"
	"strings"
	"time"

	"github.com/modelcontextprotocol/go-sdk/mcp"
	"github.com/spf13/cobra"

	"github.com/writ-run/writ/internal/cli"
)

// Command returns writ mcp.
func Command(s *cli.Shell, version string) *cobra.Command {
	var server, key string
	c := &cobra.Command{
		Use: "mcp", Short: "Be an agent's MCP server on standard input and output",
		Long: `Serves an agent's tools (run_agent, watch_run, list_approvals, read_run, verify_run and others) to a program that
starts servers of the Model Context Protocol, such as an editor or a desktop assistant. They act with an API key, whose
limits a wallet has signed: writ key new makes one.

  {"command": "writ", "args": ["mcp", "--server", "https://agents.example"], "env": {"WRIT_KEY": "writ_..."}}

A program that speaks HTTP needs no command: the same tools are at the server's address, under /mcp, with the key as
Authorization: Bearer.`,
		Args: cobra.NoArgs,
		RunE: func(c *cobra.Command, _ []string) error { return serve(c.Context(), s, server, key, version) },
	}
	c.Flags().StringVar(&server, "server", "", "`URL` of the server (default: the one that was signed in to)")
	c.Flags().StringVar(&key, "key", "env:WRIT_KEY", "where the API key is: env:NAME or file:PATH")
	return c
}

// serve carries calls until the input ends.
func serve(ctx context.Context, s *cli.Shell, server, ref, version string) error {
	server, err := s.FindServer(server)
	if err != nil {
		return err
	}
	endpoint, err := endpointOf(server)
	if err != nil {
		return err
	}
	key, err := s.RevealSecret(ref)
	if err != nil {
		return err
	}
	from := mcp.NewClient(&mcp.Implementation{Name: "writ mcp", Version: version},
		&mcp.ClientOptions{Capabilities: &mcp.ClientCapabilities{}})
	far, err := from.Connect(ctx, &mcp.StreamableClientTransport{
		Endpoint: endpoint, DisableStandaloneSSE: true, MaxRetries: -1,
		HTTPClient: &http.Client{
			Transport:     bearer{"Bearer " + key},
			CheckRedirect: func(*http.Request, []*http.Request) error { return errors.New("redirects are not followed") },
		},
	}, nil)
	if err != nil {
		return fmt.Errorf("%s/mcp does not answer as a server of tools: %w; look at the address and the key", server, err)
	}
	defer far.Close()
	near := mcp.NewServer(&mcp.Implementation{Name: "writ", Title: "writ", Version: version}, &mcp.ServerOptions{
		Instructions: far.InitializeResult().Instructions,
		Capabilities: &mcp.ServerCapabilities{Tools: &mcp.ToolCapabilities{}},
	})
	for tool, err := range far.Tools(ctx, nil) {
		if err != nil {
			return fmt.Errorf("list the tools of %s: %w", server, err)
		}
		near.AddTool(tool, func(ctx context.Context, q *mcp.CallToolRequest) (*mcp.CallToolResult, error) {
			return far.CallTool(ctx, &mcp.CallToolParams{Name: q.Params.Name, Arguments: q.Params.Arguments})
		})
	}
	err = near.Run(ctx, &mcp.IOTransport{Reader: io.NopCloser(s.In), Writer: unclosed{s.Out}, MaxLineLength: 1 << 20})
	if errors.Is(err, io.EOF) || ctx.Err() != nil {
		return nil
	}
	return err
}

// endpointOf returns the address of a server's tools. A key goes over the network only encrypted.
func endpointOf(server string) (string, error) {
	u, err := url.Parse(server)
	if err != nil || u.Host == "" || u.User != nil || u.RawQuery != "" || u.Fragment != "" {
		return "", cli.Usage("--server is the address of a server, such as https://agents.example")
	}
	if u.Scheme != "https" && !(u.Scheme == "http" && isLoopback(u.Hostname())) {
		return "", cli.Usage("the key goes to %s with each request, so its address must begin with https://", u.Hostname())
	}
	return strings.TrimSuffix(u.String(), "/") + "/mcp", nil
}

func isLoopback(host string) bool {
	ip := net.ParseIP(host)
	return host == "localhost" || ip != nil && ip.IsLoopback()
}

// A bearer adds the key to each request, and waits where the server says that it is asked too fast.
type bearer struct{ authorization string }

const maxTries = 5

func (b bearer) RoundTrip(r *http.Request) (*http.Response, error) {
	for n := 1; ; n++ {
		q := r.Clone(r.Context())
		q.Header.Set("Authorization", b.authorization)
		if r.GetBody != nil {
			body, err := r.GetBody()
			if err != nil {
				return nil, err
			}
			q.Body = body
		}
		res, err := http.DefaultTransport.RoundTrip(q)
		if err != nil || res.StatusCode != http.StatusTooManyRequests || n == maxTries || r.Body != nil && r.GetBody == nil {
			return res, err
		}
		res.Body.Close()
		seconds, _ := strconv.Atoi(res.Header.Get("Retry-After")) // a second if it is none
		select {
		case <-r.Context().Done():
			return nil, r.Context().Err()
		case <-time.After(time.Duration(min(max(seconds, 1), 60)) * time.Second):
		}
	}
}

// unclosed keeps standard output open for whoever has it.
type unclosed struct{ io.Writer }

func (unclosed) Close() error { return nil }
