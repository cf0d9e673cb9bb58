package liveness

import (
	"os"
	"strconv"
	"strings"
)

// findPlace says where process numbers of this process mean what they mean here: the machine's start, and the
// namespace. It is empty if that cannot be read.
func findPlace() string {
	boot, err := os.ReadFile("/proc/sys/kernel/random/boot_id")
	if err != nil {
		return ""
	}
	space, err := os.Readlink("/proc/self/ns/pid")
	if err != nil {
		return ""
	}
	return strings.TrimSpace(string(boot)) + " " + space
}

// findStart returns when a process was started, in the machine's own count; empty if it is not there.
func findStart(pid int) string {
	b, err := os.ReadFile("/proc/" + strconv.Itoa(pid) + "/stat")
	if err != nil {
		return ""
	}
	// The name stands in parentheses and may hold anything; the start is the 20th field behind it.
	fields := strings.Fields(string(b)[strings.LastIndexByte(string(b), ')')+1:])
	if len(fields) < 20 || fields[0] == "Z" {
		return ""
	}
	return fields[19]
}
