package vectors

import (
	"context"
	"net/http"
)

// Pinecone is a namespace of an index at Pinecone, by its REST interface.
//
// Source: docs.pinecone.io/reference/api, "Data plane", version 2025-04. The index is made by hand, with the dimensions
// of the model's vectors and the metric cosine or dotproduct; its host is the place's URL. It is consistent eventually:
// what was put may be found some seconds later.
type Pinecone struct {
	place Place
	*caller
}

// OpenPinecone opens the namespace, which begins to be with its first point.
func OpenPinecone(_ context.Context, p Place) (*Pinecone, error) {
	if err := p.check("https", "http"); err != nil {
		return nil, err
	}
	h := http.Header{}
	h.Set("Api-Key", p.Key)
	h.Set("X-Pinecone-Api-Version", "2025-04")
	return &Pinecone{p, newCaller(p.URL, h)}, nil
}

// Put implements [Index].
func (x *Pinecone) Put(ctx context.Context, points []Point) error {
	if err := checkPoints(points, x.place.Dimensions); err != nil || len(points) == 0 {
		return err
	}
	list := make([]any, len(points))
	for i, p := range points {
		rights := p.Rights
		if rights == nil {
			rights = []string{}
		}
		list[i] = map[string]any{"id": p.CID, "values": p.Vector, "metadata": map[string]any{"rights": rights}}
	}
	return x.call(ctx, http.MethodPost, "/vectors/upsert", map[string]any{
		"vectors": list, "namespace": x.place.Collection,
	}, nil)
}

// Drop implements [Index].
func (x *Pinecone) Drop(ctx context.Context, cids []string) error {
	if len(cids) == 0 {
		return nil
	}
	return x.call(ctx, http.MethodPost, "/vectors/delete", map[string]any{
		"ids": cids, "namespace": x.place.Collection,
	}, nil)
}

// Nearest implements [Index].
func (x *Pinecone) Nearest(ctx context.Context, vector []float32, rights []string, limit int) ([]string, error) {
	if nothing, err := checkAsk(vector, rights, limit, x.place.Dimensions); nothing || err != nil {
		return nil, err
	}
	var out struct{ Matches []struct{ ID string } }
	err := x.call(ctx, http.MethodPost, "/query", map[string]any{
		"vector": vector, "topK": min(limit, MaxNearest), "namespace": x.place.Collection,
		"filter": map[string]any{"rights": map[string]any{"$in": rights}}, "includeValues": false, "includeMetadata": false,
	}, &out)
	var cids []string
	for _, m := range out.Matches {
		cids = append(cids, m.ID)
	}
	return cids, err
}

// Count implements [Index].
func (x *Pinecone) Count(ctx context.Context) (int64, error) {
	var out struct {
		Namespaces map[string]struct{ VectorCount int64 }
	}
	err := x.call(ctx, http.MethodPost, "/describe_index_stats", map[string]any{}, &out)
	return out.Namespaces[x.place.Collection].VectorCount, err
}

// Close implements [Index].
func (x *Pinecone) Close() error { x.client.CloseIdleConnections(); return nil }
