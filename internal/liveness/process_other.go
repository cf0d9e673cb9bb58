//go:build !linux

package liveness

// Elsewhere a holder that was killed is waited for.
func findPlace() string    { return "" }
func findStart(int) string { return "" }
