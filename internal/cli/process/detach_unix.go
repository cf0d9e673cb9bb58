//go:build unix

package process

import (
	"os/exec"
	"syscall"
)

// detach keeps a terminal's signals from a child process.
func detach(cmd *exec.Cmd) { cmd.SysProcAttr = &syscall.SysProcAttr{Setpgid: true} }
