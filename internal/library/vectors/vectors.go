// Package vectors finds the chunks whose vectors are closest to a question's, among those that a reader may read.
//
// An [Index] is one collection of points. [Flat] is one in memory, which looks at every point; the others are databases
// that a team runs already: [OpenPostgres] (pgvector), [OpenQdrant], [OpenWeaviate], [OpenMilvus], [OpenRedis] and
// [OpenPinecone]. One suite of tests holds all of them to the same promises. What a reader may not read is left out
// inside the database's own query, before its limit, so that it takes up no room in what is found.
//
// An index is given vectors, CIDs and rights as hashes: no text, no wallet. It is believed in nothing: who asks looks
// up each CID that comes back and ranks them anew, so an index that lies can leave out, and show nothing to nobody.
package vectors

import (
	"cmp"
	"context"
	"crypto/hmac"
	"crypto/sha256"
	"encoding/hex"
	"errors"
	"fmt"
	"slices"
	"strings"
)

// Bounds of an index.
const (
	MaxDimensions = 8192 // of a vector
	MaxPoints     = 256  // that are put or dropped at once
	MaxNearest    = 256  // that are asked for at once
	MaxRights     = 1024 // of a point; what a chunk has beyond is not noted, so that fewer find it by its meaning
)

// Errors of an index.
var (
	// ErrSilent says that the index could not be asked. Its text names no address and no key.
	ErrSilent = errors.New("the index of vectors did not answer")
	// ErrRefused says that it answered, and with no.
	ErrRefused = errors.New("the index of vectors refused")
)

// A Point is a chunk as an index keeps it.
type Point struct {
	CID    string
	Vector []float32 // of length 1
	Rights []string  // hashes of [Right]: who has one of them may find it
}

// An Index keeps points, at most one of a CID, all of whose vectors have as many dimensions.
//
// What Put and Drop have done, the next Nearest sees, but for an index that says otherwise. All methods may be called
// at once by many goroutines, and return an error that is [ErrSilent] or [ErrRefused], or the context's.
type Index interface {
	// Put adds at most [MaxPoints] points, and replaces those that are there.
	Put(ctx context.Context, points []Point) error
	// Drop removes at most [MaxPoints] points; those that are not there are no error.
	Drop(ctx context.Context, cids []string) error
	// Nearest returns at most limit CIDs of points that have one of the rights, closest to the vector first. It need not
	// find all that a look at every point would. Of no rights nothing is found.
	Nearest(ctx context.Context, vector []float32, rights []string, limit int) ([]string, error)
	// Count says how many points there are.
	Count(ctx context.Context) (int64, error)
	// Close frees what the index holds. The points stay, unless it is one in memory.
	Close() error
}

// Kind returns what opens collections of a kind of index at a place, whose Collection and Dimensions are not used: one
// of pgvector, qdrant, weaviate, milvus, redis and pinecone. It asks nobody.
func Kind(kind string, p Place) (func(ctx context.Context, collection string, dimensions int) (Index, error), error) {
	var schemes []string
	var open func(ctx context.Context, p Place) (Index, error)
	switch kind {
	case "pgvector":
		schemes = []string{"postgres", "postgresql"}
		open = func(ctx context.Context, p Place) (Index, error) { return index(OpenPostgres(ctx, p)) }
	case "qdrant":
		open = func(ctx context.Context, p Place) (Index, error) { return index(OpenQdrant(ctx, p)) }
	case "weaviate":
		open = func(ctx context.Context, p Place) (Index, error) { return index(OpenWeaviate(ctx, p)) }
	case "milvus":
		open = func(ctx context.Context, p Place) (Index, error) { return index(OpenMilvus(ctx, p)) }
	case "redis":
		schemes = []string{"redis", "rediss"}
		open = func(ctx context.Context, p Place) (Index, error) { return index(OpenRedis(ctx, p)) }
	case "pinecone":
		open = func(ctx context.Context, p Place) (Index, error) { return index(OpenPinecone(ctx, p)) }
	default:
		return nil, fmt.Errorf("%q is no kind of index; take pgvector, qdrant, weaviate, milvus, redis or pinecone", kind)
	}
	if schemes == nil {
		schemes = []string{"http", "https"}
	}
	p.Collection, p.Dimensions = "writ", 2
	if err := p.check(schemes...); err != nil {
		return nil, err
	}
	return func(ctx context.Context, collection string, dimensions int) (Index, error) {
		p := p
		p.Collection, p.Dimensions = collection, dimensions
		return open(ctx, p)
	}, nil
}

// index returns an index, or an error and nothing that only looks like one.
func index[T Index](x T, err error) (Index, error) {
	if err != nil {
		return nil, err
	}
	return x, nil
}

// Right names who may read a document, or with all three set who asks. Who has not the secret can neither read from it
// who that is, nor try. An empty one of the three means anybody.
func Right(secret, wallet, session, agent string) string {
	sum := hmac.New(sha256.New, []byte(secret))
	fmt.Fprintf(sum, "writ right\n%s\n%s\n%s", wallet, session, agent)
	return hex.EncodeToString(sum.Sum(nil)[:16])
}

// RightsOf lists the rights that let an asker read: each of the three is his or anybody's.
func RightsOf(secret, wallet, session, agent string) []string {
	var out []string
	for i := range 8 {
		pick := func(bit int, s string) string {
			if i>>bit&1 == 1 {
				return s
			}
			return ""
		}
		out = append(out, Right(secret, pick(0, wallet), pick(1, session), pick(2, agent)))
	}
	slices.Sort(out)
	return slices.Compact(out)
}

// Closeness is the sum of the products of two vectors, which is larger the closer they are; both have one length.
func Closeness(a, b []float32) float32 {
	var s0, s1, s2, s3 float32
	b = b[:len(a)]
	i := 0
	for ; i+4 <= len(a); i += 4 {
		s0 += a[i] * b[i]
		s1 += a[i+1] * b[i+1]
		s2 += a[i+2] * b[i+2]
		s3 += a[i+3] * b[i+3]
	}
	for ; i < len(a); i++ {
		s0 += a[i] * b[i]
	}
	return s0 + s1 + s2 + s3
}

// A Scored is a CID with how close it is.
type Scored struct {
	CID   string
	Score float32
}

// SortScored sorts the closest first, ties by CID.
func SortScored(list []Scored) { slices.SortFunc(list, compareScored) }

func compareScored(a, b Scored) int {
	return cmp.Or(cmp.Compare(b.Score, a.Score), strings.Compare(a.CID, b.CID))
}

// checkPoints says what is wrong with points before an index is asked: they are ours, so it is a fault of the program.
func checkPoints(points []Point, dimensions int) error {
	if len(points) > MaxPoints {
		return fmt.Errorf("vectors: %d points at once are more than %d", len(points), MaxPoints)
	}
	for _, p := range points {
		switch {
		case len(p.Vector) != dimensions:
			return fmt.Errorf("vectors: a vector has %d dimensions, and the index %d", len(p.Vector), dimensions)
		case len(p.Rights) > MaxRights:
			return fmt.Errorf("vectors: a point has %d rights; at most %d are kept", len(p.Rights), MaxRights)
		}
	}
	return nil
}

// checkAsk says what is wrong with a question, and whether there is nothing to ask.
func checkAsk(vector []float32, rights []string, limit, dimensions int) (nothing bool, err error) {
	if len(vector) != dimensions {
		return true, fmt.Errorf("vectors: the question has %d dimensions, and the index %d", len(vector), dimensions)
	}
	return len(rights) == 0 || limit <= 0, nil
}
