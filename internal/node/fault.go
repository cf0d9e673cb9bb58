package node

import (
	"context"
	"errors"
	"fmt"
	"io/fs"
	"syscall"

	"github.com/writ-run/writ/internal/datadir"
	"github.com/writ-run/writ/policies"
)

// A Kind says whose it is to mend a fault. It goes over the wire in the answer to an order.
type Kind string

// The kinds of faults.
const (
	Settings    Kind = "settings"    // a setting, or a file that one names
	Damaged     Kind = "damaged"     // what the data folder holds is not what was written there
	Unsigned    Kind = "unsigned"    // an order that this server's operator has not given
	Unreachable Kind = "unreachable" // a server that does not answer, or not in time
	Internal    Kind = "internal"    // this program, or the machine
)

// A Fault says why a node was not opened or reloaded. Its text is one sentence with what to do next; it may hold text
// of files, as it was found there.
type Fault struct {
	Kind Kind
	Code string // for programs; never changes its meaning
	Says string
}

func (f *Fault) Error() string { return f.Says }

func faultf(k Kind, code, format string, args ...any) *Fault {
	return &Fault{k, code, fmt.Sprintf(format, args...)}
}

// badSetting is the fault of a setting as such, and badUse of what was asked for.
func badSetting(format string, args ...any) *Fault {
	return faultf(Settings, "config", format, args...)
}
func badUse(format string, args ...any) *Fault { return faultf(Settings, "usage", format, args...) }

// faultOf classifies what a reload ended with.
func faultOf(err error) *Fault {
	if f, ok := errors.AsType[*Fault](err); ok {
		return f
	}
	if _, ok := errors.AsType[*policies.LoadError](err); ok {
		return faultf(Settings, "policy", "%s", err)
	}
	if e, ok := errors.AsType[*datadir.UseError](err); ok && e.Damaged {
		return faultf(Damaged, "store", "%s", e)
	} else if ok {
		return badUse("%s", e)
	}
	switch {
	case errors.Is(err, fs.ErrNotExist), errors.Is(err, fs.ErrPermission), errors.Is(err, syscall.EISDIR):
		return faultf(Settings, "file", "%s", err)
	case errors.Is(err, context.DeadlineExceeded):
		return faultf(Unreachable, "timeout", "%s; try again, or give more time", err)
	}
	return faultf(Internal, "internal", "%s", err)
}
