package vectors_test

import (
	"context"
	"fmt"
	"math/rand/v2"
	"os"
	"testing"
	"time"

	"github.com/jackc/pgx/v5"

	"github.com/writ-run/writ/internal/library/vectors"
	"github.com/writ-run/writ/internal/pgvector"
)

func openPostgres(ctx context.Context, p vectors.Place) (vectors.Index, error) {
	return vectors.OpenPostgres(ctx, p)
}
func openQdrant(ctx context.Context, p vectors.Place) (vectors.Index, error) {
	return vectors.OpenQdrant(ctx, p)
}
func openWeaviate(ctx context.Context, p vectors.Place) (vectors.Index, error) {
	return vectors.OpenWeaviate(ctx, p)
}
func openMilvus(ctx context.Context, p vectors.Place) (vectors.Index, error) {
	return vectors.OpenMilvus(ctx, p)
}
func openRedis(ctx context.Context, p vectors.Place) (vectors.Index, error) {
	return vectors.OpenRedis(ctx, p)
}
func openPinecone(ctx context.Context, p vectors.Place) (vectors.Index, error) {
	return vectors.OpenPinecone(ctx, p)
}

// A real PostgreSQL with pgvector.
func TestPostgres(t *testing.T) {
	k := kind{open: openPostgres, url: pgvector.Start(t), scale: 0.03}
	testIndex(t, k)
	testFaults(t, k, "postgres")
}

// The other servers are real where `make indexes` started them.
func TestRealServers(t *testing.T) {
	for name, k := range map[string]kind{
		"WEAVIATE": {open: openWeaviate}, "MILVUS": {open: openMilvus}, "QDRANT": {open: openQdrant}, "REDIS": {open: openRedis},
	} {
		t.Run(name, func(t *testing.T) {
			if k.url = os.Getenv("WRIT_" + name); k.url == "" {
				t.Skip("WRIT_" + name + " names no server")
			}
			k.scale = 0.03
			testIndex(t, k)
		})
	}
}

// TestRecall finds for a reader of one in a hundred of 100,000 points what there is to find, and says how long it takes.
// WRIT_RECALL says how many points; without it, it is skipped.
func TestRecall(t *testing.T) {
	total := 0
	if _, err := fmt.Sscan(os.Getenv("WRIT_RECALL"), &total); err != nil {
		t.Skip("make indexes runs it")
	}
	const dimensions, questions = 384, 100
	r := rand.New(rand.NewPCG(5, 6))
	centres := centresOf(r, 500, dimensions)
	reader := func(i int) string { return vectors.Right("k", fmt.Sprintf("0x%d", i%100), "", "") }
	flat := vectors.NewFlat(dimensions)
	var points []vectors.Point
	for i := range total {
		points = append(points, vectors.Point{
			CID: fmt.Sprintf("chunk%d", i), Vector: draw(r, dimensions, centres), Rights: []string{reader(i)},
		})
	}
	put(t, flat, points)
	asked := make([][]float32, questions)
	for i := range asked {
		asked[i] = draw(r, dimensions, centres)
	}
	kinds := map[string]kind{"flat": {open: func(context.Context, vectors.Place) (vectors.Index, error) { return flat, nil }}}
	for name, open := range map[string]func(context.Context, vectors.Place) (vectors.Index, error){
		"WEAVIATE": openWeaviate, "MILVUS": openMilvus, "QDRANT": openQdrant, "REDIS": openRedis,
	} {
		if url := os.Getenv("WRIT_" + name); url != "" {
			kinds[name] = kind{open: open, url: url}
		}
	}
	t.Run("PGVECTOR", func(t *testing.T) {
		kinds["PGVECTOR"] = kind{open: openPostgres, url: pgvector.Start(t)}
		recallOf(t, "PGVECTOR", kinds["PGVECTOR"], flat, points, asked, reader)
	})
	delete(kinds, "PGVECTOR")
	for name, k := range kinds {
		t.Run(name, func(t *testing.T) { recallOf(t, name, k, flat, points, asked, reader) })
	}
}

func recallOf(
	t *testing.T, name string, k kind, flat *vectors.Flat, points []vectors.Point, asked [][]float32, reader func(int) string,
) {
	start := time.Now()
	x := k.make(t, flat.Dimensions())
	if x != vectors.Index(flat) {
		put(t, x, points)
	}
	loaded := time.Since(start)
	sum, worst := 0.0, time.Duration(0)
	var took time.Duration
	for i, v := range asked {
		start := time.Now()
		got := nearest(t, x, v, 10, reader(i))
		d := time.Since(start)
		took, worst = took+d, max(worst, d)
		sum += recall(got, nearest(t, flat, v, 10, reader(i)))
	}
	share := sum / float64(len(asked))
	t.Logf("%s: %d points put in %v; recall@10 of a reader of 1 %%: %.3f; a question takes %v, at worst %v", name, len(points),
		loaded.Round(time.Second), share, (took / time.Duration(len(asked))).Round(10*time.Microsecond), worst.Round(time.Millisecond))
	if share < 0.95 {
		t.Errorf("%s: recall is %.3f, want at least 0.95", name, share)
	}
	if name == "PGVECTOR" {
		t.Logf("pgvector as it comes: recall@10 %.3f", defaultsOf(t, k.url, x.(*vectors.Postgres), flat, asked, reader))
	}
}

// defaultsOf asks the same of the same table as a newcomer would: the graph alone, and pgvector's settings as they come.
func defaultsOf(
	t *testing.T, url string, x *vectors.Postgres, flat *vectors.Flat, asked [][]float32, reader func(int) string,
) float64 {
	c, err := pgx.Connect(t.Context(), url)
	if err != nil {
		t.Fatal(err)
	}
	defer c.Close(t.Context())
	sum := 0.0
	for _, q := range []string{"SET enable_bitmapscan = off", "SET enable_seqscan = off", "SET enable_sort = off"} {
		if _, err := c.Exec(t.Context(), q); err != nil {
			t.Fatal(err)
		}
	}
	for i, v := range asked {
		rows, err := c.Query(t.Context(), fmt.Sprintf(
			"SELECT cid FROM %s WHERE $1 = ANY(rights) ORDER BY vector <#> $2::text::vector LIMIT 10", x.Table()),
			reader(i), vectors.Literal(v))
		if err != nil {
			t.Fatal(err)
		}
		got, err := pgx.CollectRows(rows, pgx.RowTo[string])
		if err != nil {
			t.Fatal(err)
		}
		sum += recall(got, nearest(t, flat, v, 10, reader(i)))
	}
	return sum / float64(len(asked))
}
