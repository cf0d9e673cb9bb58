package vectors_test

import (
	"encoding/binary"
	"encoding/json"
	"fmt"
	"math"
	"net/http"
	"net/http/httptest"
	"regexp"
	"slices"
	"strconv"
	"strings"
	"sync"
	"testing"

	"github.com/alicebob/miniredis/v2"
	"github.com/alicebob/miniredis/v2/server"

	"github.com/writ-run/writ/internal/library/vectors"
)

// These servers are fakes, written from the interfaces' documentation: no Qdrant, Pinecone or Redis with its query engine
// can be had as a package. They keep collections in memory, and refuse what they do not know. Weaviate and Milvus have
// one for `make test`; `make indexes` gives the same suite to real ones.
type fake struct {
	mu          sync.Mutex
	collections map[string]*collection
	wrong       []string // what the server was asked that its documentation does not know
}

// A collection is what a fake keeps. Points are called as the interface calls them.
type collection struct {
	flat *vectors.Flat
	ids  map[string]string // of what a point is called, its CID
}

func newFake(t *testing.T) *fake {
	f := &fake{collections: map[string]*collection{}}
	t.Cleanup(func() {
		if len(f.wrong) > 0 {
			t.Errorf("the server does not know %s", f.wrong[0])
		}
	})
	return f
}

func (f *fake) make(name string, dimensions int) *collection {
	c := &collection{vectors.NewFlat(dimensions), map[string]string{}}
	f.collections[name] = c
	return c
}

func (c *collection) put(id, cid string, v []float32, rights []string) error {
	c.ids[id] = cid
	return c.flat.Put(nil, []vectors.Point{{CID: cid, Vector: v, Rights: rights}})
}

func (c *collection) drop(ids []string) error {
	for _, id := range ids {
		if err := c.flat.Drop(nil, []string{c.ids[id]}); err != nil {
			return err
		}
		delete(c.ids, id)
	}
	return nil
}

func (c *collection) nearest(v []float32, rights []string, limit int) []string {
	got, err := c.flat.Nearest(nil, v, rights, limit)
	if err != nil {
		panic(err)
	}
	return got
}

// serve starts a fake whose answers a function gives, by method and path, and by the body as JSON.
func (f *fake) serve(t *testing.T, key [2]string, answer func(call string, in body) (any, int)) string {
	s := httptest.NewServer(http.HandlerFunc(func(w http.ResponseWriter, r *http.Request) {
		f.mu.Lock()
		defer f.mu.Unlock()
		if r.Header.Get(key[0]) != key[1] {
			w.WriteHeader(http.StatusUnauthorized)
			return
		}
		var in body
		if r.ContentLength != 0 {
			if err := json.NewDecoder(r.Body).Decode(&in); err != nil {
				f.wrong = append(f.wrong, err.Error())
			}
		}
		call := r.Method + " " + r.URL.Path
		out, status := answer(call, in)
		if status == http.StatusNotImplemented {
			f.wrong = append(f.wrong, call)
		}
		w.Header().Set("Content-Type", "application/json")
		w.WriteHeader(status)
		_ = json.NewEncoder(w).Encode(out) // the test's end
	}))
	t.Cleanup(s.Close)
	return s.URL
}

// A body is a JSON object.
type body map[string]any

func (b body) in(path ...string) any {
	var x any = map[string]any(b)
	for _, p := range path {
		if i, err := strconv.Atoi(p); err == nil {
			x = x.([]any)[i]
		} else {
			x = x.(map[string]any)[p]
		}
	}
	return x
}

func texts(x any) (out []string) {
	for _, s := range x.([]any) {
		out = append(out, s.(string))
	}
	return out
}

func floats(x any) (out []float32) {
	for _, n := range x.([]any) {
		out = append(out, float32(n.(float64)))
	}
	return out
}

func number(x any) int { return int(x.(float64)) }

