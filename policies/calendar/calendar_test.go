package calendar

import (
	"errors"
	"math/rand/v2"
	"testing"
	"time"
)

func zone(t testing.TB, name string) *Zone {
	t.Helper()
	rules, ok := Rules(name)
	if !ok {
		t.Fatalf("there is no zone %s", name)
	}
	z, err := NewZone(name, rules)
	if err != nil {
		t.Fatal(err)
	}
	return z
}

func at(t testing.TB, s string) int64 {
	t.Helper()
	x, err := time.Parse(time.RFC3339, s)
	if err != nil {
		t.Fatal(err)
	}
	return x.UnixMilli()
}

func TestWeekly(t *testing.T) {
	for _, c := range []struct {
		zone, hours, at string
		want            bool
	}{
		{"UTC", "Mon-Fri 09:00-18:00", "2026-11-25T09:00:00Z", true}, // a Wednesday
		{"UTC", "Mon-Fri 09:00-18:00", "2026-11-25T08:59:59.999Z", false},
		{"UTC", "Mon-Fri 09:00-18:00", "2026-11-25T18:00:00Z", false}, // the end is not in it
		{"UTC", "Mon-Fri 09:00-18:00", "2026-11-28T12:00:00Z", false}, // a Saturday
		{"America/New_York", "Mon-Fri 09:00-18:00", "2026-11-25T14:00:00Z", true},
		{"America/New_York", "Mon-Fri 09:00-18:00", "2026-11-25T13:59:00Z", false},
		{"America/New_York", "Mon-Fri 09:00-18:00", "2026-07-01T13:00:00Z", true}, // summer time
		{"Asia/Kolkata", "09:30-10:00", "2026-01-01T04:00:00Z", true},             // half an hour off
		{"UTC", "22:00-06:00", "2026-11-25T05:59:00Z", true},                      // over midnight
		{"UTC", "Fri 22:00-06:00", "2026-11-28T05:00:00Z", true},                  // of Friday's hours
		{"UTC", "Fri 22:00-06:00", "2026-11-27T05:00:00Z", false},
		{"UTC", "Sun 22:00-06:00", "2026-11-30T05:00:00Z", true}, // over the end of the week
		{"UTC", "Sat-Mon 10:00-24:00", "2026-11-29T23:59:00Z", true},
		{"UTC", "Mon, Wed 09:00-12:00, Sat 10:00-11:00", "2026-11-25T11:00:00Z", true},
		{"UTC", "Mon, Wed 09:00-12:00, Sat 10:00-11:00", "2026-11-24T11:00:00Z", false},
		{"UTC", "Mon, Wed 09:00-12:00, Sat 10:00-11:00", "2026-11-28T10:00:00Z", true},
		{"America/New_York", "02:00-03:00", "2026-03-08T07:30:00Z", false}, // the hour that spring skips
		{"America/New_York", "01:00-02:00", "2026-11-01T06:30:00Z", true},  // the hour that autumn has twice
		{"America/New_York", "01:00-02:00", "2026-11-01T05:30:00Z", true},
	} {
		w, err := ParseWeekly(c.hours)
		if err != nil {
			t.Errorf("%s: %v", c.hours, err)
			continue
		}
		if got, err := w.Holds(zone(t, c.zone), at(t, c.at)); err != nil || got != c.want {
			t.Errorf("%s in %s at %s: got %v, %v; want %v", c.hours, c.zone, c.at, got, err, c.want)
		}
	}
	for _, bad := range []string{"", "Mon", "Mon-Fri", "9:00-18:00", "Mon 09:00", "Mon 09:00-09:00", "Mon 24:00-25:00", "mon 09:00-10:00",
		"Mon 09:00-18:00,", "Mon-Fri 09:00-18:00; Sat 10:00-11:00", "Mon 24:00-06:00", "Mon 09:60-10:00", "Mon Tue 09:00-10:00", "Mon- 09:00-10:00"} {
		if w, err := ParseWeekly(bad); err == nil {
			t.Errorf("%q is read as %+v", bad, w.spans)
		}
	}
	w, err := ParseWeekly("00:00-24:00")
	if err != nil {
		t.Fatal(err)
	}
	for _, ms := range []int64{-1, MaxTime + 1} {
		if _, err := w.Holds(zone(t, "UTC"), ms); !errors.Is(err, ErrTime) {
			t.Errorf("at %d: %v, want ErrTime", ms, err)
		}
	}
}

