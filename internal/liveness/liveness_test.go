package liveness

import (
	"os"
	"os/exec"
	"strconv"
	"strings"
	"testing"
)

// This process is alive, one that has ended is dead, also if its number is another's by now, and of one elsewhere
// nothing is known.
func TestAProcessIsKnownByItsName(t *testing.T) {
	me := Name()
	if me == "" {
		t.Skip("processes have no names on this system; of none anything is known")
	}
	place := findPlace()
	child := exec.Command(os.Args[0], "-test.run=^$")
	if err := child.Run(); err != nil {
		t.Fatal(err)
	}
	number := strconv.Itoa(os.Getpid())
	for name, want := range map[string]Word{
		me: Alive,
		place + " " + strconv.Itoa(child.Process.Pid) + " 1": Dead,
		place + " " + number + " 1":                          Dead, // another process had the number before
		strings.Replace(me, place, place+"x", 1):             Unknown,
		place:                                                Unknown,
		place + " none":                                      Unknown,
		"":                                                   Unknown,
	} {
		if got := Of(name); got != want {
			t.Errorf("%q: got %d, want %d", name, got, want)
		}
	}
}
