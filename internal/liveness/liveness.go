// Package liveness names this process, and says of a process that was named whether it is alive.
package liveness

import (
	"fmt"
	"os"
	"strconv"
)

// A Word is what can be said of a process that was named.
type Word int

// Words about a process.
const (
	Unknown Word = iota // it may be on another machine or in another container
	Alive
	Dead
)

// Of looks for the process that [Name] has named. Only one that this process could see is known to be dead.
func Of(name string) Word {
	place, id := findPlace(), ""
	if place == "" || len(name) <= len(place) || name[:len(place)] != place || name[len(place)] != ' ' {
		return Unknown
	}
	id = name[len(place)+1:]
	var pid int
	if _, err := fmt.Sscanf(id, "%d", &pid); err != nil {
		return Unknown
	}
	if id != strconv.Itoa(pid)+" "+findStart(pid) {
		return Dead
	}
	return Alive
}

// Name names this process: its machine since when that was started, its namespace, its number and its start. It is
// empty where that is not known.
func Name() string {
	place := findPlace()
	if place == "" {
		return ""
	}
	return place + " " + strconv.Itoa(os.Getpid()) + " " + findStart(os.Getpid())
}
