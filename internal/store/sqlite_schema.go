package store

import (
	"context"
	"errors"
	"fmt"

	"github.com/writ-run/writ/internal/journal"
)

// applicationID marks our files: "writ" in the SQLite header, where file(1) shows it.
const applicationID = 0x77726974

var errNotStore error = damagedError{errors.New(
	"the file is not a writ store; choose another path, or restore it from a backup if it was one")}

// migrations are applied in order, each in one transaction with its row in the table of the same name, so that one
// that was cut short starts over. A released migration is never changed.
var migrations = []string{`
CREATE TABLE meta (key TEXT PRIMARY KEY, value TEXT NOT NULL) WITHOUT ROWID;

-- Rowid tables under a unique index keep large rows out of the index.
CREATE TABLE blocks (id INTEGER PRIMARY KEY, cid BLOB NOT NULL UNIQUE, data BLOB NOT NULL);

-- Apart from blocks, so that deleting a row erases a leaf and leaves its ciphertext in place.
CREATE TABLE leaves (cid BLOB PRIMARY KEY, key BLOB NOT NULL CHECK (length(key) = 32)) WITHOUT ROWID;

CREATE TABLE sessions (
	id INTEGER PRIMARY KEY, cid BLOB NOT NULL UNIQUE, account BLOB NOT NULL, chain INTEGER NOT NULL, key TEXT NOT NULL,
	agent TEXT NOT NULL, opened INTEGER NOT NULL, expires INTEGER NOT NULL, revoked INTEGER NOT NULL,
	message BLOB NOT NULL, sig BLOB NOT NULL);
CREATE INDEX sessions_account ON sessions (account, opened);

CREATE TABLE runs (
	id INTEGER PRIMARY KEY, cid BLOB NOT NULL UNIQUE, session INTEGER NOT NULL REFERENCES sessions (id),
	account BLOB NOT NULL, agent TEXT NOT NULL, opened INTEGER NOT NULL, key TEXT, hash BLOB NOT NULL,
	steps INTEGER NOT NULL, last BLOB NOT NULL, head BLOB NOT NULL, status TEXT NOT NULL,
	closed INTEGER NOT NULL DEFAULT 0, owner TEXT NOT NULL, until INTEGER NOT NULL, fence INTEGER NOT NULL,
	UNIQUE (session, key));
CREATE INDEX runs_account ON runs (account, opened);
CREATE INDEX runs_opened ON runs (opened);
CREATE INDEX runs_unfinished ON runs (opened) WHERE closed = 0;

CREATE TABLE steps (
	run INTEGER NOT NULL REFERENCES runs (id), seq INTEGER NOT NULL, cid BLOB NOT NULL,
	PRIMARY KEY (run, seq)) WITHOUT ROWID;

-- Amounts are 32 bytes, big-endian, in smallest units.
CREATE TABLE ledgers (
	key TEXT PRIMARY KEY, symbol TEXT NOT NULL, decimals INTEGER NOT NULL,
	spent BLOB NOT NULL CHECK (length(spent) = 32), reserved BLOB NOT NULL CHECK (length(reserved) = 32)) WITHOUT ROWID;
-- Reservations, by the effect that they belong to.
CREATE TABLE holds (
	ledger TEXT NOT NULL REFERENCES ledgers (key), run INTEGER NOT NULL REFERENCES runs (id),
	seq INTEGER NOT NULL, idx INTEGER NOT NULL, amount BLOB NOT NULL CHECK (length(amount) = 32),
	PRIMARY KEY (ledger, run, seq, idx)) WITHOUT ROWID;

CREATE TABLE tx_nonces (
	account TEXT NOT NULL, nonce INTEGER NOT NULL, run INTEGER NOT NULL REFERENCES runs (id),
	PRIMARY KEY (account, nonce)) WITHOUT ROWID;

CREATE TABLE nonces (nonce TEXT PRIMARY KEY, data BLOB NOT NULL, expires INTEGER NOT NULL) WITHOUT ROWID;
CREATE INDEX nonces_expires ON nonces (expires);
`, `
-- Which head of a run is at the Kubo node that records are pushed to.
CREATE TABLE pushed (run INTEGER PRIMARY KEY REFERENCES runs (id), head BLOB NOT NULL);
`, `
-- The transparency log's entries in their order: idx is the place. receipt is NULL until the log has published it, and
-- empty if it is not a head.
CREATE TABLE log (idx INTEGER PRIMARY KEY, cid BLOB NOT NULL UNIQUE, receipt BLOB);
CREATE INDEX log_unreceipted ON log (idx) WHERE receipt IS NULL;
INSERT INTO log (idx, cid) SELECT row_number() OVER (ORDER BY id) - 1, head FROM runs WHERE length(head) > 0;
`, `
-- Leaves that end with their run. Of one that is withheld (held) the ciphertext is here and not among the blocks; its
-- row stays when the ciphertext is deleted, so that withheld can be told from lost.
CREATE TABLE fleeting (cid BLOB PRIMARY KEY, run INTEGER NOT NULL, held INTEGER NOT NULL, data BLOB) WITHOUT ROWID;
CREATE INDEX fleeting_run ON fleeting (run);
`, `
ALTER TABLE sessions ADD COLUMN used INTEGER NOT NULL DEFAULT 0;
ALTER TABLE sessions ADD COLUMN revocation BLOB NOT NULL DEFAULT x'';
`, `
-- How the wallet's signature was checked; accounts with a key were the only ones before.
ALTER TABLE sessions ADD COLUMN method TEXT NOT NULL DEFAULT 'eoa';
`, `
-- What was cut off the damaged ends of runs, as it was found: data is NULL if nothing was there. Of a run that was cut,
-- cut says when.
CREATE TABLE cuts (run INTEGER NOT NULL REFERENCES runs (id), seq INTEGER NOT NULL, cid BLOB NOT NULL, data BLOB,
	at INTEGER NOT NULL);
CREATE INDEX cuts_run ON cuts (run);
ALTER TABLE runs ADD COLUMN cut INTEGER NOT NULL DEFAULT 0;
-- A reservation (a row of holds) that has ended is kept until its run closes: by which step, and how much of it was
-- used.
ALTER TABLE holds ADD COLUMN settled INTEGER;
ALTER TABLE holds ADD COLUMN used BLOB;
CREATE INDEX holds_run ON holds (run);
`, `
-- When a run has ended, and when its payloads were erased since their time was over. Runs that had ended before this
-- was noted count from now.
ALTER TABLE runs ADD COLUMN ended INTEGER NOT NULL DEFAULT 0;
ALTER TABLE runs ADD COLUMN swept INTEGER NOT NULL DEFAULT 0;
UPDATE runs SET ended = CAST(strftime('%s', 'now') AS INTEGER) * 1000 WHERE closed = 1;
CREATE INDEX runs_ended ON runs (ended) WHERE closed = 1 AND swept = 0;
-- Rows are never deleted. Of run and account one is NULL.
CREATE TABLE legal_holds (id INTEGER PRIMARY KEY, run BLOB, account BLOB, at INTEGER NOT NULL, by TEXT NOT NULL,
	why TEXT NOT NULL,
	removed INTEGER NOT NULL DEFAULT 0, removed_by TEXT NOT NULL DEFAULT '', released TEXT NOT NULL DEFAULT '');
`, `
-- The transactions that anchor the log on a chain, each from before it is first sent. block is 0 until it is mined.
CREATE TABLE anchors (
	id INTEGER PRIMARY KEY, hash BLOB NOT NULL UNIQUE, slot INTEGER NOT NULL, nonce INTEGER NOT NULL,
	size INTEGER NOT NULL, root BLOB NOT NULL, closed BLOB NOT NULL, made INTEGER NOT NULL, tx BLOB NOT NULL,
	block INTEGER NOT NULL DEFAULT 0, time INTEGER NOT NULL DEFAULT 0, failed INTEGER NOT NULL DEFAULT 0);
`, `
-- Delegations that were ended by themselves, and by which record.
CREATE TABLE revoked_delegations (cid BLOB PRIMARY KEY, at INTEGER NOT NULL, revocation BLOB NOT NULL) WITHOUT ROWID;
`, `
-- How many groups of writes there were since this is counted, and one more. The mark beside the file says the same.
INSERT INTO meta VALUES ('writes', '1');
`, `
-- Those that are over are passed by without a look at their rows.
CREATE INDEX sessions_open ON sessions (opened, expires) WHERE revoked = 0;
`, `
-- The open runs of one owner and of one session are found without a look at those of others.
CREATE INDEX runs_open_account ON runs (account, opened) WHERE closed = 0;
CREATE INDEX runs_open_session ON runs (session, opened) WHERE closed = 0;
`, `
-- What stands in the log of an entry: it does not name the CID. Entries of before have none.
ALTER TABLE log ADD COLUMN entry BLOB NOT NULL DEFAULT x'';
`, `
-- The leaves whose keys were deleted for good: no key of theirs is taken in again.
CREATE TABLE erased (cid BLOB PRIMARY KEY) WITHOUT ROWID;
`, `
-- The one process that keeps the store for itself, until when (ms UTC by the clock of the machine), and what it is for
-- the others on its machine; see holder.go.
CREATE TABLE holder (one INTEGER PRIMARY KEY CHECK (one = 1), owner TEXT NOT NULL, process TEXT NOT NULL,
	until INTEGER NOT NULL);
`, `
-- A hold is a legal hold and nothing else: the table of reservations, and the leaves that are withheld, say what they
-- are.
ALTER TABLE holds RENAME TO reservations;
DROP INDEX holds_run;
CREATE INDEX reservations_run ON reservations (run);
ALTER TABLE fleeting RENAME COLUMN held TO withheld;
`, `
-- The epochs of the log after its first, each with the signed statement that began it.
CREATE TABLE epochs (n INTEGER PRIMARY KEY, vkey TEXT NOT NULL, statement BLOB NOT NULL, at INTEGER NOT NULL);
-- What was sent between a backup and its restoration (at): no recipient or symbol is all of them.
CREATE TABLE restored (at INTEGER NOT NULL, recipient TEXT NOT NULL, symbol TEXT NOT NULL, decimals INTEGER NOT NULL,
	amount BLOB NOT NULL CHECK (length(amount) = 32));
`, `
-- Which run is the newest of a thread, and how many it has. The names are their owner's, and stand in no record that is
-- not sealed.
CREATE TABLE threads (
	id INTEGER PRIMARY KEY, owner TEXT NOT NULL, agent TEXT NOT NULL, name TEXT NOT NULL,
	run INTEGER NOT NULL REFERENCES runs (id), runs INTEGER NOT NULL, UNIQUE (owner, agent, name));
`, `
-- What the client that opened a session calls itself.
ALTER TABLE sessions ADD COLUMN device TEXT NOT NULL DEFAULT '';
`, `
-- What the ledgers have counted for a call (seq, idx) of which it is not known whether it happened, since which step. A
-- row goes when the operator says what came of it.
CREATE TABLE doubts (
	run INTEGER NOT NULL REFERENCES runs (id), seq INTEGER NOT NULL, idx INTEGER NOT NULL, ledger TEXT NOT NULL,
	amount BLOB NOT NULL CHECK (length(amount) = 32), step INTEGER NOT NULL, PRIMARY KEY (run, seq, idx, ledger)) WITHOUT ROWID;
`, `
-- Under which hash somebody says that a call (seq, idx) which the user's own wallet is to send went out.
CREATE TABLE wallet_sent (
	run INTEGER NOT NULL REFERENCES runs (id), seq INTEGER NOT NULL, idx INTEGER NOT NULL, hash TEXT NOT NULL,
	PRIMARY KEY (run, seq, idx)) WITHOUT ROWID;
`, `
-- An idempotency key is looked up among the runs of its owner.
CREATE INDEX runs_account_key ON runs (account, key) WHERE key IS NOT NULL;
-- What counts until an approval is not given back, since an approval may have ended its count already.
DELETE FROM doubts WHERE ledger LIKE '%/grant/unasked^_%' ESCAPE '^'
	OR ledger IN (SELECT replace(key, '+asked', '') FROM ledgers WHERE key LIKE '%+asked%');
`}

