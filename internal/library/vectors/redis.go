package vectors

import (
	"context"
	"encoding/binary"
	"errors"
	"fmt"
	"math"
	"strings"

	"github.com/redis/go-redis/v9"
)

// Redis is an index of a Redis server that has its query engine: Redis 8, or Redis Stack.
//
// Source: redis.io/docs, "FT.CREATE", "Vector search: KNN with a filter". The filter is a tag, and the engine chooses
// between looking at each of what passes it and walking the graph.
type Redis struct {
	place  Place
	client *redis.Client
}

// OpenRedis opens the index, and makes it if it is not there. The place's URL is redis://USER@HOST:PORT, or rediss: for
// TLS, and its key the user's password.
func OpenRedis(ctx context.Context, p Place) (*Redis, error) {
	if err := p.check("redis", "rediss"); err != nil {
		return nil, err
	}
	o, err := redis.ParseURL(p.URL)
	if err != nil {
		return nil, errors.New("its URL is not one of a Redis server, such as redis://127.0.0.1:6379")
	}
	o.Password, o.MaxRetries, o.PoolSize = p.Key, -1, 8
	o.Protocol = 2 // what the query engine answers has one form in it
	o.DialTimeout, o.ReadTimeout, o.WriteTimeout = callTime, callTime, callTime
	x := &Redis{p, redis.NewClient(o)}
	err = x.client.Do(ctx, "FT.CREATE", p.Collection, "ON", "HASH", "PREFIX", 1, x.key(""), "SCHEMA",
		"rights", "TAG", "SEPARATOR", ",",
		"vector", "VECTOR", "HNSW", 8, "TYPE", "FLOAT32", "DIM", p.Dimensions,
		"DISTANCE_METRIC", "IP", "EF_RUNTIME", 200).Err()
	if err != nil && !strings.Contains(strings.ToLower(err.Error()), "already exists") {
		return nil, errors.Join(x.fault(ctx, err), x.client.Close())
	}
	return x, nil
}

func (x *Redis) key(cid string) string { return x.place.Collection + ":" + cid }

// fault tells an answer of the server from silence; neither quotes the server, which may repeat what it was sent.
func (x *Redis) fault(ctx context.Context, err error) error {
	var answer redis.Error
	switch {
	case err == nil:
		return nil
	case errors.As(err, &answer):
		return ErrRefused
	}
	return silence(ctx)
}

func packVector(v []float32) []byte {
	b := make([]byte, 0, 4*len(v))
	for _, x := range v {
		b = binary.LittleEndian.AppendUint32(b, math.Float32bits(x))
	}
	return b
}

// Put implements [Index].
func (x *Redis) Put(ctx context.Context, points []Point) error {
	if err := checkPoints(points, x.place.Dimensions); err != nil || len(points) == 0 {
		return err
	}
	_, err := x.client.Pipelined(ctx, func(p redis.Pipeliner) error {
		for _, point := range points {
			p.HSet(ctx, x.key(point.CID), "rights", strings.Join(point.Rights, ","), "vector", packVector(point.Vector))
		}
		return nil
	})
	return x.fault(ctx, err)
}

// Drop implements [Index].
func (x *Redis) Drop(ctx context.Context, cids []string) error {
	if len(cids) == 0 {
		return nil
	}
	keys := make([]string, len(cids))
	for i, id := range cids {
		keys[i] = x.key(id)
	}
	return x.fault(ctx, x.client.Del(ctx, keys...).Err())
}

// Nearest implements [Index].
func (x *Redis) Nearest(ctx context.Context, vector []float32, rights []string, limit int) ([]string, error) {
	if nothing, err := checkAsk(vector, rights, limit, x.place.Dimensions); nothing || err != nil {
		return nil, err
	}
	k := min(limit, MaxNearest)
	out, err := x.client.FTSearchWithArgs(ctx, x.place.Collection,
		fmt.Sprintf("(@rights:{%s})=>[KNN %d @vector $v AS far]", strings.Join(rights, "|"), k),
		&redis.FTSearchOptions{
			NoContent: true, DialectVersion: 2, Limit: k, Params: map[string]any{"v": packVector(vector)},
			SortBy: []redis.FTSearchSortBy{{FieldName: "far", Asc: true}},
		}).Result()
	if err != nil {
		return nil, x.fault(ctx, err)
	}
	var cids []string
	for _, d := range out.Docs {
		cids = append(cids, strings.TrimPrefix(d.ID, x.key("")))
	}
	return cids, nil
}

// Count implements [Index].
func (x *Redis) Count(ctx context.Context) (int64, error) {
	out, err := x.client.FTInfo(ctx, x.place.Collection).Result()
	return int64(out.NumDocs), x.fault(ctx, err)
}

// Close implements [Index].
func (x *Redis) Close() error { return x.client.Close() }
