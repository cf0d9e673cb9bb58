package vectors

import (
	"context"
	"encoding/json"
	"fmt"
	"net/http"
)

// Milvus is a collection of a Milvus server, 2.4 or newer, by version 2 of its REST interface, whose errors come with
// status 200 and a code.
//
// Source: milvus.io/api-reference/restful/v2.4.x. The filter is applied before the search; what was put is seen
// at once, since the collection's consistency is Strong.
type Milvus struct {
	place Place
	*caller
}

// OpenMilvus opens the collection, and makes it if it is not there. The key is a token, or USER:PASSWORD.
func OpenMilvus(ctx context.Context, p Place) (*Milvus, error) {
	if err := p.check("http", "https"); err != nil {
		return nil, err
	}
	h := http.Header{}
	if p.Key != "" {
		h.Set("Authorization", "Bearer "+p.Key)
	}
	m := &Milvus{p, newCaller(p.URL, h)}
	var there struct{ Has bool }
	if err := m.ask(ctx, "collections/has", nil, &there); err != nil || there.Has {
		return m, err
	}
	field := func(name, kind string, params map[string]any) map[string]any {
		return map[string]any{"fieldName": name, "dataType": kind, "elementTypeParams": params}
	}
	cid := field("cid", "VarChar", map[string]any{"max_length": "128"})
	cid["isPrimary"] = true
	rights := field("rights", "Array", map[string]any{"max_capacity": fmt.Sprint(MaxRights), "max_length": "64"})
	rights["elementDataType"] = "VarChar"
	return m, m.ask(ctx, "collections/create", map[string]any{
		"schema": map[string]any{"autoId": false, "enabledDynamicField": false, "fields": []any{
			cid, field("vector", "FloatVector", map[string]any{"dim": fmt.Sprint(p.Dimensions)}), rights,
		}},
		"indexParams": []any{map[string]any{
			"fieldName": "vector", "indexName": "vector", "metricType": "IP", "indexType": "AUTOINDEX",
		}},
		"params": map[string]any{"consistencyLevel": "Strong"},
	}, nil)
}

// ask makes a call about the collection; out is what the answer's data is read into.
func (m *Milvus) ask(ctx context.Context, what string, in map[string]any, out any) error {
	body := map[string]any{"collectionName": m.place.Collection}
	for k, v := range in {
		body[k] = v
	}
	var answer struct {
		Code int
		Data json.RawMessage
	}
	if err := m.call(ctx, http.MethodPost, "/v2/vectordb/"+what, body, &answer); err != nil {
		return err
	}
	if answer.Code != 0 {
		return fmt.Errorf("%w: code %d", ErrRefused, answer.Code)
	}
	if out == nil {
		return nil
	}
	if err := json.Unmarshal(answer.Data, out); err != nil {
		return fmt.Errorf("%w: its answer is not what its interface says", ErrRefused)
	}
	return nil
}

// Put implements [Index].
func (m *Milvus) Put(ctx context.Context, points []Point) error {
	if err := checkPoints(points, m.place.Dimensions); err != nil || len(points) == 0 {
		return err
	}
	rows := make([]any, len(points))
	for i, p := range points {
		rights := p.Rights
		if rights == nil {
			rights = []string{}
		}
		rows[i] = map[string]any{"cid": p.CID, "vector": p.Vector, "rights": rights}
	}
	return m.ask(ctx, "entities/upsert", map[string]any{"data": rows}, nil)
}

// Drop implements [Index].
func (m *Milvus) Drop(ctx context.Context, cids []string) error {
	if len(cids) == 0 {
		return nil
	}
	list, err := json.Marshal(cids)
	if err != nil {
		return err
	}
	return m.ask(ctx, "entities/delete", map[string]any{"filter": fmt.Sprintf("cid in %s", list)}, nil)
}

// Nearest implements [Index].
func (m *Milvus) Nearest(ctx context.Context, vector []float32, rights []string, limit int) ([]string, error) {
	if nothing, err := checkAsk(vector, rights, limit, m.place.Dimensions); nothing || err != nil {
		return nil, err
	}
	list, err := json.Marshal(rights)
	if err != nil {
		return nil, err
	}
	var rows []struct{ CID string }
	err = m.ask(ctx, "entities/search", map[string]any{
		"data": [][]float32{vector}, "annsField": "vector", "limit": min(limit, MaxNearest), "outputFields": []string{"cid"},
		"filter": fmt.Sprintf("ARRAY_CONTAINS_ANY(rights, %s)", list), "consistencyLevel": "Strong",
	}, &rows)
	var cids []string
	for _, r := range rows {
		cids = append(cids, r.CID)
	}
	return cids, err
}

// Count implements [Index].
func (m *Milvus) Count(ctx context.Context) (int64, error) {
	var rows []map[string]json.Number
	err := m.ask(ctx, "entities/query", map[string]any{
		"filter": "", "outputFields": []string{"count(*)"}, "consistencyLevel": "Strong",
	}, &rows)
	if err != nil || len(rows) == 0 {
		return 0, err
	}
	return rows[0]["count(*)"].Int64()
}

// Close implements [Index].
func (m *Milvus) Close() error { m.client.CloseIdleConnections(); return nil }
