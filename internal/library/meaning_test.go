package library_test

import (
	"context"
	"errors"
	"fmt"
	"math/rand/v2"
	"slices"
	"sync"
	"testing"
	"time"

	"github.com/writ-run/writ/internal/library"
	"github.com/writ-run/writ/internal/library/vectors"
	"github.com/writ-run/writ/internal/pgvector"
)

// elsewhere is an index that answers as a test says.
type elsewhere struct {
	*vectors.Flat
	mu     sync.Mutex // guards opened
	opened []string   // collections
	fault  error
	lie    []string // what it answers, rather than what it has
}

func (x *elsewhere) open(_ context.Context, collection string, dimensions int) (vectors.Index, error) {
	if x.Flat == nil {
		x.Flat = vectors.NewFlat(dimensions)
	}
	x.mu.Lock()
	defer x.mu.Unlock()
	x.opened = append(x.opened, collection)
	return x, x.fault
}

func (x *elsewhere) Put(ctx context.Context, points []vectors.Point) error {
	if x.fault != nil {
		return x.fault
	}
	return x.Flat.Put(ctx, points)
}

func (x *elsewhere) Nearest(ctx context.Context, v []float32, rights []string, limit int) ([]string, error) {
	if x.fault != nil || x.lie != nil {
		return x.lie, x.fault
	}
	return x.Flat.Nearest(ctx, v, rights, limit)
}

// use opens a library whose vectors are ranked by an index elsewhere.
func use(t *testing.T, dir, place string, o library.Opener) *library.Library {
	t.Helper()
	l := open(t, dir, hashed{})
	if err := l.UseIndex(t.Context(), place, o); err != nil {
		t.Fatal(err)
	}
	return l
}

func find(t *testing.T, l *library.Library, wallet, query string) library.Found {
	t.Helper()
	f, err := l.Search(t.Context(), library.Reader{Wallet: wallet, Session: "s", Agent: "a"}, query, library.MaxHits)
	if err != nil {
		t.Fatal(err)
	}
	return f
}

// Whatever changes, two libraries find the same: one that ranks by itself, and one by an index elsewhere.
func TestAnIndexElsewhereFindsTheSame(t *testing.T) {
	for name, o := range map[string]library.Opener{
		"in memory": new(elsewhere).open,
		"pgvector":  nil,
	} {
		t.Run(name, func(t *testing.T) {
			if o == nil {
				url := pgvector.Start(t)
				o = func(ctx context.Context, collection string, dimensions int) (vectors.Index, error) {
					return vectors.OpenPostgres(ctx, vectors.Place{URL: url, Collection: collection, Dimensions: dimensions})
				}
			}
			r := rand.New(rand.NewPCG(7, 8))
			here, there := open(t, t.TempDir(), hashed{}), use(t, t.TempDir(), "p", o)
			words := []string{"payroll", "vault", "delegate", "budget", "treasury", "quorum", "audit", "grant", "vesting", "salary"}
			for step := range 60 {
				name := fmt.Sprintf("d%d", r.IntN(12))
				body := ""
				for range 6 {
					body += words[r.IntN(len(words))] + " "
				}
				reader := library.Reader{Wallet: fmt.Sprintf("0xw%d", r.IntN(3))}
				what := r.IntN(5)
				for _, l := range []*library.Library{here, there} {
					var err error
					switch what {
					case 0:
						_, err = l.Remove(t.Context(), "handbook", name)
					case 1:
						_, err = l.SetReaders(t.Context(), "handbook", name, []library.Reader{reader})
					default:
						_, err = l.Put(t.Context(), text(name, body, reader))
					}
					if err != nil && !errors.Is(err, library.ErrNotFound) {
						t.Fatal(err)
					}
				}
				if step%3 > 0 {
					continue
				}
				wallet, query := fmt.Sprintf("0xw%d", r.IntN(3)), words[r.IntN(len(words))]
				a, b := find(t, here, wallet, query), find(t, there, wallet, query)
				if a.How != "keywords and vectors" || b.How != a.How {
					t.Fatalf("searched by %q and by %q", a.How, b.How)
				}
				if !slices.Equal(a.Hits, b.Hits) {
					t.Fatalf("step %d: %s finds of %s\n%+v\nand elsewhere\n%+v", step, wallet, query, a.Hits, b.Hits)
				}
			}
			if _, untold, err := there.Lag(t.Context()); err != nil || untold > 10 {
				t.Errorf("%d changes are untold, %v", untold, err)
			}
		})
	}
}