// Next is the first minute, as a walk over all of them finds it.
func TestNextIsTheFirst(t *testing.T) {
	rnd := rand.New(rand.NewPCG(1, 2))
	zones := []*Zone{zone(t, "UTC"), zone(t, "America/New_York"), zone(t, "Europe/Berlin"), zone(t, "Asia/Kathmandu"),
		zone(t, "Australia/Lord_Howe"), zone(t, "Pacific/Apia")}
	for range 60 {
		z := zones[rnd.IntN(len(zones))]
		hours := []string{"Mon-Fri 09:00-18:00", "02:30-04:00", "22:00-06:00", "Sun 01:30-02:30", "Sat-Mon 23:45-24:00"}[rnd.IntN(5)]
		w, err := ParseWeekly(hours)
		if err != nil {
			t.Fatal(err)
		}
		// Near the changes of the clocks as often as not; Apia skipped all of 30 December 2011.
		from := []int64{at(t, "2026-03-05T00:00:00Z"), at(t, "2026-10-29T00:00:00Z"), at(t, "2011-12-28T00:00:00Z"), at(t, "2026-06-01T00:00:00Z")}[rnd.IntN(4)]
		from += rnd.Int64N(4*24*60) * 60_000
		for _, want := range []bool{true, false} {
			walk := from
			for {
				if is, _ := w.Holds(z, walk); is == want {
					break
				}
				walk += 60_000
			}
			if got, ok := w.Next(z, from, want); !ok || got != walk {
				t.Errorf("%s in %s from %s, want %v: got %s, %v; the walk finds %s", hours, z.Name(),
					time.UnixMilli(from).UTC(), want, time.UnixMilli(got).UTC(), ok, time.UnixMilli(walk).UTC())
			}
		}
	}
}

func TestSpans(t *testing.T) {
	for _, c := range []struct {
		zone      string
		span      Span
		at, label string
		next      string // when the next span begins
	}{
		{"UTC", Hour, "2026-11-25T17:59:59.999Z", "2026-11-25T17Z", "2026-11-25T18:00:00Z"},
		{"America/New_York", Day, "2026-11-25T04:59:00Z", "2026-11-24", "2026-11-25T05:00:00Z"},
		{"America/New_York", Day, "2026-11-01T05:00:00Z", "2026-11-01", "2026-11-02T05:00:00Z"}, // of 25 hours
		{"Europe/Berlin", Week, "2026-12-31T12:00:00Z", "2026-W53", "2027-01-03T23:00:00Z"},
		{"Europe/Berlin", Month, "2026-10-01T00:00:00Z", "2026-10", "2026-10-31T23:00:00Z"},
		{"Pacific/Apia", Day, "2011-12-29T20:00:00Z", "2011-12-29", "2011-12-30T10:00:00Z"}, // the 30th never was
	} {
		z := zone(t, c.zone)
		label, err := z.Label(c.span, at(t, c.at))
		if err != nil || label != c.label {
			t.Errorf("%s of %s in %s: got %s, %v; want %s", c.span, c.at, c.zone, label, err, c.label)
		}
		next, err := z.Next(c.span, at(t, c.at))
		if err != nil || next != at(t, c.next) {
			t.Errorf("%s after %s in %s: got %s, %v; want %s", c.span, c.at, c.zone, time.UnixMilli(next).UTC(), err, c.next)
		}
	}
	if _, err := zone(t, "UTC").Label("year", 0); err == nil {
		t.Error("a year is taken for a span")
	}
}

// Every zone is there, reads, and is small enough to be recorded with a policy set.
func TestEveryZoneReads(t *testing.T) {
	n := 0
	for _, name := range Names() {
		rules, ok := Rules(name)
		if !ok {
			t.Errorf("%s cannot be read", name)
			continue
		}
		z, err := NewZone(name, rules)
		if err != nil {
			t.Error(err)
			continue
		}
		if _, err := z.Label(Day, 1_780_000_000_000); err != nil {
			t.Error(err)
		}
		n++
	}
	if n < 400 {
		t.Errorf("only %d zones", n)
	}
	if _, ok := Rules("Europe/Atlantis"); ok {
		t.Error("there is a zone of no place")
	}
	if _, err := NewZone("x", []byte("TZif")); err == nil {
		t.Error("cut rules are read")
	}
}

// FuzzWeekly: what reads holds at some time, and the answer changes where Next says.
func FuzzWeekly(f *testing.F) {
	f.Add("Mon-Fri 09:00-18:00, Sat 10:00-14:00", uint32(5))
	f.Add("22:00-06:00", uint32(29_000_000))
	z := zone(f, "America/New_York")
	f.Fuzz(func(t *testing.T, s string, minute uint32) {
		w, err := ParseWeekly(s)
		if err != nil {
			return
		}
		from := int64(minute) * 60_000
		is, err := w.Holds(z, from)
		if err != nil {
			t.Fatal(err)
		}
		next, ok := w.Next(z, from, !is)
		if !ok { // all week, or an hour that a change of the clocks swallowed
			return
		}
		if now, _ := w.Holds(z, next); next <= from || now == is {
			t.Errorf("%q changes at %d from %v to %v", s, next, is, now)
		}
	})
}
