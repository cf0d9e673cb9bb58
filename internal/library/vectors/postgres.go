package vectors

import (
	"context"
	"errors"
	"fmt"
	"strconv"
	"strings"

	"github.com/jackc/pgx/v5"
	"github.com/jackc/pgx/v5/pgconn"
	"github.com/jackc/pgx/v5/pgxpool"
)

// maxGraph is how many dimensions pgvector's graph takes; beyond, every row of a reader is looked at.
const maxGraph = 2000

// Postgres is a table of a PostgreSQL database with the extension pgvector, 0.8 or newer.
//
// Source: github.com/pgvector/pgvector, README, "Filtering" and "Iterative Index Scans". By pgvector's defaults a graph
// is walked to its 40 closest rows and those that a reader may not read are then left out, so that a reader of 1 %
// finds next to nothing. Here the walk goes on until enough are found, and rights have an index of their own, by which
// PostgreSQL looks at each row of a reader who has few.
type Postgres struct {
	place Place
	table string // quoted
	pool  *pgxpool.Pool
}

// OpenPostgres opens the table, and makes it and the extension if they are not there. The place's URL is
// postgres://USER@HOST:PORT/DATABASE, and its key the user's password.
func OpenPostgres(ctx context.Context, p Place) (*Postgres, error) {
	if err := p.check("postgres", "postgresql"); err != nil {
		return nil, err
	}
	c, err := pgxpool.ParseConfig(p.URL)
	if err != nil {
		return nil, errors.New("its URL is not one of a database, such as postgres://USER@127.0.0.1:5432/DATABASE")
	}
	if p.Key != "" {
		c.ConnConfig.Password = p.Key
	}
	c.ConnConfig.ConnectTimeout = callTime
	c.MaxConns = 8
	pool, err := pgxpool.NewWithConfig(ctx, c)
	if err != nil {
		return nil, silence(ctx)
	}
	x := &Postgres{p, pgx.Identifier{p.Collection}.Sanitize(), pool}
	if err := x.make(ctx); err != nil {
		pool.Close()
		return nil, err
	}
	return x, nil
}

// make makes what is not there. A user who may not add the extension is fine once it is there.
func (x *Postgres) make(ctx context.Context) error {
	return x.do(ctx, func(ctx context.Context, tx pgx.Tx) error {
		queries := []string{
			"SELECT pg_advisory_xact_lock(hashtext('writ vectors'))", // two that begin at once would both make the table
			`DO $$ BEGIN IF NOT EXISTS (SELECT FROM pg_extension WHERE extname = 'vector') THEN CREATE EXTENSION vector;
				END IF; END $$`,
			fmt.Sprintf(`CREATE TABLE IF NOT EXISTS %s
				(cid text PRIMARY KEY, rights text[] NOT NULL, vector vector(%d) NOT NULL)`, x.table, x.place.Dimensions),
			fmt.Sprintf("CREATE INDEX IF NOT EXISTS %s ON %s USING gin (rights)",
				pgx.Identifier{x.place.Collection + "_r"}.Sanitize(), x.table),
		}
		if x.place.Dimensions <= maxGraph {
			queries = append(queries, fmt.Sprintf("CREATE INDEX IF NOT EXISTS %s ON %s USING hnsw (vector vector_ip_ops)",
				pgx.Identifier{x.place.Collection + "_v"}.Sanitize(), x.table))
		}
		for _, q := range queries {
			if _, err := tx.Exec(ctx, q); err != nil {
				return err
			}
		}
		return nil
	})
}

// do runs a transaction, within the time of a call.
func (x *Postgres) do(ctx context.Context, work func(context.Context, pgx.Tx) error) error {
	limited, cancel := context.WithTimeout(ctx, callTime)
	defer cancel()
	err := pgx.BeginFunc(limited, x.pool, func(tx pgx.Tx) error { return work(limited, tx) })
	var refused *pgconn.PgError
	switch {
	case err == nil:
		return nil
	case errors.As(err, &refused):
		return fmt.Errorf("%w: SQLSTATE %s", ErrRefused, refused.Code) // its message may quote what was asked
	}
	return silence(ctx)
}

// literal writes a vector as pgvector reads it.
func literal(v []float32) string {
	b := make([]byte, 0, 12*len(v))
	b = append(b, '[')
	for i, x := range v {
		if i > 0 {
			b = append(b, ',')
		}
		b = strconv.AppendFloat(b, float64(x), 'g', -1, 32)
	}
	return string(append(b, ']'))
}

// Put implements [Index].
func (x *Postgres) Put(ctx context.Context, points []Point) error {
	if err := checkPoints(points, x.place.Dimensions); err != nil || len(points) == 0 {
		return err
	}
	return x.do(ctx, func(ctx context.Context, tx pgx.Tx) error {
		batch := &pgx.Batch{}
		for _, p := range points {
			rights := p.Rights
			if rights == nil {
				rights = []string{}
			}
			batch.Queue(fmt.Sprintf(`INSERT INTO %s VALUES ($1, $2, $3::text::vector)
				ON CONFLICT (cid) DO UPDATE SET rights = excluded.rights, vector = excluded.vector`, x.table),
				p.CID, rights, literal(p.Vector))
		}
		return tx.SendBatch(ctx, batch).Close()
	})
}

// Drop implements [Index].
func (x *Postgres) Drop(ctx context.Context, cids []string) error {
	if len(cids) == 0 {
		return nil
	}
	return x.do(ctx, func(ctx context.Context, tx pgx.Tx) error {
		_, err := tx.Exec(ctx, fmt.Sprintf("DELETE FROM %s WHERE cid = ANY($1)", x.table), cids)
		return err
	})
}

// Nearest implements [Index].
func (x *Postgres) Nearest(
	ctx context.Context, vector []float32, rights []string, limit int,
) (cids []string, err error) {
	if nothing, err := checkAsk(vector, rights, limit, x.place.Dimensions); nothing || err != nil {
		return nil, err
	}
	err = x.do(ctx, func(ctx context.Context, tx pgx.Tx) error {
		if _, err := tx.Exec(ctx, strings.Join([]string{
			"SET LOCAL hnsw.iterative_scan = strict_order", "SET LOCAL hnsw.ef_search = 200",
			"SET LOCAL hnsw.max_scan_tuples = 1000000", "SET LOCAL hnsw.scan_mem_multiplier = 8",
		}, ";")); err != nil {
			return err
		}
		rows, err := tx.Query(ctx, fmt.Sprintf(
			"SELECT cid FROM %s WHERE rights && $1 ORDER BY vector <#> $2::text::vector LIMIT $3", x.table),
			rights, literal(vector), min(limit, MaxNearest))
		if err != nil {
			return err
		}
		defer rows.Close()
		for len(cids) < min(limit, MaxNearest) && rows.Next() {
			var id string
			if err := rows.Scan(&id); err != nil {
				return err
			}
			cids = append(cids, id)
		}
		return rows.Err()
	})
	return cids, err
}

// Count implements [Index].
func (x *Postgres) Count(ctx context.Context) (n int64, err error) {
	err = x.do(ctx, func(ctx context.Context, tx pgx.Tx) error {
		return tx.QueryRow(ctx, "SELECT count(*) FROM "+x.table).Scan(&n)
	})
	return n, err
}

// Close implements [Index].
func (x *Postgres) Close() error { x.pool.Close(); return nil }
