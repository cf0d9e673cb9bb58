package vectors

import (
	"context"
	"net/http"
)

// Qdrant is a collection of a Qdrant server, 1.10 or newer, by its REST interface.
//
// Source: qdrant.tech/documentation, "Points", "Filtering", "Query API". The filter is part of the search in the graph,
// and rights are an indexed keyword.
type Qdrant struct {
	place Place
	*caller
}

// OpenQdrant opens the collection, and makes it if it is not there. The key is an API key.
func OpenQdrant(ctx context.Context, p Place) (*Qdrant, error) {
	if err := p.check("http", "https"); err != nil {
		return nil, err
	}
	h := http.Header{}
	if p.Key != "" {
		h.Set("Api-Key", p.Key)
	}
	q := &Qdrant{p, newCaller(p.URL, h)}
	var there struct {
		Result struct{ Exists bool }
	}
	if err := q.call(ctx, http.MethodGet, q.path("/exists"), nil, &there); err != nil {
		return nil, err
	}
	if there.Result.Exists {
		return q, nil
	}
	err := q.call(ctx, http.MethodPut, q.path(""), map[string]any{
		"vectors": map[string]any{"size": p.Dimensions, "distance": "Dot"},
	}, nil)
	if err != nil {
		return nil, err
	}
	return q, q.call(ctx, http.MethodPut, q.path("/index?wait=true"), map[string]any{
		"field_name": "rights", "field_schema": "keyword",
	}, nil)
}

func (q *Qdrant) path(rest string) string { return "/collections/" + q.place.Collection + rest }

// Put implements [Index].
func (q *Qdrant) Put(ctx context.Context, points []Point) error {
	if err := checkPoints(points, q.place.Dimensions); err != nil || len(points) == 0 {
		return err
	}
	list := make([]any, len(points))
	for i, p := range points {
		list[i] = map[string]any{
			"id": uuidOf(p.CID), "vector": p.Vector, "payload": map[string]any{"cid": p.CID, "rights": p.Rights},
		}
	}
	return q.call(ctx, http.MethodPut, q.path("/points?wait=true"), map[string]any{"points": list}, nil)
}

// Drop implements [Index].
func (q *Qdrant) Drop(ctx context.Context, cids []string) error {
	if len(cids) == 0 {
		return nil
	}
	return q.call(ctx, http.MethodPost, q.path("/points/delete?wait=true"), map[string]any{"points": uuidsOf(cids)}, nil)
}

// Nearest implements [Index].
func (q *Qdrant) Nearest(ctx context.Context, vector []float32, rights []string, limit int) ([]string, error) {
	if nothing, err := checkAsk(vector, rights, limit, q.place.Dimensions); nothing || err != nil {
		return nil, err
	}
	var out struct {
		Result struct {
			Points []struct{ Payload struct{ CID string } }
		}
	}
	err := q.call(ctx, http.MethodPost, q.path("/points/query"), map[string]any{
		"query": vector, "limit": min(limit, MaxNearest), "with_payload": []string{"cid"},
		"params": map[string]any{"hnsw_ef": 256},
		"filter": map[string]any{"must": []any{map[string]any{"key": "rights", "match": map[string]any{"any": rights}}}},
	}, &out)
	var cids []string
	for _, p := range out.Result.Points {
		cids = append(cids, p.Payload.CID)
	}
	return cids, err
}

// Count implements [Index].
func (q *Qdrant) Count(ctx context.Context) (int64, error) {
	var out struct{ Result struct{ Count int64 } }
	err := q.call(ctx, http.MethodPost, q.path("/points/count"), map[string]any{"exact": true}, &out)
	return out.Result.Count, err
}

// Close implements [Index].
func (q *Qdrant) Close() error { q.client.CloseIdleConnections(); return nil }
