"""Which tables `index.db` has: `schema.sql`, and the way there from every schema before.

What a user's index holds cannot be derived again, so there is always a way forward, and an index
of a newer maa is left as it is.
"""

from __future__ import annotations

import logging
import secrets
from importlib import resources
from pathlib import Path

from maa.store.errors import Damaged, NewerIndex
from maa.store.sqlite import Database

SCHEMA = 3
MIGRATIONS: dict[int, str] = {
    1: """
ALTER TABLE mailbox ADD COLUMN forgotten_modseq INTEGER NOT NULL DEFAULT 0;
ALTER TABLE message ADD COLUMN saved INTEGER NOT NULL DEFAULT 0;
ALTER TABLE message ADD COLUMN email_id TEXT;
UPDATE message SET saved = CAST(strftime('%s', 'now') AS INTEGER);
""",
    2: """
ALTER TABLE mailbox ADD COLUMN mark INTEGER;
CREATE TABLE uidl (
    mailbox INTEGER NOT NULL, uid INTEGER NOT NULL, uidl BLOB NOT NULL,
    PRIMARY KEY (mailbox, uid), UNIQUE (mailbox, uidl)
) WITHOUT ROWID;
""",
}
"""By schema: the statements that make the next one of it. None is ever taken out."""

# Read now: later it may be asked for with the identity of a user who may not read our files.
_SCHEMA_SQL = resources.files("maa.store").joinpath("schema.sql").read_text("utf-8")

_log = logging.getLogger(__name__)


def migrate(database: Database) -> None:
    """Create the schema, or bring it forward; NewerIndex, Unavailable."""
    if not database.rows("SELECT 1 FROM sqlite_master WHERE name = 'setting'"):
        generation = secrets.token_hex(8)
        # One script, one transaction: a crash leaves an empty file or a whole schema.
        database.script(
            f"BEGIN IMMEDIATE;\n{_SCHEMA_SQL}\n"
            f"INSERT INTO setting VALUES ('schema', '{SCHEMA}');\n"
            f"INSERT INTO setting VALUES ('generation', '{generation}');\n"
            "INSERT INTO flag_set VALUES (0, '');\nCOMMIT;"
        )
    found = checked_schema(database)
    while found in MIGRATIONS and found < SCHEMA:
        _log.info("index %s: schema %d becomes %d", database.path, found, found + 1)
        # A step and its number in one transaction: a crash leaves one schema or the next.
        database.script(
            f"BEGIN IMMEDIATE;\n{MIGRATIONS[found]}\n"
            f"UPDATE setting SET value = '{found + 1}' WHERE key = 'schema';\nCOMMIT;"
        )
        found += 1


def checked_schema(database: Database) -> int:
    """The schema of an index, which this maa can bring forward; NewerIndex, Unavailable."""
    rows = database.rows("SELECT value FROM setting WHERE key = 'schema'")
    text = str(rows[0][0]) if rows else ""
    found = int(text) if text.isdecimal() else 0
    if found > SCHEMA:
        _log.error(
            "index %s has schema %d, and this maa knows up to %d: it was written by a newer "
            "maa, and is left as it is; install that again, or bring back a backup",
            *(database.path, found, SCHEMA),
        )
        raise NewerIndex(f"{database.path} has schema {found}, this maa knows {SCHEMA}")
    if not found:
        raise Damaged(f"{database.path} does not say which schema it has")
    return found


def name_anew(path: Path) -> None:
    """Give an index file a generation of its own: to the beacon it is another one than before."""
    database = Database(path, "FULL")
    try:
        with database.transaction() as connection:
            connection.execute(
                "UPDATE setting SET value = ? WHERE key = 'generation'", (secrets.token_hex(8),)
            )
    finally:
        database.close()