func TestQdrant(t *testing.T) {
	f := newFake(t)
	url := f.serve(t, [2]string{"Api-Key", "k"}, func(call string, in body) (any, int) {
		method, path, _ := strings.Cut(call, " /collections/")
		name, rest, _ := strings.Cut(path, "/")
		c := f.collections[name]
		ok := func(x any) (any, int) { return map[string]any{"result": x, "status": "ok", "time": 0.1}, http.StatusOK }
		switch method + " " + rest {
		case "GET exists":
			return ok(map[string]any{"exists": c != nil})
		case "PUT ":
			if c != nil {
				return nil, http.StatusConflict
			}
			if in.in("vectors", "distance") != "Dot" {
				return nil, http.StatusNotImplemented
			}
			f.make(name, number(in.in("vectors", "size")))
			return ok(true)
		case "PUT index":
			if in.in("field_name") != "rights" || in.in("field_schema") != "keyword" {
				return nil, http.StatusNotImplemented
			}
			return ok(true)
		case "PUT points":
			for i := range in.in("points").([]any) {
				p := body(in.in("points", fmt.Sprint(i)).(map[string]any))
				rights := []string{}
				if x := p.in("payload", "rights"); x != nil {
					rights = texts(x)
				}
				if !isUUID(p.in("id").(string)) ||
					c.put(p.in("id").(string), p.in("payload", "cid").(string), floats(p.in("vector")), rights) != nil {
					return nil, http.StatusBadRequest
				}
			}
			return ok(nil)
		case "POST points/delete":
			if c.drop(texts(in.in("points"))) != nil {
				return nil, http.StatusBadRequest
			}
			return ok(nil)
		case "POST points/query":
			if in.in("filter", "must", "0", "key") != "rights" {
				return nil, http.StatusNotImplemented
			}
			var points []any
			for _, cid := range c.nearest(floats(in.in("query")), texts(in.in("filter", "must", "0", "match", "any")),
				number(in.in("limit"))) {
				points = append(points, map[string]any{"payload": map[string]any{"cid": cid}})
			}
			return ok(map[string]any{"points": points})
		case "POST points/count":
			return ok(map[string]any{"count": len(c.ids)})
		}
		return nil, http.StatusNotImplemented
	})
	k := kind{open: openQdrant, url: url, key: "k", scale: 0.03}
	testIndex(t, k)
	testFaults(t, k, "http")
	testAnswers(t, k)
}

func isUUID(s string) bool {
	return regexp.MustCompile(`^[0-9a-f]{8}-[0-9a-f]{4}-8[0-9a-f]{3}-[89ab][0-9a-f]{3}-[0-9a-f]{12}$`).MatchString(s)
}

func TestPinecone(t *testing.T) {
	f := newFake(t)
	url := f.serve(t, [2]string{"Api-Key", "k"}, func(call string, in body) (any, int) {
		name, _ := in["namespace"].(string)
		c := f.collections[name]
		switch call {
		case "POST /vectors/upsert":
			for _, x := range in.in("vectors").([]any) {
				p := body(x.(map[string]any))
				if c == nil {
					c = f.make(name, len(floats(p.in("values"))))
				}
				id := p.in("id").(string)
				if c.put(id, id, floats(p.in("values")), texts(p.in("metadata", "rights"))) != nil {
					return nil, http.StatusBadRequest
				}
			}
			return map[string]any{"upsertedCount": len(in.in("vectors").([]any))}, http.StatusOK
		case "POST /vectors/delete":
			if c == nil {
				return nil, http.StatusNotFound
			}
			if c.drop(texts(in.in("ids"))) != nil {
				return nil, http.StatusBadRequest
			}
			return map[string]any{}, http.StatusOK
		case "POST /query":
			matches := []any{}
			if c != nil {
				for _, id := range c.nearest(floats(in.in("vector")), texts(in.in("filter", "rights", "$in")), number(in.in("topK"))) {
					matches = append(matches, map[string]any{"id": id, "score": 0.5})
				}
			}
			return map[string]any{"matches": matches}, http.StatusOK
		case "POST /describe_index_stats":
			spaces := map[string]any{}
			for name, c := range f.collections {
				spaces[name] = map[string]any{"vectorCount": len(c.ids)}
			}
			return map[string]any{"namespaces": spaces}, http.StatusOK
		}
		return nil, http.StatusNotImplemented
	})
	k := kind{open: openPinecone, url: url, key: "k", scale: 0.03}
	testIndex(t, k)
	testFaults(t, k, "http")
	testAnswers(t, k)
}

