// Package calendar reads times as people in a place do: which day it is in New York, and whether its offices are open.
//
// The rules of the time zones (IANA tz database, see [Version]) are part of the program, never the machine's own, and
// a [Zone] can be made from the recorded bytes of a rule instead. So the same time, zone and window give the same
// answer on every machine, and years later.
//
// The package is a leaf: it reads no clock and no file, and imports nothing of ours. Times are ms UTC since 1970.
package calendar

import (
	"archive/zip"
	"bytes"
	"errors"
	"fmt"
	"io"
	"strings"
	"sync"
	"time"
)

// Version names the release of the IANA tz database that [Rules] returns. zoneinfo.zip is that of Go's own lib/time;
// `make zones` copies it again, and changes no recorded decision, since a policy set records the rules that it uses.
const Version = "2025c"

// MaxTime is the last millisecond that has a date here: the end of the year 9999.
const MaxTime = 253402300799999

// ErrTime says that a time lies before 1970 or after the year 9999.
var ErrTime = errors.New("the time is out of range")

// zones lists the zones that come with the program.
var zones = sync.OnceValue(func() map[string]*zip.File {
	m := map[string]*zip.File{}
	r, err := zip.NewReader(bytes.NewReader(zoneinfo), int64(len(zoneinfo)))
	if err != nil { // a test opens it
		return m
	}
	for _, f := range r.File {
		if !f.FileInfo().IsDir() {
			m[f.Name] = f
		}
	}
	return m
})

// Rules returns the rules of a zone as they come with the program (TZif, RFC 9636), or false if there is no such zone.
// Names are those of the tz database, e.g. "America/New_York"; upper and lower case count.
func Rules(zone string) ([]byte, bool) {
	f := zones()[zone]
	if f == nil {
		return nil, false
	}
	r, err := f.Open()
	if err != nil {
		return nil, false
	}
	defer r.Close()
	data, err := io.ReadAll(io.LimitReader(r, MaxRules+1))
	return data, err == nil && len(data) <= MaxRules
}

// Names lists the zones that come with the program, in no order.
func Names() []string {
	var names []string
	for n := range zones() {
		names = append(names, n)
	}
	return names
}

// MaxRules bounds the bytes of one zone's rules; the longest of the tz database have less than 4 KB.
const MaxRules = 64 << 10

// A Zone is a place's way to count hours and days. It never changes. Only [NewZone] makes one.
type Zone struct {
	name  string
	rules []byte
	loc   *time.Location
}

// NewZone makes a zone of its rules, as [Rules] returns them.
func NewZone(name string, rules []byte) (*Zone, error) {
	if len(rules) > MaxRules {
		return nil, fmt.Errorf("time zone %q: %d bytes of rules, more than %d", name, len(rules), MaxRules)
	}
	loc, err := time.LoadLocationFromTZData(name, rules)
	if err != nil {
		return nil, fmt.Errorf("time zone %q: %w", name, err)
	}
	return &Zone{name, bytes.Clone(rules), loc}, nil
}

// Name returns the name that the zone was made with.
func (z *Zone) Name() string { return z.name }

// Rules returns a copy of the bytes that the zone was made of.
func (z *Zone) Rules() []byte { return bytes.Clone(z.rules) }

// FixedOffset returns the offset of a zone whose name stands for a clock and not for a place, such as EST or Etc/GMT+5,
// in hours ahead of UTC. Such a clock never changes to summer time. UTC by any name is none.
func (z *Zone) FixedOffset() (hours float64, is bool) {
	winter, summer := time.Unix(1768000000, 0).In(z.loc), time.Unix(1783000000, 0).In(z.loc) // January and July 2026
	abbreviation, seconds := winter.Zone()
	if _, s := summer.Zone(); s != seconds || seconds == 0 {
		return 0, false
	}
	return float64(seconds) / 3600, z.name == abbreviation || strings.HasPrefix(z.name, "Etc/")
}

// local returns what the clock on the wall says at ms.
func (z *Zone) local(ms int64) (time.Time, error) {
	if ms < 0 || ms > MaxTime {
		return time.Time{}, ErrTime
	}
	return time.UnixMilli(ms).In(z.loc), nil
}

// offset returns how far ahead of UTC the zone is at ms, in ms.
func (z *Zone) offset(ms int64) int64 {
	_, s := time.UnixMilli(ms).In(z.loc).Zone()
	return int64(s) * 1000
}

// Show writes a time as the zone's wall clock has it: "Sat 2026-11-28 03:14 in America/New_York".
func (z *Zone) Show(ms int64) string {
	t, err := z.local(ms)
	if err != nil {
		return err.Error()
	}
	return t.Format("Mon 2006-01-02 15:04") + " in " + z.name
}

// A Span is a stretch of the calendar after which counting begins anew.
type Span string

// The spans. An hour is one of UTC's, which begin at the same moment everywhere but where zones are half an hour off.
const (
	Hour  Span = "hour"
	Day   Span = "day"
	Week  Span = "week" // from Monday, as ISO 8601 numbers them
	Month Span = "month"
)

// Label names the span of z that ms lies in: "2026-11-28T03Z", "2026-11-28", "2026-W48" or "2026-11". Two times have
// one label exactly if they lie in the same span.
func (z *Zone) Label(s Span, ms int64) (string, error) {
	t, err := z.local(ms)
	if err != nil {
		return "", err
	}
	switch s {
	case Hour:
		return t.UTC().Format("2006-01-02T15Z"), nil
	case Day:
		return t.Format(time.DateOnly), nil
	case Week:
		y, w := t.ISOWeek()
		return fmt.Sprintf("%d-W%02d", y, w), nil
	case Month:
		return t.Format("2006-01"), nil
	}
	return "", fmt.Errorf("there is no span %q", s)
}

// Next returns the first time after ms that lies in another span than ms does.
func (z *Zone) Next(s Span, ms int64) (int64, error) {
	label, err := z.Label(s, ms)
	if err != nil {
		return 0, err
	}
	// Labels only go up, so the border is found by halving. No span is longer than 32 days; a zone that skipped a
	// day (Samoa did) makes one shorter.
	in, out := ms, ms+32*24*3_600_000
	for in+1 < out {
		mid := in + (out-in)/2
		if l, err := z.Label(s, mid); err == nil && l == label {
			in = mid
		} else {
			out = mid
		}
	}
	if out > MaxTime {
		return 0, ErrTime
	}
	return out, nil
}
