package library

import (
	"context"
	"encoding/binary"
	"errors"
	"fmt"
	"math"
	"slices"
	"strings"
	"sync"
	"time"

	"zombiezen.com/go/sqlite"

	"github.com/writ-run/writ/agent/search"
	"github.com/writ-run/writ/internal/library/vectors"
	"github.com/writ-run/writ/internal/sqlfile"
)

// Bounds of ranking by meaning.
const (
	maxFlat      = 256 << 20 // bytes of vectors that are kept in memory; of more, each is read for each search
	maxTell      = 1024      // chunks that one search has an index elsewhere told of, before it is asked
	askFar       = 64        // chunks that it is asked for: some may be gone since
	maxCID       = 128       // bytes of what it calls a chunk
	maxLengths   = 8         // that vectors of one model were found to have since the start
	keepUpEach   = time.Second
	keepUpAfresh = 30 * time.Second // after a fault
)

// rankByMeaning ranks what the reader may read by its vectors' closeness: all of it or, if there is an index elsewhere,
// the candidates that it holds for the closest.
func (l *Library) rankByMeaning(
	c *sqlite.Conn, who Reader, query []float32, candidates []string,
) (ids []string, err error) {
	if l.far != nil {
		return l.rankCandidates(c, who, query, candidates)
	}
	flat, err := l.flat.load(c, l.embed.Model(), len(query))
	if err != nil {
		return nil, err
	}
	if flat == nil {
		return l.rankEach(c, who, query)
	}
	rights := vectors.RightsOf("", who.Wallet, who.Session, who.Agent)
	found, err := flat.Nearest(context.Background(), query, rights, search.PerBranch)
	if err != nil {
		return nil, err
	}
	// Another search may have loaded a later state than this one reads.
	for _, id := range found {
		may, err := isReadable(c, who, id)
		if err != nil {
			return nil, err
		}
		if may {
			ids = append(ids, id)
		}
	}
	return ids, nil
}

func isReadable(c *sqlite.Conn, who Reader, id string) (bool, error) {
	n, err := sqlfile.Number(c, "SELECT count(*) FROM chunks WHERE cid = ?4 AND"+mayReadIt,
		who.Wallet, who.Session, who.Agent, id)
	return n > 0, err
}

// rankEach reads each vector that the reader may read.
func (l *Library) rankEach(c *sqlite.Conn, who Reader, query []float32) ([]string, error) {
	var all []vectors.Scored
	v := make([]float32, len(query))
	err := sqlfile.Each(c, `SELECT chunks.cid, vectors.vector FROM chunks JOIN vectors ON vectors.cid = chunks.cid AND
		vectors.model = ?4 WHERE`+mayRead, func(s *sqlite.Stmt) error {
		if readVector(s, 1, v) {
			all = append(all, vectors.Scored{CID: s.ColumnText(0), Score: vectors.Closeness(query, v)})
		}
		return nil
	}, who.Wallet, who.Session, who.Agent, l.embed.Model())
	return firstOf(all), err
}

// rankCandidates ranks those that the reader may read; what an index says of their order does not count.
func (l *Library) rankCandidates(c *sqlite.Conn, who Reader, query []float32, candidates []string) ([]string, error) {
	var all []vectors.Scored
	v := make([]float32, len(query))
	for _, id := range candidates {
		err := sqlfile.Each(c, `SELECT chunks.cid, vectors.vector FROM chunks JOIN vectors ON vectors.cid = chunks.cid AND
			vectors.model = ?4 WHERE chunks.cid = ?5 AND`+mayReadIt+`LIMIT 1`, func(s *sqlite.Stmt) error {
			if readVector(s, 1, v) {
				all = append(all, vectors.Scored{CID: s.ColumnText(0), Score: vectors.Closeness(query, v)})
			}
			return nil
		}, who.Wallet, who.Session, who.Agent, l.embed.Model(), id)
		if err != nil {
			return nil, err
		}
	}
	return firstOf(all), nil
}

func firstOf(all []vectors.Scored) (ids []string) {
	vectors.SortScored(all)
	for _, x := range all {
		ids = append(ids, x.CID)
	}
	ids = unique(ids)
	return ids[:min(len(ids), search.PerBranch)]
}

