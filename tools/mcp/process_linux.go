package mcp

import (
	"os/exec"
	"syscall"

	"golang.org/x/sys/unix"
)

// isolate gives a process a group of its own, and has the system kill it when this process is gone.
func isolate(cmd *exec.Cmd) {
	cmd.SysProcAttr = &syscall.SysProcAttr{Setpgid: true, Pdeathsig: syscall.SIGKILL}
}

// killGroup kills a process and the children that are in its group.
func killGroup(pid int) { syscall.Kill(-pid, syscall.SIGKILL) }

// boundMemory bounds the data of a process, and of those that it starts from then on. The address space is not bounded:
// programs reserve much more of it than they use.
func boundMemory(pid int, bytes int64) error {
	l := &unix.Rlimit{Cur: uint64(bytes), Max: uint64(bytes)}
	return unix.Prlimit(pid, unix.RLIMIT_DATA, l, nil)
}