func TestWeaviate(t *testing.T) {
	f := newFake(t)
	ask := regexp.MustCompile(`^\{Get\{(\w+)\(limit:(\d+),nearVector:\{vector:(\[.*?\])\},` +
		`where:\{path:\["rights"\],operator:ContainsAny,valueText:(\[.*?\])\}\)\{cid\}\}\}$`)
	count := regexp.MustCompile(`^\{Aggregate\{(\w+)\{meta\{count\}\}\}\}$`)
	url := f.serve(t, [2]string{"Authorization", "Bearer k"}, func(call string, in body) (any, int) {
		switch call {
		case "GET /v1/schema":
			classes := []any{}
			for name := range f.collections {
				classes = append(classes, map[string]any{"class": name})
			}
			return map[string]any{"classes": classes}, http.StatusOK
		case "POST /v1/schema":
			name := in.in("class").(string)
			if strings.ToUpper(name[:1]) != name[:1] || in.in("vectorizer") != "none" || f.collections[name] != nil {
				return nil, http.StatusUnprocessableEntity
			}
			f.make(name, 0)
			return in, http.StatusOK
		case "POST /v1/batch/objects":
			var out []any
			for _, x := range in.in("objects").([]any) {
				p := body(x.(map[string]any))
				name, v := p.in("class").(string), floats(p.in("vector"))
				c := f.collections[name]
				if len(c.ids) == 0 {
					c = f.make(name, len(v))
				}
				rights := []string{}
				if x := p.in("properties", "rights"); x != nil {
					rights = texts(x)
				}
				var errs any
				if c.put(p.in("id").(string), p.in("properties", "cid").(string), v, rights) != nil {
					errs = map[string]any{"error": []any{map[string]any{"message": "vector lengths don't match"}}}
				}
				out = append(out, map[string]any{"id": p.in("id"), "result": map[string]any{"errors": errs}})
			}
			return out, http.StatusOK
		case "DELETE /v1/batch/objects":
			if in.in("match", "where", "operator") != "ContainsAny" || in.in("match", "where", "path", "0") != "id" {
				return nil, http.StatusNotImplemented
			}
			ids := texts(in.in("match", "where", "valueTextArray"))
			if f.collections[in.in("match", "class").(string)].drop(ids) != nil {
				return nil, http.StatusUnprocessableEntity
			}
			return map[string]any{"results": map[string]any{"matches": len(ids), "failed": 0}}, http.StatusOK
		case "POST /v1/graphql":
			q := in.in("query").(string)
			if m := count.FindStringSubmatch(q); m != nil {
				row := map[string]any{"meta": map[string]any{"count": len(f.collections[m[1]].ids)}}
				return map[string]any{"data": map[string]any{"Aggregate": map[string]any{m[1]: []any{row}}}}, http.StatusOK
			}
			m := ask.FindStringSubmatch(q)
			if m == nil {
				return nil, http.StatusNotImplemented
			}
			var v []float32
			var rights []string
			limit, err := strconv.Atoi(m[2])
			if err != nil || json.Unmarshal([]byte(m[3]), &v) != nil || json.Unmarshal([]byte(m[4]), &rights) != nil {
				return nil, http.StatusNotImplemented
			}
			rows := []any{}
			if c := f.collections[m[1]]; len(c.ids) > 0 {
				for _, cid := range c.nearest(v, rights, limit) {
					rows = append(rows, map[string]any{"cid": cid})
				}
			}
			return map[string]any{"data": map[string]any{"Get": map[string]any{m[1]: rows}}}, http.StatusOK
		}
		return nil, http.StatusNotImplemented
	})
	k := kind{open: openWeaviate, url: url, key: "k", scale: 0.03}
	testIndex(t, k)
	testFaults(t, k, "http")
	testAnswers(t, k)
}