// migrate makes the schema, or brings an older one up to date, and returns the store's epoch.
func migrate(c *sqliteConn, at int64) (epoch string, err error) {
	app, err := readInt(c, "PRAGMA application_id")
	if err != nil {
		return "", err
	}
	tables, err := readInt(c, "SELECT count(*) FROM sqlite_schema")
	if err != nil {
		return "", err
	}
	if app != applicationID && (app != 0 || tables != 0) {
		return "", errNotStore
	}
	version := 0
	if tables > 0 {
		if version, err = readVersion(c); err != nil {
			return "", err
		}
	}
	for ; version < len(migrations); version++ {
		if err := migrateTo(c, version+1, at); err != nil {
			return "", fmt.Errorf("bring the schema to version %d: %w", version+1, err)
		}
	}
	return readOne(context.Background(), c, func(scan scanner) (s string, err error) { return s, scan(&s) },
		"SELECT value FROM meta WHERE key = 'epoch'")
}

// readVersion reads the version of a schema, and refuses one that this program does not know.
func readVersion(c *sqliteConn) (version int, err error) {
	version, err = readInt(c, "SELECT coalesce(max(version), 0) FROM migrations")
	if err == nil && version > len(migrations) {
		err = fmt.Errorf("%w: its schema is %d and this one knows %d; update writ",
			journal.ErrNewer, version, len(migrations))
	}
	return version, err
}

