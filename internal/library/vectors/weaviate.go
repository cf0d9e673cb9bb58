package vectors

import (
	"context"
	"encoding/json"
	"fmt"
	"net/http"
	"strings"
)

// Weaviate is a class of a Weaviate server, by its REST and GraphQL interfaces.
//
// Source: weaviate.io/developers/weaviate, "REST", "GraphQL: conditional filters". The filter is a list of what may be
// found, which the search in the graph walks with; below 40,000 points of it every one is looked at.
type Weaviate struct {
	place Place
	class string
	*caller
}

// OpenWeaviate opens the class, and makes it if it is not there. The key is an API key.
func OpenWeaviate(ctx context.Context, p Place) (*Weaviate, error) {
	if err := p.check("http", "https"); err != nil {
		return nil, err
	}
	h := http.Header{}
	if p.Key != "" {
		h.Set("Authorization", "Bearer "+p.Key)
	}
	// The names of classes begin with a capital letter.
	w := &Weaviate{p, strings.ToUpper(p.Collection[:1]) + p.Collection[1:], newCaller(p.URL, h)}
	var schema struct{ Classes []struct{ Class string } }
	if err := w.call(ctx, http.MethodGet, "/v1/schema", nil, &schema); err != nil {
		return nil, err
	}
	for _, c := range schema.Classes {
		if c.Class == w.class {
			return w, nil
		}
	}
	text := func(name, kind string) map[string]any {
		return map[string]any{"name": name, "dataType": []string{kind}, "tokenization": "field", "indexFilterable": true,
			"indexSearchable": false}
	}
	return w, w.call(ctx, http.MethodPost, "/v1/schema", map[string]any{
		"class": w.class, "vectorizer": "none",
		"vectorIndexConfig": map[string]any{"distance": "dot"},
		"properties":        []any{text("cid", "text"), text("rights", "text[]")},
	}, nil)
}

// Put implements [Index].
func (w *Weaviate) Put(ctx context.Context, points []Point) error {
	if err := checkPoints(points, w.place.Dimensions); err != nil || len(points) == 0 {
		return err
	}
	list := make([]any, len(points))
	for i, p := range points {
		list[i] = map[string]any{
			"class": w.class, "id": uuidOf(p.CID), "vector": p.Vector,
			"properties": map[string]any{"cid": p.CID, "rights": p.Rights},
		}
	}
	var out []struct {
		Result struct{ Errors json.RawMessage }
	}
	if err := w.call(ctx, http.MethodPost, "/v1/batch/objects", map[string]any{"objects": list}, &out); err != nil {
		return err
	}
	// The status of a batch says nothing about its objects.
	for _, x := range out {
		if e := x.Result.Errors; len(e) > 0 && string(e) != "null" {
			return fmt.Errorf("%w: some of the points were not taken", ErrRefused)
		}
	}
	if len(out) != len(points) {
		return fmt.Errorf("%w: %d of %d points were taken", ErrRefused, len(out), len(points))
	}
	return nil
}

// Drop implements [Index].
func (w *Weaviate) Drop(ctx context.Context, cids []string) error {
	if len(cids) == 0 {
		return nil
	}
	var out struct {
		Results struct{ Failed int }
	}
	err := w.call(ctx, http.MethodDelete, "/v1/batch/objects", map[string]any{
		"match": map[string]any{"class": w.class, "where": map[string]any{
			"path": []string{"id"}, "operator": "ContainsAny", "valueTextArray": uuidsOf(cids),
		}},
	}, &out)
	if err == nil && out.Results.Failed > 0 {
		err = fmt.Errorf("%w: %d points were not removed", ErrRefused, out.Results.Failed)
	}
	return err
}

// Nearest implements [Index].
func (w *Weaviate) Nearest(ctx context.Context, vector []float32, rights []string, limit int) ([]string, error) {
	if nothing, err := checkAsk(vector, rights, limit, w.place.Dimensions); nothing || err != nil {
		return nil, err
	}
	v, err := json.Marshal(vector)
	if err != nil {
		return nil, err
	}
	r, err := json.Marshal(rights) // hex digits, so that GraphQL's strings are JSON's
	if err != nil {
		return nil, err
	}
	var out struct {
		Data struct {
			Get map[string][]struct{ CID string }
		}
		Errors []any
	}
	err = w.call(ctx, http.MethodPost, "/v1/graphql", map[string]any{"query": fmt.Sprintf(
		`{Get{%s(limit:%d,nearVector:{vector:%s},where:{path:["rights"],operator:ContainsAny,valueText:%s}){cid}}}`,
		w.class, min(limit, MaxNearest), v, r)}, &out)
	if err == nil && len(out.Errors) > 0 {
		err = fmt.Errorf("%w: the question was not answered", ErrRefused)
	}
	var cids []string
	for _, x := range out.Data.Get[w.class] {
		cids = append(cids, x.CID)
	}
	return cids, err
}

// Count implements [Index].
func (w *Weaviate) Count(ctx context.Context) (int64, error) {
	var out struct {
		Data struct {
			Aggregate map[string][]struct{ Meta struct{ Count int64 } }
		}
		Errors []any
	}
	err := w.call(ctx, http.MethodPost, "/v1/graphql",
		map[string]any{"query": fmt.Sprintf(`{Aggregate{%s{meta{count}}}}`, w.class)}, &out)
	rows := out.Data.Aggregate[w.class]
	switch {
	case err != nil:
		return 0, err
	case len(out.Errors) > 0:
		return 0, fmt.Errorf("%w: the points were not counted", ErrRefused)
	case len(rows) == 0:
		return 0, nil
	}
	return rows[0].Meta.Count, nil
}

// Close implements [Index].
func (w *Weaviate) Close() error { w.client.CloseIdleConnections(); return nil }
