package vectors_test

import (
	"context"
	"errors"
	"fmt"
	"math"
	"math/rand/v2"
	"net"
	"slices"
	"strings"
	"testing"
	"time"

	"github.com/writ-run/writ/internal/library/vectors"
)

// draw makes a vector of length 1 near one of some centres: loosely, as texts of some subjects are.
func draw(r *rand.Rand, dimensions int, centres [][]float32) []float32 {
	v := make([]float32, dimensions)
	var c []float32
	if len(centres) > 0 {
		c = centres[r.IntN(len(centres))]
	}
	sum := 0.0
	for i := range v {
		v[i] = float32(r.NormFloat64())
		if c != nil {
			v[i] = c[i] + 0.7*v[i]/float32(math.Sqrt(float64(dimensions)))
		}
		sum += float64(v[i]) * float64(v[i])
	}
	for i := range v {
		v[i] = float32(float64(v[i]) / math.Sqrt(sum))
	}
	return v
}

func centresOf(r *rand.Rand, n, dimensions int) (out [][]float32) {
	for range n {
		out = append(out, draw(r, dimensions, nil))
	}
	return out
}

func put(t testing.TB, x vectors.Index, points []vectors.Point) {
	t.Helper()
	for part := range slices.Chunk(points, vectors.MaxPoints) {
		if err := x.Put(t.Context(), part); err != nil {
			t.Fatal(err)
		}
	}
}

// recall says which share of what there is to find was found.
func recall(got, want []string) float64 {
	n := 0
	for _, id := range want {
		if slices.Contains(got, id) {
			n++
		}
	}
	return float64(n) / float64(max(1, len(want)))
}

// A kind is an index under test. Its place is that of a new collection each time; of one of few dimensions if small.
type kind struct {
	open  func(ctx context.Context, p vectors.Place) (vectors.Index, error)
	url   string
	key   string
	scale float64 // of how many points and questions there are
}

func (k kind) make(t testing.TB, dimensions int) vectors.Index {
	t.Helper()
	x, err := k.open(t.Context(), vectors.Place{
		URL: k.url, Key: k.key, Collection: fmt.Sprintf("writ_%x", rand.Uint32()), Dimensions: dimensions,
	})
	if err != nil {
		t.Fatal(err)
	}
	t.Cleanup(func() {
		if err := x.Close(); err != nil {
			t.Error(err)
		}
	})
	return x
}

// testIndex holds an index to what [vectors.Index] promises.
func testIndex(t *testing.T, k kind) {
	t.Run("keeps", func(t *testing.T) { testKeeps(t, k) })
	t.Run("rights", func(t *testing.T) { testRights(t, k) })
	t.Run("finds", func(t *testing.T) { testFinds(t, k) })
	t.Run("again", func(t *testing.T) { testAgain(t, k) })
	t.Run("bounds", func(t *testing.T) { testBounds(t, k) })
}

func nearest(t testing.TB, x vectors.Index, v []float32, limit int, rights ...string) []string {
	t.Helper()
	got, err := x.Nearest(t.Context(), v, rights, limit)
	if err != nil {
		t.Fatal(err)
	}
	return got
}

func testKeeps(t *testing.T, k kind) {
	x := k.make(t, 3)
	mine, yours := vectors.Right("k", "0xa", "", ""), vectors.Right("k", "0xb", "", "")
	a, b, c := []float32{1, 0, 0}, []float32{0, 1, 0}, []float32{0, 0, 1}
	count := func(want int64) {
		t.Helper()
		if n, err := x.Count(t.Context()); err != nil || n != want {
			t.Errorf("counts %d points (%v), want %d", n, err, want)
		}
	}
	if got := nearest(t, x, a, 10, mine); len(got) != 0 {
		t.Errorf("an empty index finds %v", got)
	}
	count(0)
	put(t, x, []vectors.Point{{"one", a, []string{mine}}, {"two", b, []string{mine, yours}}, {"nobody's", a, nil}})
	count(3)
	if got := nearest(t, x, a, 10, mine); !slices.Equal(got, []string{"one", "two"}) {
		t.Errorf("found %v", got)
	}
	if got := nearest(t, x, a, 1, mine); !slices.Equal(got, []string{"one"}) {
		t.Errorf("found %v of at most one", got)
	}
	if got := nearest(t, x, a, 10, yours); !slices.Equal(got, []string{"two"}) {
		t.Errorf("another found %v", got)
	}
	if got := nearest(t, x, a, 10); len(got) != 0 {
		t.Errorf("of no rights %v is found", got)
	}
	// What is put again has a new vector and new rights, and no old ones.
	put(t, x, []vectors.Point{{"one", c, []string{yours}}})
	count(3)
	if got := nearest(t, x, c, 10, mine); !slices.Equal(got, []string{"two"}) {
		t.Errorf("found %v after its rights went", got)
	}
	if got := nearest(t, x, c, 10, yours); !slices.Equal(got, []string{"one", "two"}) {
		t.Errorf("found %v by its new vector", got)
	}
	if err := x.Drop(t.Context(), []string{"two", "never was"}); err != nil {
		t.Fatal(err)
	}
	count(2)
	if got := nearest(t, x, b, 10, mine, yours); !slices.Equal(got, []string{"one"}) {
		t.Errorf("found %v after it was dropped", got)
	}
	if err := x.Drop(t.Context(), nil); err != nil {
		t.Fatal(err)
	}
	if err := x.Put(t.Context(), nil); err != nil {
		t.Fatal(err)
	}
}

