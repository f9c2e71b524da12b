-- index.db: what cannot be derived again. Schema 1. See docs/on-disk-format.md.

CREATE TABLE setting (              -- facts about the account
    key   TEXT PRIMARY KEY,         -- 'schema', 'uidvalidity' (the last one given), 'generation', 'roles', 'renaming' (a journal)
    value TEXT NOT NULL
) WITHOUT ROWID;

CREATE TABLE mailbox (
    id             INTEGER PRIMARY KEY AUTOINCREMENT,   -- never used again (cache.db refers to it)
    name           TEXT NOT NULL UNIQUE,    -- Unicode, with the account's separator; 'INBOX' in capitals
    uidvalidity    INTEGER NOT NULL,        -- 32 bit, greater than that of any earlier mailbox
    uidnext        INTEGER NOT NULL,        -- greater than every UID ever given out
    highest_modseq INTEGER NOT NULL,        -- of the newest change
    first_recent   INTEGER NOT NULL,        -- lowest UID not yet claimed as \Recent
    special_use    TEXT                     -- '\Sent' ...; NULL: none
);

CREATE TABLE flag_set (             -- every combination of flags that ever occurred
    id    INTEGER PRIMARY KEY,
    flags TEXT NOT NULL UNIQUE      -- sorted, one blank between; '' for none
);

CREATE TABLE message (
    mailbox INTEGER NOT NULL,       -- mailbox.id
    uid     INTEGER NOT NULL,       -- 32 bit
    place   BLOB NOT NULL,          -- where the maildrop last had it: 'cur/NAME:2,FS', 'new/NAME', 'tmp/NAME' (unsettled)
    flag_id INTEGER NOT NULL,       -- flag_set.id: the flags clients see
    modseq  INTEGER NOT NULL,       -- of the last change a client can see
    PRIMARY KEY (mailbox, uid)
) WITHOUT ROWID;

CREATE TABLE expunged (             -- which UIDs a transaction removed (RFC 7162)
    mailbox INTEGER NOT NULL,       -- mailbox.id
    modseq  INTEGER NOT NULL,       -- of the transaction
    uids    TEXT NOT NULL,          -- a sequence-set, '3:7,9'
    at      INTEGER NOT NULL,       -- seconds since the epoch
    PRIMARY KEY (mailbox, modseq)
) WITHOUT ROWID;

CREATE TABLE subscription (
    name TEXT PRIMARY KEY           -- need not exist as a mailbox (RFC 3501 6.3.6)
) WITHOUT ROWID;