// readVector reads a column, unless it has another length: then the endpoint's model has changed under its name.
func readVector(s *sqlite.Stmt, column int, v []float32) bool {
	b := make([]byte, 4*len(v))
	if s.ColumnLen(column) != len(b) {
		return false
	}
	s.ColumnBytes(column, b)
	for i := range v {
		v[i] = math.Float32frombits(binary.LittleEndian.Uint32(b[4*i:]))
	}
	return true
}

// flatIndex keeps the vectors of one model in memory, as they were at some change.
type flatIndex struct {
	mu     sync.Mutex // guards what follows, and is held while they are brought up to date
	flat   *vectors.Flat
	model  string
	change [2]int64
	groups map[string]string // of each chunk in flat, its documents
}

// load brings them up to what c reads, and returns them; nil if there are too many.
func (x *flatIndex) load(c *sqlite.Conn, model string, dimensions int) (*vectors.Flat, error) {
	x.mu.Lock()
	defer x.mu.Unlock()
	var now [2]int64
	var err error
	for i, table := range []string{"changes", "vectored"} {
		if now[i], err = sqlfile.Number(c, "SELECT n FROM "+table); err != nil {
			return nil, err
		}
	}
	if x.flat == nil || x.model != model || x.flat.Dimensions() != dimensions {
		n, err := sqlfile.Number(c, "SELECT count(*) FROM vectors WHERE model = ?", model)
		if err != nil {
			return nil, err
		}
		if n*int64(dimensions)*4 > maxFlat {
			return nil, nil
		}
		x.flat, x.model, x.change, x.groups = vectors.NewFlat(dimensions), model, [2]int64{-1, -1}, map[string]string{}
	}
	if x.change == now {
		return x.flat, nil
	}
	if err := x.update(c); err != nil {
		x.flat = nil // half of it may be done
		return nil, err
	}
	x.change = now
	if int64(len(x.groups))*int64(dimensions)*4 > maxFlat {
		x.flat = nil
		return nil, nil
	}
	return x.flat, nil
}

// update makes the index what c reads.
func (x *flatIndex) update(c *sqlite.Conn) error {
	ctx := context.Background()
	rights, err := rightsOfDocuments(c)
	if err != nil {
		return err
	}
	groups, docs := map[string]string{}, map[string][]int64{}
	err = sqlfile.Each(c, `SELECT chunks.cid, chunks.doc FROM chunks JOIN vectors ON vectors.cid = chunks.cid AND
		vectors.model = ?1 WHERE length(vectors.vector) = ?2 ORDER BY chunks.doc`, func(s *sqlite.Stmt) error {
		id, doc := s.ColumnText(0), s.ColumnInt64(1)
		docs[id] = append(docs[id], doc)
		groups[id] += strings.Join(rights[doc], " ") + " "
		return nil
	}, x.model, 4*x.flat.Dimensions())
	if err != nil {
		return err
	}
	v := make([]float32, x.flat.Dimensions())
	for id, group := range groups {
		if old, there := x.groups[id]; there && old == group {
			continue
		}
		err := sqlfile.Each(c, "SELECT vector FROM vectors WHERE cid = ? AND model = ?", func(s *sqlite.Stmt) error {
			if !readVector(s, 0, v) {
				return nil
			}
			return x.flat.Put(ctx, []vectors.Point{{CID: id, Vector: v, Rights: joinRights(rights, docs[id])}})
		}, id, x.model)
		if err != nil {
			return err
		}
	}
	for id := range x.groups {
		if _, there := groups[id]; !there {
			if err := x.flat.Drop(ctx, []string{id}); err != nil {
				return err
			}
		}
	}
	x.groups = groups
	return nil
}

// rightsOfDocuments returns the rights to read each document, as an index is told them.
func rightsOfDocuments(c *sqlite.Conn) (map[int64][]string, error) {
	out := map[int64][]string{}
	return out, sqlfile.Each(c, "SELECT doc, wallet, session, agent FROM readers", func(s *sqlite.Stmt) error {
		doc := s.ColumnInt64(0)
		out[doc] = append(out[doc], vectors.Right("", s.ColumnText(1), s.ColumnText(2), s.ColumnText(3)))
		return nil
	})
}

