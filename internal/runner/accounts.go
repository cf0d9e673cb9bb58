package runner

import "sync"

// chainAccounts lets one run at a time sign with an account on a chain, so that two do not take one nonce.
type chainAccounts struct {
	mu    sync.Mutex             // guards locks
	locks map[string]*sync.Mutex // by CAIP-10
}

// lockAccount waits until no other run signs with the account, and returns what lets the next one.
func (c *chainAccounts) lockAccount(account string) (unlock func()) {
	c.mu.Lock()
	l := c.locks[account]
	if l == nil {
		l = new(sync.Mutex)
		c.locks[account] = l
	}
	c.mu.Unlock()
	l.Lock()
	return l.Unlock
}
