package library

import (
	"context"
	"encoding/binary"
	"fmt"
	"math"
	"slices"
	"strings"

	"zombiezen.com/go/sqlite"

	"github.com/writ-run/writ/agent/search"
	"github.com/writ-run/writ/internal/sqlfile"
)

// isReader says, of a row of readers in a query, whether it is a right of who asks, its first three parameters.
const isReader = ` (wallet = '' OR wallet = ?1) AND (session = '' OR session = ?2) AND (agent = '' OR agent = ?3) `

// mayRead says, of a row of chunks, whether who asks may read it. It stands in every branch of a search.
const mayRead = ` chunks.doc IN (SELECT doc FROM readers WHERE` + isReader + `) `

// mayReadIt is the same of one chunk, which is looked up by its CID and not among all that who asks may read.
const mayReadIt = " +chunks.doc IN (SELECT doc FROM readers WHERE" + isReader + ") "

// Bounds of a search.
const (
	batch   = 64  // texts that an endpoint is given at once
	maxFill = 512 // chunks that one search has vectors made of
)

// Search finds at most limit chunks for who asks, best first.
func (l *Library) Search(ctx context.Context, who Reader, query string, limit int) (Found, error) {
	who.Wallet = strings.ToLower(who.Wallet)
	f := Found{How: "keywords"}
	var vector []float32
	if l.embed != nil {
		var err error
		if vector, err = l.embedQuery(ctx, query); err != nil {
			f.How = "keywords: the embeddings endpoint did not answer"
		} else {
			f.How = "keywords and vectors"
		}
	}
	var candidates []string
	if vector != nil && l.far != nil {
		var err error
		if candidates, err = l.askFar(ctx, who, vector); err != nil {
			f.How, vector = "keywords: the index of vectors did not answer", nil
		}
	}
	err := l.file.Read(ctx, func(c *sqlite.Conn) (err error) {
		end := deferredRead(c, &err)
		defer end()
		if f.Snapshot, err = currentSnapshot(c); err != nil {
			return err
		}
		v, err := l.readView(c, who)
		if err != nil {
			return err
		}
		f.View = v.cid
		byWords, covers, err := rankByWords(c, who, v, query)
		if err != nil {
			return err
		}
		var byMeaning []string
		if vector != nil {
			if byMeaning, err = l.rankByMeaning(c, who, vector, candidates); err != nil {
				return err
			}
		}
		list := search.Fuse(byWords, byMeaning)
		f.Hits, err = readHits(c, who, list[:min(max(limit, 0), MaxHits, len(list))])
		for i := range f.Hits {
			f.Hits[i].Covers = covers[f.Hits[i].CID]
		}
		return err
	})
	return f, err
}

func deferredRead(c *sqlite.Conn, err *error) (end func()) {
	if *err = sqlfile.Exec(c, "BEGIN"); *err != nil {
		return func() {}
	}
	return func() {
		if e := sqlfile.Exec(c, "ROLLBACK"); *err == nil {
			*err = e
		}
	}
}

func currentSnapshot(c *sqlite.Conn) (id string, err error) {
	err = sqlfile.Each(c, "SELECT cid FROM snapshots ORDER BY revision DESC LIMIT 1",
		func(s *sqlite.Stmt) error { id = s.ColumnText(0); return nil })
	return id, err
}

// unique keeps the first of each: the same bytes may be there under two names.
func unique(ids []string) []string {
	seen := map[string]bool{}
	return slices.DeleteFunc(ids, func(id string) bool { was := seen[id]; seen[id] = true; return was })
}

func readHits(c *sqlite.Conn, who Reader, list []search.Fused) ([]Hit, error) {
	hits := make([]Hit, 0, len(list))
	for _, x := range list {
		h := Hit{CID: x.CID, Words: x.Words, Meaning: x.Meaning}
		err := sqlfile.Each(c, `SELECT documents.cid, chunks.start, chunks.heading, chunks.text, documents.source, documents.name,
			documents.integrity, documents.secrecy FROM chunks JOIN documents ON documents.id = chunks.doc
			WHERE chunks.cid = ?4 AND`+mayReadIt+`ORDER BY documents.id LIMIT 1`, func(s *sqlite.Stmt) error {
			h.Chunk = Chunk{Document: s.ColumnText(0), From: s.ColumnInt(1), Heading: s.ColumnText(2), Text: s.ColumnText(3)}
			h.Source, h.Name, h.Integrity, h.Secrecy = s.ColumnText(4), s.ColumnText(5), s.ColumnText(6), s.ColumnText(7)
			return nil
		}, who.Wallet, who.Session, who.Agent, x.CID)
		if err != nil {
			return nil, err
		}
		hits = append(hits, h)
	}
	return hits, nil
}

// embedQuery makes the query's vector, after those that chunks still lack.
func (l *Library) embedQuery(ctx context.Context, query string) ([]float32, error) {
	if err := l.Fill(ctx, maxFill); err != nil {
		return nil, err
	}
	out, err := l.embed.Embed(ctx, []string{query})
	if err != nil {
		return nil, err
	}
	if len(out) != 1 || len(out[0]) == 0 {
		return nil, fmt.Errorf("%d vectors came back for one text", len(out))
	}
	return normalize(out[0]), nil
}

// Fill has vectors made of chunks that have none, at most so many.
func (l *Library) Fill(ctx context.Context, most int) error {
	for most > 0 {
		var ids, texts []string
		err := l.file.Read(ctx, func(c *sqlite.Conn) error {
			return sqlfile.Each(c, `SELECT cid, heading, text FROM chunks WHERE NOT EXISTS
				(SELECT 1 FROM vectors WHERE vectors.cid = chunks.cid AND model = ?) GROUP BY cid LIMIT ?`,
				func(s *sqlite.Stmt) error {
					ids, texts = append(ids, s.ColumnText(0)), append(texts, s.ColumnText(1)+"\n"+s.ColumnText(2))
					return nil
				}, l.embed.Model(), min(batch, most))
		})
		if err != nil || len(ids) == 0 {
			return err
		}
		vectors, err := l.embed.Embed(ctx, texts)
		if err != nil {
			return err
		}
		if len(vectors) != len(texts) {
			return fmt.Errorf("%d vectors came back for %d texts", len(vectors), len(texts))
		}
		err = l.file.Write(ctx, func(c *sqlite.Conn) error {
			if err := sqlfile.Exec(c, "UPDATE vectored SET n = n + 1"); err != nil {
				return err
			}
			for i, v := range vectors {
				// Unless its document was deleted meanwhile.
				err := sqlfile.Exec(c, `INSERT OR REPLACE INTO vectors SELECT ?1, ?2, ?3 WHERE EXISTS
					(SELECT 1 FROM chunks WHERE cid = ?1)`, ids[i], l.embed.Model(), encodeVector(normalize(v)))
				if err != nil {
					return err
				}
			}
			return nil
		})
		if err != nil {
			return err
		}
		most -= len(ids)
	}
	return nil
}

func normalize(v []float32) []float32 {
	sum := 0.0
	for _, x := range v {
		sum += float64(x) * float64(x)
	}
	out := make([]float32, len(v))
	if sum > 0 {
		for i, x := range v {
			out[i] = float32(float64(x) / math.Sqrt(sum))
		}
	}
	return out
}

func encodeVector(v []float32) []byte {
	b := make([]byte, 0, 4*len(v))
	for _, x := range v {
		b = binary.LittleEndian.AppendUint32(b, math.Float32bits(x))
	}
	return b
}
