// Package agent performs what the loop decides.
package agent