// joinRights returns those of any of some documents: a chunk may be in many.
func joinRights(rights map[int64][]string, docs []int64) (out []string) {
	for _, doc := range docs {
		out = append(out, rights[doc]...)
	}
	out = unique(out)
	return out[:min(len(out), vectors.MaxRights)]
}

// An Opener opens a collection of an index elsewhere. Vectors of another model or length have another collection.
type Opener func(ctx context.Context, collection string, dimensions int) (vectors.Index, error)

// farIndex is an index elsewhere.
type farIndex struct {
	name   string        // of the place, to tell it from another; not told to anybody
	secret string        // what rights are hashed with
	open   Opener        //
	turn   chan struct{} // of one place: who is in it opens the index and tells it

	mu          sync.Mutex // guards what follows, and is not held while the index is asked
	index       vectors.Index
	collection  string
	dimensions  int             // of the last question
	old         []vectors.Index // of other lengths: they are closed with the library, since a search may still ask them
	silentUntil time.Time       // a database that did not answer is left alone for a while
}

func newFarIndex(place string, open Opener) *farIndex {
	return &farIndex{name: CIDOf([]byte(place)), open: open, turn: make(chan struct{}, 1)}
}

func (x *farIndex) close() (err error) {
	if x == nil {
		return nil
	}
	for _, index := range append(x.old, x.index) {
		if index != nil {
			err = errors.Join(err, index.Close())
		}
	}
	return err
}

// current returns the index that is open for vectors of so many dimensions; nil for none.
func (x *farIndex) current(dimensions int) vectors.Index {
	x.mu.Lock()
	defer x.mu.Unlock()
	if x.dimensions != dimensions {
		return nil
	}
	return x.index
}

// isSilent says whether the database is left alone: see noteAnswer.
func (x *farIndex) isSilent(now time.Time) bool {
	x.mu.Lock()
	defer x.mu.Unlock()
	return now.Before(x.silentUntil)
}

// noteAnswer notes whether the database has answered.
func (x *farIndex) noteAnswer(now time.Time, err error) {
	x.mu.Lock()
	defer x.mu.Unlock()
	x.silentUntil = time.Time{}
	if errors.Is(err, vectors.ErrSilent) || errors.Is(err, context.DeadlineExceeded) {
		x.silentUntil = now.Add(keepUpAfresh)
	}
}

// UseIndex has vectors ranked by an index elsewhere, whose place has a name, or with no opener no more. It is called
// before anything else is done with the library, by a server and by no command beside it. The index is opened when it
// is first needed.
func (l *Library) UseIndex(ctx context.Context, place string, open Opener) error {
	if open != nil {
		l.far = newFarIndex(place, open)
		return nil
	}
	return l.file.Write(ctx, func(c *sqlite.Conn) error {
		if err := sqlfile.Exec(c, "UPDATE elsewhere SET told = ''"); err != nil {
			return err
		}
		return sqlfile.Exec(c, "DELETE FROM pending")
	})
}

// askFar asks the index elsewhere for the chunks closest to a question, after it was told what has changed, unless that
// is being done already: a search waits for no other.
func (l *Library) askFar(ctx context.Context, who Reader, query []float32) ([]string, error) {
	x := l.far
	if x.isSilent(l.now()) {
		return nil, vectors.ErrSilent
	}
	var err error
	select {
	case x.turn <- struct{}{}:
		err = l.tellFar(ctx, len(query), maxTell)
		<-x.turn
	default:
	}
	var found []string
	index := x.current(len(query))
	if err == nil && index == nil {
		return nil, vectors.ErrSilent // it is being opened
	}
	if err == nil {
		found, err = index.Nearest(ctx, query, vectors.RightsOf(x.secret, who.Wallet, who.Session, who.Agent), askFar)
	}
	x.noteAnswer(l.now(), err)
	found = slices.DeleteFunc(found, func(id string) bool { return len(id) > maxCID })
	return found[:min(len(found), askFar)], err
}