// A reader finds his own alone, whoever's are nearer, and as many as he asks for.
func testRights(t *testing.T, k kind) {
	const dimensions, wallets = 8, 40
	r := rand.New(rand.NewPCG(1, 2))
	x := k.make(t, dimensions)
	owner := map[string]string{}
	var points []vectors.Point
	for i := range int(max(600, 2000*k.scale)) {
		p := vectors.Point{CID: fmt.Sprintf("chunk%d", i), Vector: draw(r, dimensions, nil)}
		who := fmt.Sprintf("0x%d", i%wallets)
		owner[p.CID] = who
		p.Rights = []string{vectors.Right("k", who, "", "")}
		if i%wallets == 7 {
			p.Rights = []string{vectors.Right("k", who, "s7", "a7")}
		}
		points = append(points, p)
	}
	put(t, x, points)
	for range int(10_000 * k.scale) {
		n := r.IntN(wallets)
		who, session := fmt.Sprintf("0x%d", n), "other"
		if n == 7 && r.IntN(2) == 0 {
			session = "s7"
		}
		got := nearest(t, x, draw(r, dimensions, nil), 10, vectors.RightsOf("k", who, session, "a7")...)
		want := 10
		if n == 7 && session != "s7" {
			want = 0
		}
		if len(got) != want {
			t.Fatalf("%s found %d chunks, want %d", who, len(got), want)
		}
		for _, id := range got {
			if owner[id] != who {
				t.Fatalf("%s found %s of %s", who, id, owner[id])
			}
		}
	}
}

// What is found is what a look at every point finds, or nearly.
func testFinds(t *testing.T, k kind) {
	const dimensions = 64
	r := rand.New(rand.NewPCG(3, 4))
	x, flat := k.make(t, dimensions), vectors.NewFlat(dimensions)
	centres := centresOf(r, 30, dimensions)
	all, few := vectors.Right("k", "", "", ""), vectors.Right("k", "0xfew", "", "")
	for i := range int(max(3, 8*k.scale)) {
		var points []vectors.Point
		for j := range 250 {
			p := vectors.Point{CID: fmt.Sprintf("chunk%d", i*250+j), Vector: draw(r, dimensions, centres), Rights: []string{all}}
			if j%100 == 0 {
				p.Rights = append(p.Rights, few)
			}
			points = append(points, p)
		}
		put(t, x, points)
		put(t, flat, points)
		gone := []string{fmt.Sprintf("chunk%d", i*250+17), fmt.Sprintf("chunk%d", i*100+3)}
		if err := errors.Join(x.Drop(t.Context(), gone), flat.Drop(t.Context(), gone)); err != nil {
			t.Fatal(err)
		}
	}
	for _, rights := range [][]string{{all}, {few}} {
		sum, n := 0.0, max(5, int(100*k.scale))
		for range n {
			v := draw(r, dimensions, centres)
			sum += recall(nearest(t, x, v, 10, rights...), nearest(t, flat, v, 10, rights...))
		}
		if got := sum / float64(n); got < 0.95 {
			t.Errorf("recall is %.3f, want at least 0.95", got)
		}
	}
}

// Who opens a collection again finds what was put, and two may make it at once.
func testAgain(t *testing.T, k kind) {
	if k.url == "" {
		t.Skip("it is in memory")
	}
	p := vectors.Place{URL: k.url, Key: k.key, Collection: fmt.Sprintf("writ_%x", rand.Uint32()), Dimensions: 2}
	for i := range 2 {
		x, err := k.open(t.Context(), p)
		if err != nil {
			t.Fatal(err)
		}
		if got := nearest(t, x, []float32{1, 0}, 5, "r"); len(got) != i {
			t.Errorf("opened %d times, it finds %v", i+1, got)
		}
		put(t, x, []vectors.Point{{"kept", []float32{1, 0}, []string{"r"}}})
		if err := x.Close(); err != nil {
			t.Error(err)
		}
	}
}

