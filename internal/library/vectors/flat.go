package vectors

import (
	"context"
	"slices"
	"strings"
	"sync"
)

// Flat is an index in memory that looks at every point, so that it finds all. A point takes four bytes a dimension.
type Flat struct {
	dimensions int

	mu      sync.RWMutex   // guards what follows
	rows    map[string]int // by CID
	ids     []string       // by row
	groups  []int          // by row: which of rights
	vectors []float32      // by row, dimensions each
	group   map[string]int // by the rights, sorted and joined
	rights  [][]string     // of a group
	best    sync.Pool      // of []Scored
}

// NewFlat returns an empty index of vectors of so many dimensions.
func NewFlat(dimensions int) *Flat {
	f := &Flat{dimensions: dimensions, rows: map[string]int{}, group: map[string]int{}}
	f.best.New = func() any { return new([]Scored) }
	return f
}

// Dimensions says how many a vector has.
func (f *Flat) Dimensions() int { return f.dimensions }

// Put implements [Index].
func (f *Flat) Put(_ context.Context, points []Point) error {
	if err := checkPoints(points, f.dimensions); err != nil {
		return err
	}
	f.mu.Lock()
	defer f.mu.Unlock()
	for _, p := range points {
		row, there := f.rows[p.CID]
		if !there {
			row = len(f.ids)
			f.rows[p.CID] = row
			f.ids = append(f.ids, p.CID)
			f.groups = append(f.groups, 0)
			f.vectors = append(f.vectors, p.Vector...)
		}
		copy(f.vectors[row*f.dimensions:], p.Vector)
		f.groups[row] = f.groupOf(p.Rights)
	}
	return nil
}

// groupOf returns the number of a set of rights: most points share theirs with others. It is called with mu held.
func (f *Flat) groupOf(rights []string) int {
	rights = slices.Clone(rights)
	slices.Sort(rights)
	key := strings.Join(rights, " ")
	n, there := f.group[key]
	if !there {
		if len(f.rights) > 2*len(f.ids)+1024 {
			f.forgetGroups()
		}
		n = len(f.rights)
		f.group[key] = n
		f.rights = append(f.rights, rights)
	}
	return n
}

// forgetGroups keeps the sets of rights that points have. It is called with mu held.
func (f *Flat) forgetGroups() {
	old := f.rights
	f.rights, f.group = nil, map[string]int{}
	for row, n := range f.groups {
		f.groups[row] = f.groupOf(old[n])
	}
}

// Drop implements [Index].
func (f *Flat) Drop(_ context.Context, cids []string) error {
	f.mu.Lock()
	defer f.mu.Unlock()
	for _, id := range cids {
		row, there := f.rows[id]
		if !there {
			continue
		}
		last := len(f.ids) - 1
		f.ids[row], f.groups[row] = f.ids[last], f.groups[last]
		copy(f.vectors[row*f.dimensions:], f.vectors[last*f.dimensions:])
		f.rows[f.ids[row]] = row
		delete(f.rows, id)
		f.ids, f.groups, f.vectors = f.ids[:last], f.groups[:last], f.vectors[:last*f.dimensions]
	}
	return nil
}

// Nearest implements [Index].
func (f *Flat) Nearest(_ context.Context, vector []float32, rights []string, limit int) ([]string, error) {
	if nothing, err := checkAsk(vector, rights, limit, f.dimensions); nothing || err != nil {
		return nil, err
	}
	limit = min(limit, MaxNearest)
	f.mu.RLock()
	defer f.mu.RUnlock()
	may := make([]bool, len(f.rights))
	for i, group := range f.rights {
		may[i] = slices.ContainsFunc(group, func(r string) bool { return slices.Contains(rights, r) })
	}
	list := f.best.Get().(*[]Scored)
	defer f.best.Put(list)
	best := (*list)[:0]
	sorted := false
	for row, group := range f.groups {
		if !may[group] {
			continue
		}
		x := Scored{f.ids[row], Closeness(vector, f.vectors[row*f.dimensions:(row+1)*f.dimensions])}
		if sorted && compareScored(x, best[limit-1]) > 0 {
			continue
		}
		if best = append(best, x); len(best) == 2*limit { // sorted now and then rather than at each
			SortScored(best)
			best, sorted = best[:limit], true
		}
	}
	SortScored(best)
	best = best[:min(limit, len(best))]
	out := make([]string, len(best))
	for i, x := range best {
		out[i] = x.CID
	}
	*list = best
	return out, nil
}

// Count implements [Index].
func (f *Flat) Count(context.Context) (int64, error) {
	f.mu.RLock()
	defer f.mu.RUnlock()
	return int64(len(f.ids)), nil
}

// Close implements [Index].
func (f *Flat) Close() error { return nil }