// tellFar tells the index of at most so many chunks that it has not been told of. It is called in the index's turn.
func (l *Library) tellFar(ctx context.Context, dimensions, most int) error {
	if err := l.openFar(ctx, dimensions); err != nil {
		return err
	}
	index := l.far.current(dimensions)
	for most > 0 {
		told, err := l.tellSome(ctx, index, dimensions)
		if err != nil {
			return err
		}
		if most -= told; told < vectors.MaxPoints {
			break
		}
	}
	return nil
}

// openFar opens the collection of the model's vectors. One that was not told so far is told of every chunk. It is
// called in the index's turn.
func (l *Library) openFar(ctx context.Context, dimensions int) error {
	x := l.far
	name, told, secret := "", "", ""
	err := l.file.Read(ctx, func(c *sqlite.Conn) error {
		return sqlfile.Each(c, "SELECT name, told, secret FROM elsewhere", func(s *sqlite.Stmt) error {
			name, told, secret = s.ColumnText(0), s.ColumnText(1), s.ColumnText(2)
			return nil
		})
	})
	if err != nil {
		return err
	}
	model := CIDOf([]byte(l.embed.Model()))
	collection := fmt.Sprintf("writ_%s_%s_%d", name, model[len(model)-8:], dimensions)
	if x.current(dimensions) == nil || x.collection != collection {
		if len(x.old) >= maxLengths {
			return fmt.Errorf("%w: vectors of the model %s have too many lengths", vectors.ErrRefused, l.embed.Model())
		}
		index, err := x.open(ctx, collection, dimensions)
		if err != nil {
			return err
		}
		x.mu.Lock()
		if x.index != nil {
			x.old = append(x.old, x.index)
		}
		x.index, x.collection, x.dimensions, x.secret = index, collection, dimensions, secret
		x.mu.Unlock()
	}
	place := x.name + " " + collection
	if told == place {
		return nil
	}
	return l.file.Write(ctx, func(c *sqlite.Conn) error {
		err := sqlfile.Exec(c, "UPDATE elsewhere SET told = ?", place)
		if err == nil {
			err = sqlfile.Exec(c, "INSERT OR REPLACE INTO pending SELECT DISTINCT cid, random() FROM chunks")
		}
		return err
	})
}

// tellSome tells an index of the first chunks that it has to be told of, and returns how many.
func (l *Library) tellSome(ctx context.Context, index vectors.Index, dimensions int) (int, error) {
	type change struct {
		id string
		n  int64
	}
	var changes []change
	var points []vectors.Point
	var gone []string
	err := l.file.Read(ctx, func(c *sqlite.Conn) (err error) {
		end := deferredRead(c, &err)
		defer end()
		err = sqlfile.Each(c, "SELECT cid, n FROM pending LIMIT ?", func(s *sqlite.Stmt) error {
			changes = append(changes, change{s.ColumnText(0), s.ColumnInt64(1)})
			return nil
		}, vectors.MaxPoints)
		for _, x := range changes {
			if err != nil {
				return err
			}
			p := vectors.Point{CID: x.id, Vector: make([]float32, dimensions)}
			there := false
			err = sqlfile.Each(c, `SELECT vector FROM vectors WHERE cid = ?1 AND model = ?2 AND EXISTS
				(SELECT 1 FROM chunks WHERE cid = ?1)`, func(s *sqlite.Stmt) error {
				there = readVector(s, 0, p.Vector)
				return nil
			}, x.id, l.embed.Model())
			if err != nil {
				return err
			}
			if !there {
				gone = append(gone, x.id)
				continue
			}
			err = sqlfile.Each(c, `SELECT DISTINCT wallet, session, agent FROM readers WHERE doc IN
				(SELECT doc FROM chunks WHERE cid = ?) LIMIT ?`, func(s *sqlite.Stmt) error {
				p.Rights = append(p.Rights, vectors.Right(l.far.secret, s.ColumnText(0), s.ColumnText(1), s.ColumnText(2)))
				return nil
			}, x.id, vectors.MaxRights)
			points = append(points, p)
		}
		return err
	})
	if err == nil {
		err = index.Put(ctx, points)
	}
	if err == nil {
		err = index.Drop(ctx, gone)
	}
	if err != nil || len(changes) == 0 {
		return 0, err
	}
	return len(changes), l.file.Write(ctx, func(c *sqlite.Conn) error {
		for _, x := range changes {
			// Unless it changed again meanwhile.
			if err := sqlfile.Exec(c, "DELETE FROM pending WHERE cid = ? AND n = ?", x.id, x.n); err != nil {
				return err
			}
		}
		return nil
	})
}