func testBounds(t *testing.T, k kind) {
	x := k.make(t, 2)
	v := []float32{1, 0}
	if err := x.Put(t.Context(), make([]vectors.Point, vectors.MaxPoints+1)); err == nil {
		t.Error("too many points at once are taken")
	}
	if err := x.Put(t.Context(), []vectors.Point{{"a", []float32{1}, nil}}); err == nil {
		t.Error("a vector of other dimensions is taken")
	}
	if err := x.Put(t.Context(), []vectors.Point{{"a", v, make([]string, vectors.MaxRights+1)}}); err == nil {
		t.Error("too many rights are taken")
	}
	if _, err := x.Nearest(t.Context(), []float32{1}, []string{"r"}, 1); err == nil {
		t.Error("a question of other dimensions is asked")
	}
	many := vectors.Point{CID: "many", Vector: v}
	for i := range vectors.MaxRights {
		many.Rights = append(many.Rights, vectors.Right("k", fmt.Sprint(i), "", ""))
	}
	put(t, x, []vectors.Point{many})
	if got := nearest(t, x, v, 1000, many.Rights[vectors.MaxRights-1]); !slices.Equal(got, []string{"many"}) {
		t.Errorf("by the last of many rights %v is found", got)
	}
	if k.url == "" {
		return
	}
	gone, cancel := context.WithCancel(t.Context())
	cancel()
	if _, err := x.Nearest(gone, v, []string{"r"}, 1); !errors.Is(err, context.Canceled) {
		t.Errorf("a question given up ends with %v", err)
	}
	for _, url := range []string{"", "127.0.0.1", "ftp://127.0.0.1", "http://", "%"} {
		if _, err := k.open(t.Context(), vectors.Place{URL: url, Collection: "writ", Dimensions: 2}); err == nil {
			t.Errorf("%q is taken for its URL", url)
		}
	}
	for _, name := range []string{"", "1a", "a-b", `a"b`, "a;b", "ä", strings.Repeat("a", 100)} {
		if _, err := k.open(t.Context(), vectors.Place{URL: k.url, Key: k.key, Collection: name, Dimensions: 2}); err == nil {
			t.Errorf("%q is taken for a collection's name", name)
		}
	}
}

// Nobody listens, or who does says nothing, too much or something else: that is said without an address or a key.
func testFaults(t *testing.T, k kind, scheme string) {
	l, err := net.Listen("tcp", "127.0.0.1:0")
	if err != nil {
		t.Fatal(err)
	}
	nobody := scheme + "://" + l.Addr().String()
	l.Close()
	ctx, cancel := context.WithTimeout(t.Context(), 10*time.Second)
	defer cancel()
	x, err := k.open(ctx, vectors.Place{URL: nobody, Key: "hushhush", Collection: "writ", Dimensions: 2})
	if err == nil {
		_, err = x.Nearest(ctx, []float32{1, 0}, []string{"r"}, 1)
		x.Close()
	}
	if !errors.Is(err, vectors.ErrSilent) {
		t.Errorf("where nobody listens the fault is %v", err)
	}
	if s := fmt.Sprint(err); strings.Contains(s, "127.0.0.1") || strings.Contains(s, "hushhush") {
		t.Errorf("the fault says %q", s)
	}
}

func TestFlat(t *testing.T) {
	testIndex(t, kind{scale: 1, open: func(_ context.Context, p vectors.Place) (vectors.Index, error) {
		return vectors.NewFlat(p.Dimensions), nil
	}})
}

// A right is the same for who names it and who asks, and says nothing of who that is.
func TestRights(t *testing.T) {
	asks := vectors.RightsOf("k", "0xa", "s", "g")
	if len(asks) != 8 {
		t.Fatalf("%d rights, want 8", len(asks))
	}
	for _, tt := range []struct {
		wallet, session, agent string
		may                    bool
	}{
		{"", "", "", true}, {"0xa", "", "", true}, {"0xa", "s", "g", true}, {"", "s", "", true}, {"", "", "g", true},
		{"0xb", "", "", false}, {"0xa", "t", "", false}, {"0xa", "s", "h", false}, {"s", "", "", false},
	} {
		right := vectors.Right("k", tt.wallet, tt.session, tt.agent)
		if slices.Contains(asks, right) != tt.may {
			t.Errorf("%+v: may is not %v", tt, tt.may)
		}
		if len(right) != 32 || strings.Trim(right, "0123456789abcdef") != "" {
			t.Errorf("a right is %q", right)
		}
	}
	if vectors.Right("k", "0xa", "", "") == vectors.Right("another", "0xa", "", "") {
		t.Error("a right is the same for another secret")
	}
	if n := len(vectors.RightsOf("k", "", "", "")); n != 1 {
		t.Errorf("who is nobody has %d rights, want that of anybody", n)
	}
}
