package cond

import "github.com/writ-run/writ/tools/arg"

// KindOf is the kind that conditions see of an argument; 0 for what is no value of theirs: an object, a list and
// opaque JSON.
func KindOf(k arg.Kind) Kind {
	switch k {
	case arg.String:
		return String
	case arg.Int:
		return Int
	case arg.Bool:
		return Bool
	case arg.Address:
		return Address
	case arg.Amount:
		return Amount
	case arg.Number:
		return Number
	}
	return 0
}

// ValueOf is an argument as conditions see it.
func ValueOf(a *arg.Value) Value {
	v := Value{Kind: KindOf(a.Kind)}
	switch v.Kind {
	case Bool:
		v.Bool = a.Bool
	case Int:
		v.Int = a.Int
	case String, Number:
		v.Text = a.Text
	case Address:
		v.Addr = a.Addr
	case Amount:
		v.Amount = a.Amount
	}
	return v
}
