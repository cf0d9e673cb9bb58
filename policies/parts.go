package policies

import (
	"bytes"
	"fmt"
	"slices"
	"strings"

	"github.com/writ-run/writ/internal/wording"
	"github.com/writ-run/writ/policies/calendar"
)

// A Part is something outside of a source that its meaning depends on: the rules of a time zone that it names, as
// "zone/America/New_York", or a file with the members of a set, as "set/friends". Parts are recorded beside the
// source, so that a decision can be made again where the time zones are newer and the file is another one.
type Part struct {
	Name string
	Data []byte
}

// maxSetParts bounds the parts of one set, and maxPartBytes the bytes of one, which has to fit in a block.
const (
	maxSetParts  = 64
	maxPartBytes = 256 << 10
)

// Parts returns what the set depends on besides its source, sorted by name.
func (s *Set) Parts() []Part {
	out := slices.Clone(s.parts)
	for i := range out {
		out[i].Data = bytes.Clone(out[i].Data)
	}
	return out
}

// readPart returns the data of a part, recorded or new, and notes that the set depends on it.
func (l *loader) readPart(name string, fresh func() ([]byte, error)) ([]byte, error) {
	var data []byte
	if l.o.Parts != nil {
		recorded, ok := l.o.Parts[name]
		if !ok {
			return nil, fmt.Errorf("the part %q is not recorded with the set", name)
		}
		data = recorded
	} else {
		var err error
		if data, err = fresh(); err != nil {
			return nil, err
		}
	}
	switch {
	case len(data) > maxPartBytes:
		return nil, fmt.Errorf("%s has %d bytes; at most %d are read, so make two of it", name, len(data), maxPartBytes)
	case len(l.set.parts) == maxSetParts:
		return nil, fmt.Errorf("the set depends on more than %d zones and files", maxSetParts)
	}
	l.set.parts = append(l.set.parts, Part{name, bytes.Clone(data)})
	return data, nil
}

func (l *loader) readZone(name string) (*calendar.Zone, error) {
	if z := l.zones[name]; z != nil {
		return z, nil
	}
	rules, err := l.readPart("zone/"+name, func() ([]byte, error) {
		data, ok := calendar.Rules(name)
		if !ok {
			return nil, fmt.Errorf("there is no time zone %q", wording.Clip(name, 60))
		}
		return data, nil
	})
	if err != nil {
		return nil, err
	}
	z, err := calendar.NewZone(name, rules)
	if err != nil {
		return nil, err
	}
	if l.zones == nil {
		l.zones = map[string]*calendar.Zone{}
	}
	l.zones[name] = z
	return z, nil
}

// setFile returns the members of a set that stands in a file: one a line, blank lines and lines from # on are left
// out.
func (l *loader) setFile(set, file string) ([]string, error) {
	data, err := l.readPart("set/"+set, func() ([]byte, error) {
		if l.o.File == nil {
			return nil, fmt.Errorf("the file %q cannot be read here", wording.Clip(file, 60))
		}
		return l.o.File(file)
	})
	if err != nil {
		return nil, err
	}
	var members []string
	for line := range strings.Lines(string(data)) {
		line = strings.TrimSpace(line)
		if line != "" && line[0] != '#' {
			members = append(members, line)
		}
	}
	return members, nil
}
