// Package crash holds no code. Its test kills a real process at random moments, while it runs many agents whose heads
// are logged, and tears what it left on the disk; after each it looks for every step and head that was acknowledged.
//
//	make crash TRIALS=1000
package crash
