package manual

import (
	"fmt"
	"regexp"
	"slices"
	"strings"

	"github.com/yuin/goldmark/ast"
	extast "github.com/yuin/goldmark/extension/ast"
	"github.com/yuin/goldmark/text"
)

// extensionCell is the kind of a table's cells.
var extensionCell = extast.KindTableCell

// codeForm is what the first cell of a code's row looks like.
var codeForm = regexp.MustCompile(`^[a-z]+([_.][a-z_]+)*$`)

// listsCodes says whether a table with this head is one of the two: that of requests, or that of runs.
func listsCodes(head []string) bool {
	return len(head) > 2 && (head[0] == "data.code" && head[1] == "number" || head[0] == "code" && head[1] == "whose")
}

// addErrors makes a page of each row of a table that lists codes.
func (m *Manual) addErrors(source []byte) error {
	root := markdown.Parser().Parse(text.NewReader(source))
	return ast.Walk(root, func(n ast.Node, entering bool) (ast.WalkStatus, error) {
		table, is := n.(*extast.Table)
		if !entering || !is {
			return ast.WalkContinue, nil
		}
		var head []string
		for row := table.FirstChild(); row != nil; row = row.NextSibling() {
			var cells []string
			for c := row.FirstChild(); c != nil; c = c.NextSibling() {
				cells = append(cells, plainText(c, source))
			}
			if head == nil {
				if head = cells; !listsCodes(head) {
					return ast.WalkSkipChildren, nil
				}
				continue
			}
			if !codeForm.MatchString(cells[0]) {
				return ast.WalkStop, fmt.Errorf("%q is no code", cells[0])
			}
			if err := m.add("errors/"+cells[0], describeCode(head, cells)); err != nil {
				return ast.WalkStop, err
			}
		}
		return ast.WalkSkipChildren, nil
	})
}

// listCodes writes the page that leads to those of all codes. The codes of runs have a point in them.
func (m *Manual) listCodes() []byte {
	var requests, runs []string
	for name, p := range m.pages {
		code, is := strings.CutPrefix(name, "errors/")
		switch line := fmt.Sprintf("- [`%s`](/docs/errors/%s): %s", code, code, p.About); {
		case !is:
		case strings.Contains(code, "."):
			runs = append(runs, line)
		default:
			requests = append(requests, line)
		}
	}
	slices.Sort(requests)
	slices.Sort(runs)
	return []byte("# Errors\n\nEach error and each failure of a run has a code that stays the same, and a page that " +
		"says whose it is and what to do.\n\n" +
		"## Of requests\n\nIn `error.data.code` ([protocol](protocol.md#errors)).\n\n" + strings.Join(requests, "\n") +
		"\n\n## Of runs\n\nIn `code` of a run's `close` ([failures](failures.md#codes)).\n\n" +
		strings.Join(runs, "\n") + "\n")
}

// describeCode writes the page of one code.
func describeCode(head, cells []string) []byte {
	facts := map[string]string{}
	for i, name := range head {
		if i < len(cells) {
			facts[name] = cells[i]
		}
	}
	code := cells[0]
	var b strings.Builder
	put := func(format string, args ...any) { fmt.Fprintf(&b, format+"\n\n", args...) }
	put("# %s", code)
	if told := facts["what users are told"]; told != "" {
		put("%s.", strings.TrimSuffix(strings.ToUpper(told[:1])+told[1:], "."))
		put("A run that closes by it has `%s` as `code` of its `close`, and the commands give it as `fault`. "+
			"Whose it is: **%s**.", code, facts["whose"])
		if facts["paid"] == "yes" {
			put("What was reserved for the model call counts as used in full, since the provider may want it paid.")
		}
	} else {
		put("%s", facts[head[len(head)-1]])
		put("A request that is refused with it has `%s` in `error.data.code`, and %s in `error.code`.", code, facts["number"])
	}
	put("## May the same work later")
	if facts["again?"] == "yes" || facts["again"] == "yes" {
		put("Yes: it is `retryable`. Wait as long as `retry_after_ms` says, where it is there, and longer each time; " +
			"with the same idempotency key nothing is done twice.")
	} else {
		put("Not by itself: something has to be changed first. A client should not try again.")
	}
	put("All codes: [errors](/docs/errors).")
	return []byte(b.String())
}
