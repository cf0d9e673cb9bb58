package door

import (
	"cmp"
	"context"
	"encoding/base64"
	"errors"
	"slices"
	"strconv"
	"strings"
	"time"

	"github.com/writ-run/writ/agent/wire"
)

type listTasksParams struct {
	Tenant    string `json:"tenant,omitempty"`
	Context   string `json:"contextId,omitempty"`
	Status    string `json:"status,omitempty"`
	Size      *int   `json:"pageSize,omitempty"`
	Token     string `json:"pageToken,omitempty"`
	History   *int   `json:"historyLength,omitempty"`
	After     string `json:"statusTimestampAfter,omitempty"`
	Artifacts bool   `json:"includeArtifacts,omitempty"`
}

const (
	maxTaskPage = 100
	maxListed   = 1000 // runs among which tasks are looked for: the newest
)

// A taskPage lists tasks, those that changed last first.
type taskPage struct {
	Tasks []*agentTask `json:"tasks"`
	Next  string       `json:"nextPageToken"`
	Size  int          `json:"pageSize"`
	Total int          `json:"totalSize"`
}

// A place is where a task stands in a list: by when it changed last, and its run.
type place struct {
	at  int64 // ms UTC
	run string
}

func (p place) compare(q place) int {
	return cmp.Or(cmp.Compare(q.at, p.at), strings.Compare(p.run, q.run))
}

func (p place) token() string {
	return base64.RawURLEncoding.EncodeToString([]byte(strconv.FormatInt(p.at, 10) + "/" + p.run))
}

func readToken(token string) (p place, ok bool) {
	b, err := base64.RawURLEncoding.Strict().DecodeString(token)
	at, run, found := strings.Cut(string(b), "/")
	if err != nil || !found {
		return p, false
	}
	p.run = run
	p.at, err = strconv.ParseInt(at, 10, 64)
	return p, err == nil
}

// check refuses filters that mean nothing, and fills in what is absent.
func (p *listTasksParams) check() (after int64, from place, err error) {
	size := 50
	if p.Size == nil {
		p.Size = &size
	}
	switch ok := true; {
	case *p.Size < 1 || *p.Size > maxTaskPage:
		return 0, from, badField("pageSize", "1 to 100 are taken")
	case p.History != nil && *p.History < 0:
		return 0, from, badField("historyLength", "give 0 or more")
	case p.Status != "" && !isTaskState(p.Status):
		return 0, from, badField("status", "it is no state of a task")
	case p.Token != "":
		if from, ok = readToken(p.Token); !ok {
			return 0, from, badField("pageToken", "give back the nextPageToken of the page before")
		}
	}
	if p.After != "" {
		t, err := time.Parse(time.RFC3339Nano, p.After)
		if err != nil {
			return 0, from, badField("statusTimestampAfter", "write a time as 2026-01-02T15:04:05.000Z")
		}
		after = t.UnixMilli()
	}
	return after, from, nil
}

// listTasks tells the tasks of the key among the newest runs, without their artifacts unless those are asked for.
func (g *guest) listTasks(ctx context.Context, p listTasksParams, tell func(any) error) error {
	after, from, err := p.check()
	if err != nil {
		return err
	}
	all, err := ask[wire.Runs](ctx, g, wire.RunList, wire.ListParams{Limit: maxListed, Agent: g.session.Agent}, false)
	if err != nil {
		return err
	}
	inContext, err := g.runsOfThread(ctx, p.Context)
	if err != nil {
		return err
	}
	var found []place
	for _, r := range all.Runs {
		at := place{max(r.Opened, r.Closed), r.ID}
		if r.Caller != "" || at.at < after || inContext != nil && !inContext[r.ID] {
			continue // a sub-agent's is part of its caller's
		}
		state, err := g.stateOf(ctx, r)
		if err != nil {
			return err
		}
		if p.Status == "" || p.Status == state {
			found = append(found, at)
		}
	}
	slices.SortFunc(found, place.compare)
	page := taskPage{Tasks: []*agentTask{}, Size: *p.Size, Total: len(found)}
	if p.Token != "" {
		found = slices.DeleteFunc(found, func(at place) bool { return at.compare(from) <= 0 })
	}
	if len(found) > *p.Size {
		found = found[:*p.Size]
		page.Next = found[*p.Size-1].token()
	}
	for _, at := range found {
		f, err := g.readTask(ctx, at.run)
		if err != nil {
			return err
		}
		t := f.task(p.History)
		if !p.Artifacts {
			t.Artifacts = nil
		}
		page.Tasks = append(page.Tasks, t)
	}
	return tell(page)
}

// stateOf is the state of a task by what the index knows of its run. A run that is parked may wait for its wallet's own
// transaction, which only its events tell.
func (g *guest) stateOf(ctx context.Context, r wire.Run) (string, error) {
	switch r.Outcome {
	case "asks":
		return taskInput, nil
	case "waiting":
		return taskAuth, nil
	case "running", "cut":
		return taskWorking, nil
	case "parked":
		f, err := g.readTask(ctx, r.ID)
		if err != nil {
			return "", err
		}
		return f.state(), nil
	}
	return endState(r.Outcome), nil
}

// runsOfThread returns the newest runs of a thread, and nil for no name.
func (g *guest) runsOfThread(ctx context.Context, name string) (map[string]bool, error) {
	if name == "" {
		return nil, nil
	}
	of := map[string]bool{}
	for cursor := ""; len(of) < maxListed; {
		page, err := ask[wire.Turns](ctx, g, wire.ThreadGet,
			wire.ThreadParams{Agent: g.session.Agent, Name: name, Limit: 50, Cursor: cursor}, false)
		if own, ok := errors.AsType[*wire.Error](err); ok && own.Data.Code == wire.CodeNotFound {
			return of, nil
		}
		if err != nil {
			return nil, err
		}
		for _, t := range page.Turns {
			of[t.Run] = true
		}
		if cursor = page.Next; cursor == "" {
			break
		}
	}
	return of, nil
}