func TestMilvus(t *testing.T) {
	f := newFake(t)
	anyOf := regexp.MustCompile(`^ARRAY_CONTAINS_ANY\(rights, (\[.*\])\)$`)
	among := regexp.MustCompile(`^cid in (\[.*\])$`)
	url := f.serve(t, [2]string{"Authorization", "Bearer k"}, func(call string, in body) (any, int) {
		ok := func(x any) (any, int) { return map[string]any{"code": 0, "data": x}, http.StatusOK }
		no := func() (any, int) { return map[string]any{"code": 1100, "message": "invalid parameter"}, http.StatusOK }
		name := in.in("collectionName").(string)
		c := f.collections[name]
		switch strings.TrimPrefix(call, "POST /v2/vectordb/") {
		case "collections/has":
			return ok(map[string]any{"has": c != nil})
		case "collections/create":
			for _, x := range in.in("schema", "fields").([]any) {
				p := body(x.(map[string]any))
				if p.in("fieldName") == "vector" {
					n, err := strconv.Atoi(p.in("elementTypeParams", "dim").(string))
					if err != nil || n < 2 {
						return no()
					}
					f.make(name, n)
				}
			}
			return ok(map[string]any{})
		case "entities/upsert":
			for _, x := range in.in("data").([]any) {
				p := body(x.(map[string]any))
				cid := p.in("cid").(string)
				if c.put(cid, cid, floats(p.in("vector")), texts(p.in("rights"))) != nil {
					return no()
				}
			}
			return ok(map[string]any{})
		case "entities/delete":
			var cids []string
			m := among.FindStringSubmatch(in.in("filter").(string))
			if m == nil || json.Unmarshal([]byte(m[1]), &cids) != nil || c.drop(cids) != nil {
				return no()
			}
			return ok(map[string]any{})
		case "entities/search":
			var rights []string
			m := anyOf.FindStringSubmatch(in.in("filter").(string))
			if m == nil || json.Unmarshal([]byte(m[1]), &rights) != nil {
				return no()
			}
			rows := []any{}
			for _, cid := range c.nearest(floats(in.in("data", "0")), rights, number(in.in("limit"))) {
				rows = append(rows, map[string]any{"cid": cid, "distance": 0.5})
			}
			return ok(rows)
		case "entities/query":
			if !slices.Equal(texts(in.in("outputFields")), []string{"count(*)"}) {
				return no()
			}
			return ok([]any{map[string]any{"count(*)": len(c.ids)}})
		}
		return nil, http.StatusNotImplemented
	})
	k := kind{open: openMilvus, url: url, key: "k", scale: 0.03}
	testIndex(t, k)
	testFaults(t, k, "http")
	testAnswers(t, k)
}