func readInt(c *sqliteConn, query string) (int, error) {
	return readOne(context.Background(), c, func(scan scanner) (n int, err error) { return n, scan(&n) }, query)
}

// migrateTo brings a schema from the version before to this one.
func migrateTo(c *sqliteConn, version int, at int64) error {
	if err := c.runScript("BEGIN IMMEDIATE"); err != nil {
		return err
	}
	err := applyMigration(c, version, at)
	if err == nil {
		err = c.runScript("COMMIT")
	}
	if err != nil {
		_ = c.runScript("ROLLBACK") // an error if SQLite has rolled back by itself
	}
	return err
}

func applyMigration(c *sqliteConn, version int, at int64) error {
	if version == 1 {
		first := fmt.Sprintf("PRAGMA application_id = %d; "+
			"CREATE TABLE migrations (version INTEGER PRIMARY KEY, at INTEGER NOT NULL)", applicationID)
		if err := c.runScript(first); err != nil {
			return err
		}
	}
	if err := c.runScript(migrations[version-1]); err != nil {
		return err
	}
	if version == 1 {
		if _, err := c.exec("INSERT INTO meta VALUES ('epoch', ?)", newEpoch()); err != nil {
			return err
		}
	}
	_, err := c.exec("INSERT INTO migrations VALUES (?, ?)", version, at)
	return err
}