// KeepUp has vectors made of chunks that lack one, and an index elsewhere told, until ctx ends, so that a search need
// not. A fault is told once, and again after it was gone.
func (l *Library) KeepUp(ctx context.Context, tell func(fault error)) {
	if l.embed == nil {
		return
	}
	faulty, done := false, [2]int64{-1, -1}
	for wait := keepUpEach; ; {
		select {
		case <-ctx.Done():
			return
		case <-time.After(wait):
		}
		var err error
		done, err = l.keepUpOnce(ctx, done)
		wait = keepUpEach
		if err != nil {
			wait = keepUpAfresh
		}
		if ctx.Err() == nil && (err != nil) != faulty {
			faulty = err != nil
			tell(err)
		}
	}
}

// keepUpOnce does what there is to do, and returns the numbers of changes after which there is nothing.
func (l *Library) keepUpOnce(ctx context.Context, done [2]int64) ([2]int64, error) {
	now, pending, err := l.readNumbers(ctx)
	if err != nil || now == done && pending == 0 {
		return done, err
	}
	if now != done {
		// What has no vector after this is done in the next round.
		if err := l.Fill(ctx, maxFill); err != nil {
			return done, err
		}
	}
	if l.far != nil {
		if err := l.tellBeside(ctx); err != nil {
			return done, err
		}
	}
	return now, nil
}

// readNumbers returns the numbers of changes, and how many of them the index elsewhere has not been told.
func (l *Library) readNumbers(ctx context.Context) (now [2]int64, pending int64, err error) {
	err = l.file.Read(ctx, func(c *sqlite.Conn) (err error) {
		for i, query := range []string{"SELECT n FROM changes", "SELECT n FROM vectored"} {
			if now[i], err = sqlfile.Number(c, query); err != nil {
				return err
			}
		}
		pending, err = sqlfile.Number(c, "SELECT count(*) FROM (SELECT 1 FROM pending LIMIT 1)")
		return err
	})
	return now, pending, err
}

// tellBeside tells the index elsewhere while no search does.
func (l *Library) tellBeside(ctx context.Context) error {
	x := l.far
	x.mu.Lock()
	dimensions := int64(x.dimensions)
	x.mu.Unlock()
	if dimensions == 0 { // nobody has asked yet: as long as the vectors that are there
		err := l.file.Read(ctx, func(c *sqlite.Conn) (err error) {
			dimensions, err = sqlfile.Number(c, `SELECT coalesce(max(length(vector)) / 4, 0) FROM
				(SELECT vector FROM vectors WHERE model = ? LIMIT 1)`, l.embed.Model())
			return err
		})
		if err != nil || dimensions == 0 {
			return err
		}
	}
	select {
	case x.turn <- struct{}{}:
	case <-ctx.Done():
		return context.Cause(ctx)
	}
	defer func() { <-x.turn }()
	err := l.tellFar(ctx, int(dimensions), maxTell)
	x.noteAnswer(l.now(), err)
	return err
}

// Lag says how many chunks have no vector yet, and how many changes an index elsewhere has not been told.
func (l *Library) Lag(ctx context.Context) (unmade, untold int64, err error) {
	if l.embed == nil {
		return 0, 0, nil
	}
	err = l.file.Read(ctx, func(c *sqlite.Conn) error {
		unmade, err = sqlfile.Number(c, `SELECT count(DISTINCT cid) FROM chunks WHERE NOT EXISTS
			(SELECT 1 FROM vectors WHERE vectors.cid = chunks.cid AND model = ?)`, l.embed.Model())
		if err == nil {
			untold, err = sqlfile.Number(c, "SELECT count(*) FROM pending")
		}
		return err
	})
	return unmade, untold, err
}
