package logproof

import (
	"errors"
	"fmt"
	"slices"
	"strconv"
	"strings"

	"golang.org/x/mod/sumdb/note"
)

// A Quorum says which witnesses must have cosigned a checkpoint.
type Quorum struct {
	witnesses []quorumWitness // in the order of their lines
	root      *group          // nil: none
}

type quorumWitness struct {
	name string
	url  string
	key  *witness
	vkey string
}

// A group is met by k of its members, each a witness by its place or another group.
type group struct {
	k         int
	witnesses []int
	groups    []*group
}

const maxPolicyLines = 1024

// ParsePolicy reads a policy file of c2sp.org/tlog-policy: lines "log VKEY [URL]", "witness NAME VKEY [URL]",
// "group NAME K|all|any MEMBER...", and one "quorum NAME|none". Witness keys are of type 4 (cosignature/v1, Ed25519).
func ParsePolicy(text []byte) (Policy, error) {
	var p Policy
	q := &Quorum{}
	names, used := map[string]*group{}, map[string]bool{}
	quorum := false
	bad := func(line int, format string, args ...any) (Policy, error) {
		return Policy{}, fmt.Errorf("line %d: %s", line, fmt.Sprintf(format, args...))
	}
	lines := strings.Split(string(text), "\n")
	if len(lines) > maxPolicyLines {
		return p, errors.New("more than 1024 lines")
	}
	for i, line := range lines {
		f := strings.FieldsFunc(line, func(r rune) bool { return r == ' ' || r == '\t' })
		if len(f) == 0 || strings.HasPrefix(f[0], "#") {
			continue
		}
		switch n := i + 1; f[0] {
		case "log":
			if len(f) < 2 || len(f) > 3 {
				return bad(n, "write: log VKEY [URL]")
			}
			k, err := ParseKey(f[1])
			if err != nil {
				return bad(n, "%v", err)
			}
			p.Logs = append(p.Logs, k)
		case "witness":
			if len(f) < 3 || len(f) > 4 {
				return bad(n, "write: witness NAME VKEY [URL]")
			}
			w, err := parseWitness(f[2])
			switch {
			case err != nil:
				return bad(n, "%v", err)
			case names[f[1]] != nil || f[1] == "none":
				return bad(n, "the name %q is taken", f[1])
			case slices.ContainsFunc(q.witnesses, func(o quorumWitness) bool { return o.key.key.Equal(w.key) }):
				return bad(n, "two witnesses with one key")
			}
			names[f[1]] = &group{k: 1, witnesses: []int{len(q.witnesses)}}
			q.witnesses = append(q.witnesses, quorumWitness{name: f[1], key: w, vkey: f[2],
				url: strings.Join(f[3:], "")})
		case "group":
			if len(f) < 4 {
				return bad(n, "write: group NAME K|all|any MEMBER...")
			}
			g, members := &group{}, f[3:]
			switch k, err := strconv.Atoi(f[2]); {
			case f[2] == "all":
				g.k = len(members)
			case f[2] == "any":
				g.k = 1
			case err != nil || k < 1 || k > len(members):
				return bad(n, "%q is not a number of members from 1 to %d", f[2], len(members))
			default:
				g.k = k
			}
			if names[f[1]] != nil || f[1] == "none" {
				return bad(n, "the name %q is taken", f[1])
			}
			for _, m := range members {
				if names[m] == nil || used[m] {
					return bad(n, "%q is not the name of an earlier line, or is in a group already", m)
				}
				used[m] = true
				g.groups = append(g.groups, names[m])
			}
			names[f[1]] = g
		case "quorum":
			if len(f) != 2 || quorum {
				return bad(n, "write quorum NAME, or quorum none, once")
			}
			quorum = true
			if f[1] != "none" {
				if q.root = names[f[1]]; q.root == nil {
					return bad(n, "%q is not the name of an earlier line", f[1])
				}
			}
		default:
			return bad(n, "a line begins with log, witness, group or quorum, not with %.40q", f[0])
		}
	}
	if !quorum {
		return p, errors.New("it has no quorum line")
	}
	p.Quorum = q
	return p, nil
}

// countCosigned returns the names of the witnesses that cosigned a checkpoint, and whether they are enough.
func (q *Quorum) countCosigned(raw []byte) (cosigned []string, met bool) {
	signed := make([]bool, len(q.witnesses))
	for i, w := range q.witnesses {
		// One by one: a note with one bad signature of a known key is refused as a whole.
		n, err := note.Open(raw, note.VerifierList(w.key))
		if signed[i] = err == nil && len(n.Sigs) > 0; signed[i] {
			cosigned = append(cosigned, w.name)
		}
	}
	return cosigned, q.root.isMet(signed)
}

func (g *group) isMet(signed []bool) bool {
	if g == nil {
		return true
	}
	n := 0
	for _, w := range g.witnesses {
		if signed[w] {
			n++
		}
	}
	for _, o := range g.groups {
		if o.isMet(signed) {
			n++
		}
	}
	return n >= g.k
}

// Wants says whether the quorum asks for any cosignature.
func (q *Quorum) Wants() bool { return q != nil && q.root != nil }

// A Witness is a line of a policy file.
type Witness struct{ Name, VKey, URL string }

// Witnesses lists the witnesses of the policy, in the order of their lines.
func (q *Quorum) Witnesses() []Witness {
	if q == nil {
		return nil
	}
	out := make([]Witness, len(q.witnesses))
	for i, w := range q.witnesses {
		out[i] = Witness{w.name, w.vkey, w.url}
	}
	return out
}