// A real server of hashes, whose query engine is a fake: no server that has it can be had as a package.
func TestRedis(t *testing.T) {
	m := miniredis.RunT(t)
	m.RequireAuth("k")
	f := newFake(t)
	read := func(name string) *collection { // as the engine would: the hashes of its prefix
		c := f.collections[name]
		all := &collection{vectors.NewFlat(c.flat.Dimensions()), map[string]string{}}
		for _, key := range m.Keys() {
			if cid, ok := strings.CutPrefix(key, name+":"); ok {
				rights := strings.Split(m.HGet(key, "rights"), ",")
				if err := all.put(cid, cid, unpack(m.HGet(key, "vector")), rights); err != nil {
					continue // the engine does not index a hash of another form
				}
			}
		}
		return all
	}
	register := func(name string, do func(p *server.Peer, args []string)) {
		if err := m.Server().Register(name, func(p *server.Peer, _ string, args []string) {
			f.mu.Lock()
			defer f.mu.Unlock()
			do(p, args)
		}); err != nil {
			t.Fatal(err)
		}
	}
	register("FT.CREATE", func(p *server.Peer, args []string) {
		if f.collections[args[0]] != nil {
			p.WriteError("Index already exists")
			return
		}
		i := slices.Index(args, "DIM")
		n, err := strconv.Atoi(args[i+1])
		if err != nil || args[5] != args[0]+":" {
			p.WriteError("Bad arguments")
			return
		}
		f.make(args[0], n)
		p.WriteOK()
	})
	query := regexp.MustCompile(`^\(@rights:\{([0-9a-z|]+)\}\)=>\[KNN (\d+) @vector \$v AS far\]$`)
	register("FT.SEARCH", func(p *server.Peer, args []string) {
		q := query.FindStringSubmatch(args[1])
		i := slices.Index(args, "PARAMS")
		if q == nil || i < 0 || args[i+2] != "v" || !slices.Contains(args, "NOCONTENT") || !slices.Contains(args, "SORTBY") {
			p.WriteError("Syntax error")
			return
		}
		limit, err := strconv.Atoi(q[2])
		if err != nil {
			p.WriteError("Syntax error")
			return
		}
		found := read(args[0]).nearest(unpack(args[i+3]), strings.Split(q[1], "|"), limit)
		p.WriteLen(1 + len(found))
		p.WriteInt(len(found))
		for _, cid := range found {
			p.WriteBulk(args[0] + ":" + cid)
		}
	})
	register("FT.INFO", func(p *server.Peer, args []string) {
		p.WriteLen(4)
		p.WriteBulk("index_name")
		p.WriteBulk(args[0])
		p.WriteBulk("num_docs")
		p.WriteBulk(fmt.Sprint(len(read(args[0]).ids)))
	})
	k := kind{open: openRedis, url: "redis://" + m.Addr(), key: "k", scale: 0.03}
	testIndex(t, k)
	testFaults(t, k, "redis")
}

func unpack(s string) (out []float32) {
	for b := []byte(s); len(b) >= 4; b = b[4:] {
		out = append(out, math.Float32frombits(binary.LittleEndian.Uint32(b)))
	}
	return out
}

// testAnswers gives an index of an HTTP interface answers that its documentation does not know.
func testAnswers(t *testing.T, k kind) {
	for name, h := range map[string]http.HandlerFunc{
		"no":        func(w http.ResponseWriter, _ *http.Request) { w.WriteHeader(http.StatusForbidden) },
		"broken":    func(w http.ResponseWriter, _ *http.Request) { w.Write([]byte(`{"result":`)) },
		"other":     func(w http.ResponseWriter, _ *http.Request) { w.Write([]byte(`"hello"`)) },
		"elsewhere": func(w http.ResponseWriter, r *http.Request) { http.Redirect(w, r, k.url, http.StatusFound) },
		"flood": func(w http.ResponseWriter, _ *http.Request) {
			w.Write([]byte(`"`))
			for range 100 {
				if _, err := w.Write(make([]byte, 1<<20)); err != nil {
					return
				}
			}
		},
		"gone": func(w http.ResponseWriter, _ *http.Request) { panic(http.ErrAbortHandler) },
	} {
		t.Run(name, func(t *testing.T) {
			s := httptest.NewServer(h)
			defer s.Close()
			x, err := k.open(t.Context(), vectors.Place{URL: s.URL, Key: "hushhush", Collection: "writ", Dimensions: 2})
			if err == nil {
				_, err = x.Nearest(t.Context(), []float32{1, 0}, []string{"r"}, 1)
				x.Close()
			}
			if err == nil || strings.Contains(err.Error(), "127.0.0.1") || strings.Contains(err.Error(), "hushhush") {
				t.Errorf("the fault is %v", err)
			}
		})
	}
}