// What an index elsewhere says of others' chunks, or of none that is, is not shown; what it leaves out is found by words.
func TestAnIndexElsewhereIsNotBelieved(t *testing.T) {
	x := &elsewhere{}
	l := use(t, t.TempDir(), "p", x.open)
	if _, err := l.Put(t.Context(), text("mine", "The salary of Alice.", library.Reader{Wallet: "0xa"}),
		text("his", "The salary of Bob.", library.Reader{Wallet: "0xb"})); err != nil {
		t.Fatal(err)
	}
	honest := find(t, l, "0xa", "salary")
	his := find(t, l, "0xb", "salary").Hits[0].CID
	x.lie = []string{his, "", "bafyno", his, honest.Hits[0].CID, honest.Hits[0].CID}
	if got := find(t, l, "0xa", "salary"); !slices.Equal(got.Hits, honest.Hits) {
		t.Errorf("by a lie %+v is found, want %+v", got.Hits, honest.Hits)
	}
	x.lie = []string{}
	for range 1000 {
		x.lie = append(x.lie, his)
	}
	x.lie = append(x.lie, honest.Hits[0].CID)
	if got := find(t, l, "0xa", "salary"); len(got.Hits) != 1 || got.Hits[0].Meaning != 0 {
		t.Errorf("of more than was asked for %+v is found", got.Hits)
	}
	x.lie = []string{}
	if got := find(t, l, "0xa", "salary"); len(got.Hits) != 1 || got.Hits[0].Meaning != 0 || got.Hits[0].Words != 1 {
		t.Errorf("of an index that finds nothing %+v is found", got.Hits)
	}
}

// An index that is gone is said, what changed meanwhile holds at once, and it is told once it is back.
func TestAnIndexElsewhereThatIsGone(t *testing.T) {
	dir := t.TempDir()
	x := &elsewhere{fault: vectors.ErrSilent}
	l := use(t, dir, "p", x.open)
	a := library.Reader{Wallet: "0xa"}
	if _, err := l.Put(t.Context(), text("one", "The salary of Alice.", a), text("two", "The salary of Bob.", a)); err != nil {
		t.Fatal(err)
	}
	const gone = "keywords: the index of vectors did not answer"
	if f := find(t, l, "0xa", "salary"); f.How != gone || len(f.Hits) != 2 || f.Hits[0].Meaning != 0 {
		t.Errorf("found %+v", f)
	}
	x.fault = nil
	if f := find(t, l, "0xa", "salary"); f.How != gone {
		t.Errorf("a database that was silent is asked again at once: %+v", f)
	}
	l.ForgetSilence()
	if f := find(t, l, "0xa", "salary"); f.How != "keywords and vectors" || len(f.Hits) != 2 || f.Hits[0].Meaning == 0 {
		t.Errorf("once it is back, found %+v", f)
	}
	x.fault = vectors.ErrRefused
	// Another process, such as a command, that knows nothing of the index.
	other := open(t, dir, nil)
	if _, err := other.Remove(t.Context(), "handbook", "one"); err != nil {
		t.Fatal(err)
	}
	if _, err := other.SetReaders(t.Context(), "handbook", "two", []library.Reader{{Wallet: "0xb"}}); err != nil {
		t.Fatal(err)
	}
	if f := find(t, l, "0xa", "salary"); f.How != gone || len(f.Hits) != 0 {
		t.Errorf("after it was taken away, found %+v", f)
	}
	if _, untold, err := l.Lag(t.Context()); err != nil || untold != 2 {
		t.Errorf("%d changes are untold, %v; want 2", untold, err)
	}
	x.fault = nil
	find(t, l, "0xa", "salary")
	if n, err := x.Count(t.Context()); err != nil || n != 1 {
		t.Errorf("the index has %d points, %v; want that of the one that is left", n, err)
	}
	// Another place has nothing yet, and is told all; a place that is taken out of the settings is told no more.
	y := &elsewhere{}
	l2 := use(t, dir, "another", y.open)
	if f := find(t, l2, "0xb", "salary"); len(f.Hits) != 1 || f.Hits[0].Meaning != 1 {
		t.Errorf("found %+v in another index", f)
	}
	l3 := use(t, dir, "", nil)
	if _, err := l3.Remove(t.Context(), "handbook", "two"); err != nil {
		t.Fatal(err)
	}
	if _, untold, err := l3.Lag(t.Context()); err != nil || untold != 0 {
		t.Errorf("%d changes are kept for nobody, %v", untold, err)
	}
}

// Vectors are made, and the index told, without a search.
func TestALibraryKeepsUp(t *testing.T) {
	x := &elsewhere{}
	l := use(t, t.TempDir(), "p", x.open)
	ctx, cancel := context.WithCancel(t.Context())
	done := make(chan struct{})
	go func() {
		defer close(done)
		l.KeepUp(ctx, func(fault error) { t.Errorf("told of %v", fault) })
	}()
	if _, err := l.Put(t.Context(), text("one", "The salary of Alice.", anybody)); err != nil {
		t.Fatal(err)
	}
	for end := time.Now().Add(20 * time.Second); ; time.Sleep(50 * time.Millisecond) {
		unmade, untold, err := l.Lag(t.Context())
		if err != nil {
			t.Fatal(err)
		}
		// Until the index was first told there is nothing untold.
		x.mu.Lock()
		opened := len(x.opened)
		x.mu.Unlock()
		if unmade == 0 && untold == 0 && opened > 0 {
			break
		}
		if time.Now().After(end) {
			t.Fatalf("%d chunks have no vector, and %d changes are untold", unmade, untold)
		}
	}
	cancel()
	<-done
	for _, name := range x.opened {
		if _, err := vectors.OpenPinecone(t.Context(), vectors.Place{URL: "https://x", Collection: name, Dimensions: 8}); err != nil {
			t.Errorf("the collection %q: %v", name, err)
		}
	}
}
