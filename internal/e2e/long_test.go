package e2e

import (
	"encoding/json"
	"os"
	"strconv"
	"strings"
	"testing"
)

// A run of 10,000 steps is a list of which only what is in view is there, however one scrolls: rows are counted and not
// timed. WRIT_E2E_LONG=trace (make long) measures too, and says what it has measured.
func TestALongRun(t *testing.T) {
	if testing.Short() {
		t.Skip("it starts a server and a browser")
	}
	cmd := nodeOfConsole(t, "long.mjs")
	chromium := browser(t)
	r, _, _ := dev(t)
	const steps = 10_000
	cmd.Args = append(cmd.Args, r.URL, chromium, strconv.Itoa(steps), os.Getenv("WRIT_E2E_LONG"), os.Getenv("WRIT_E2E_PICTURES"))
	out, err := cmd.Output()
	if err != nil {
		t.Fatalf("%v: %.3000s", err, cmd.Stderr)
	}
	var got struct {
		Faults                []string
		Status                string
		Opened                float64 // ms
		Rows, Added, Elements int     // at most, in any frame
		Blank                 int     // frames in which the list was not filled
		InView, Denied        int
		End                   []string
		Replaced, Stuck       string
		Longest               struct{ Wall, CPU float64 } // ms, of one task
	}
	if err := json.Unmarshal(out, &got); err != nil {
		t.Fatal(err)
	}
	if len(got.Faults) > 0 || !strings.HasPrefix(got.Status, "10,001 lines of 10,000 steps.") {
		t.Errorf("the page says %q, and the browser complains of %q", got.Status, got.Faults)
	}
	if most := got.InView + 18; got.InView == 0 || got.Rows > most || got.Added > most || got.Elements > 1000 || got.Blank > 0 {
		t.Errorf("with %d rows in view, a frame had %d of them, %d new, of %d elements, and %d frames were not filled",
			got.InView, got.Rows, got.Added, got.Elements, got.Blank)
	}
	if strings.Join(got.End, "|") != "10001|10001|9999 Closed: answered" || got.Denied != 100 {
		t.Errorf("the end is %q, and %d calls were denied or are stuck", got.End, got.Denied)
	}
	if !strings.Contains(got.Replaced, "Sent again with higher fees") || !strings.Contains(got.Replaced, "the payment counts once") ||
		!strings.Contains(got.Stuck, "it offers 500 gwei for a unit of gas, and block 7 asked 812; what it would take is above") {
		t.Errorf("a replaced payment is told as %q, a stuck one as %q", got.Replaced, got.Stuck)
	}
	if os.Getenv("WRIT_E2E_LONG") != "" {
		t.Logf("opened in %.0f ms; while scrolling the longest task took %.1f ms, %.1f ms of it its own time", got.Opened,
			got.Longest.Wall, got.Longest.CPU)
	}
}
