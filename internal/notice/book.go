package notice

import (
	"encoding/json"
	"errors"
	"fmt"
	"io/fs"
	"maps"
	"os"
	"slices"
	"strings"
	"sync"
	"time"
)

// File is what the file is called in a data folder.
const File = "notices.json"

// A Delivery is what has become of one notice to one target, as the file has it.
type Delivery struct {
	Webhook string    `json:"webhook"`
	Run     string    `json:"run"`
	Effect  string    `json:"effect"`
	First   time.Time `json:"first"` // when it was tried first
	Next    time.Time `json:"next"`  // not before then
	Until   time.Time `json:"until"` // what it tells of is over then
	Tries   int       `json:"tries"`
	State   string    `json:"state"`           // waiting, told or dead
	Error   string    `json:"error,omitempty"` // of the last try
}

// States of a [Delivery].
const (
	waiting = "waiting"
	told    = "told"
	dead    = "dead"
)

// keepDead is how long a notice that was given up is listed.
const keepDead = 30 * 24 * time.Hour

// maxDead bounds those that are listed; the oldest go first.
const maxDead = 1000

// A book remembers deliveries.
type book struct {
	path string

	mu  sync.Mutex // guards the rest, and the file
	all map[string]*Delivery
}

func keyOf(target string, w Wait) string { return target + "/" + w.id() }

// Read lists the deliveries of a file, the oldest first; none if there is no file.
func Read(path string) ([]Delivery, error) {
	b, err := openBook(path)
	if err != nil {
		return nil, err
	}
	var out []Delivery
	for _, d := range b.all {
		out = append(out, *d)
	}
	slices.SortFunc(out, func(x, y Delivery) int {
		if c := x.First.Compare(y.First); c != 0 {
			return c
		}
		return strings.Compare(x.Run+x.Webhook, y.Run+y.Webhook)
	})
	return out, nil
}

// IsDead says whether it was given up.
func (d *Delivery) IsDead() bool { return d.State == dead }

func openBook(path string) (*book, error) {
	b := &book{path: path, all: map[string]*Delivery{}}
	data, err := os.ReadFile(path)
	if errors.Is(err, fs.ErrNotExist) {
		return b, nil
	}
	if err == nil {
		err = json.Unmarshal(data, &b.all)
	}
	if err != nil {
		return nil, fmt.Errorf(
			"read which notices were delivered: %w; move %s away, and those that wait are told again", err, path)
	}
	return b, nil
}

// isDue says whether a notice is to be tried now.
func (b *book) isDue(target string, w Wait, now time.Time) bool {
	b.mu.Lock()
	defer b.mu.Unlock()
	d := b.all[keyOf(target, w)]
	if !now.Before(w.Until) || d != nil && d.State != waiting {
		return false
	}
	return d == nil || !now.Before(d.Next) || d.Next.Sub(now) > maxPause // further ahead only if the clock was set back
}

// maxPause is the longest pause between two tries.
const maxPause = time.Hour

// A try is what came of a try, and how others are to follow.
type try struct {
	err           error
	never         bool
	first, giveUp time.Duration
}

// note notes a try, and says whether the notice is given up.
func (b *book) note(target string, w Wait, now time.Time, t try) (isDead bool, err error) {
	b.mu.Lock()
	defer b.mu.Unlock()
	key := keyOf(target, w)
	d := b.all[key]
	if d == nil {
		d = &Delivery{Webhook: target, Run: w.Run, Effect: w.Effect, First: now, Until: w.Until}
		b.all[key] = d
	}
	d.Tries++
	d.Error, d.State = "", told
	if t.err != nil {
		d.Error, d.State = t.err.Error(), waiting
		d.Next = now.Add(min(t.first<<min(d.Tries-1, 20), maxPause))
		if t.never || now.Sub(d.First) >= t.giveUp {
			d.State = dead
		}
	}
	return d.State == dead, b.save()
}

// forgetOver forgets what is over: nobody is to be told of it any more.
func (b *book) forgetOver(now time.Time) {
	b.mu.Lock()
	defer b.mu.Unlock()
	maps.DeleteFunc(b.all, func(_ string, d *Delivery) bool {
		return d.State != dead && now.After(d.Until) || d.State == dead && now.Sub(d.First) > keepDead
	})
	var lost []string
	for key, d := range b.all {
		if d.State == dead {
			lost = append(lost, key)
		}
	}
	slices.SortFunc(lost, func(x, y string) int { return b.all[x].First.Compare(b.all[y].First) })
	for _, key := range lost[:max(len(lost)-maxDead, 0)] {
		delete(b.all, key)
	}
}

// save writes the file whole, or leaves the one before.
func (b *book) save() error {
	data, err := json.Marshal(b.all)
	if err != nil {
		return err
	}
	part := b.path + ".part"
	if err := os.WriteFile(part, data, 0o600); err != nil {
		return err
	}
	return os.Rename(part, b.path)
}

// IsTold says whether it was delivered.
func (d *Delivery) IsTold() bool { return d.State == told }
