package calendar

import (
	"fmt"
	"strings"
	"time"
)

// A Weekly is a set of times that comes again every week, to the minute of the clock on the wall. It never changes.
// The zero Weekly holds at no time.
type Weekly struct {
	source string
	spans  []span // of minutes since Monday 00:00; the end is not in it and may lie in the next week
}

type span struct{ from, to int }

const (
	dayMinutes  = 24 * 60
	weekMinutes = 7 * dayMinutes
	maxWeekly   = 256 // bytes
)

var days = [7]string{"Mon", "Tue", "Wed", "Thu", "Fri", "Sat", "Sun"}

// ParseWeekly reads weekly hours such as
//
//	Mon-Fri 09:00-18:00, Sat 10:00-14:00
//	Mon, Wed 09:00-12:00
//	22:00-06:00
//
// Hours belong to the days before them, all days if none are named; days without hours share the next ones. From-to
// includes the first minute and not the last; 24:00 is midnight at the end of a day. Hours that end before they begin
// run over midnight into the next day. Days may run over the end of the week, as in Sat-Mon.
func ParseWeekly(s string) (Weekly, error) {
	w := Weekly{source: s}
	if len(s) > maxWeekly {
		return Weekly{}, fmt.Errorf("weekly hours of %d bytes, more than %d", len(s), maxWeekly)
	}
	var pending []int
	for part := range strings.SplitSeq(s, ",") {
		days, hours, err := cutPart(part)
		if err != nil {
			return Weekly{}, err
		}
		if days != "" {
			on, err := parseDays(days)
			if err != nil {
				return Weekly{}, err
			}
			pending = append(pending, on...)
		}
		if hours == "" {
			continue
		}
		from, to, err := parseHours(hours)
		if err != nil {
			return Weekly{}, err
		}
		if pending == nil {
			pending = []int{0, 1, 2, 3, 4, 5, 6}
		}
		for _, d := range pending {
			w.spans = append(w.spans, span{d*dayMinutes + from, d*dayMinutes + to})
		}
		pending = nil
	}
	if pending != nil {
		return Weekly{}, fmt.Errorf("%q ends with days that have no hours", s)
	}
	return w, nil
}

// cutPart cuts a part into its days and its hours, either of which may be missing.
func cutPart(part string) (days, hours string, err error) {
	switch words := strings.Fields(part); {
	case len(words) == 1 && strings.Contains(words[0], ":"):
		return "", words[0], nil
	case len(words) == 1:
		return words[0], "", nil
	case len(words) == 2 && strings.Contains(words[1], ":"):
		return words[0], words[1], nil
	case len(words) == 2:
		return "", "", fmt.Errorf("%q are not hours, such as 09:00-18:00", words[1])
	}
	return "", "", fmt.Errorf(`%q is not days and hours, such as "Mon-Fri 09:00-18:00"`, part)
}

func parseDays(s string) ([]int, error) {
	first, last, many := strings.Cut(s, "-")
	from, to := dayOf(first), dayOf(last)
	if !many {
		to = from
	}
	if from < 0 || to < 0 {
		return nil, fmt.Errorf("%q are not days: Mon Tue Wed Thu Fri Sat Sun, or Mon-Fri", s)
	}
	on := []int{from}
	for d := from; d != to; {
		d = (d + 1) % 7
		on = append(on, d)
	}
	return on, nil
}

func dayOf(s string) int {
	for i, d := range days {
		if d == s {
			return i
		}
	}
	return -1
}

func parseHours(s string) (from, to int, err error) {
	first, last, many := strings.Cut(s, "-")
	from, ok := parseMinute(first)
	to, ok2 := parseMinute(last)
	if !many || !ok || !ok2 || from == to || from == dayMinutes {
		return 0, 0, fmt.Errorf("%q are not hours, such as 09:00-18:00", s)
	}
	if to < from {
		to += dayMinutes
	}
	return from, to, nil
}

// parseMinute reads hh:mm, both digits always, up to 24:00.
func parseMinute(s string) (int, bool) {
	if len(s) != 5 || s[2] != ':' {
		return 0, false
	}
	for _, i := range []int{0, 1, 3, 4} {
		if s[i] < '0' || s[i] > '9' {
			return 0, false
		}
	}
	h, m := int(s[0]-'0')*10+int(s[1]-'0'), int(s[3]-'0')*10+int(s[4]-'0')
	return h*60 + m, m < 60 && h*60+m <= dayMinutes
}

// String returns the text that it was read from.
func (w Weekly) String() string { return w.source }

// Holds says whether the clock on the wall of z stands within the hours at ms. ErrTime if ms has no date.
func (w Weekly) Holds(z *Zone, ms int64) (bool, error) {
	t, err := z.local(ms)
	if err != nil {
		return false, err
	}
	h, m, _ := t.Clock()
	at := (int(t.Weekday())+6)%7*dayMinutes + h*60 + m
	for _, s := range w.spans {
		if at >= s.from && at < s.to || at+weekMinutes < s.to {
			return true, nil
		}
	}
	return false, nil
}

// Next returns the first time from ms on at which Holds says want, or false if there is none within eight days.
func (w Weekly) Next(z *Zone, ms int64, want bool) (int64, bool) {
	if is, err := w.Holds(z, ms); err != nil || is == want {
		return ms, err == nil
	}
	// Every change of the answer is at a border of the hours or at one of the zone's own. A border is a wall-clock
	// time; which moment it is depends on the offset, which is that of just before or of just after.
	best, found := int64(0), false
	try := func(t int64) {
		if t < ms || found && t >= best {
			return
		}
		if is, err := w.Holds(z, t); err == nil && is == want {
			best, found = t, true
		}
	}
	for at := time.UnixMilli(ms).In(z.loc); ; {
		_, end := at.ZoneBounds()
		if end.IsZero() || end.UnixMilli() > ms+8*day {
			break
		}
		try(end.UnixMilli())
		at = end
	}
	w.eachBorder(z, ms, try)
	if !found || best > ms+8*day {
		return 0, false
	}
	return best, true
}

const minute, day = 60_000, 24 * 60 * 60_000 // in milliseconds

// eachBorder calls try with each moment at which hours may begin or end, from the week before ms to the one after.
func (w Weekly) eachBorder(z *Zone, ms int64, try func(int64)) {
	wall := ms + z.offset(ms) // as if the zone were UTC
	monday := wall - (wall/day+3)%7*day - wall%day
	for week := range int64(3) {
		for _, s := range w.spans {
			for _, at := range []int{s.from, s.to} {
				border := monday + (week-1)*7*day + int64(at)*minute
				for _, around := range []int64{border - day, border + day} {
					try(border - z.offset(max(around, 0)))
				}
			}
		}
	}
}
