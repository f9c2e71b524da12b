"""Mailboxes: what an MDA wrote, and the sidecar index that remembers UIDs, flags and more.

A *maildrop* (`maildir`) is the MDA's: its message files are never changed, only renamed. An
*index* (`sqlite`) is ours: it says which UID belongs to which file and which flags it has. A
`Mailbox` joins the two; `reconcile` is the pure function that says what one lacks of the
other. Its state is one immutable `Snapshot`, shared by every session; a `View` is one
session's own numbering over it. `Account` knows a user's mailboxes, `Accounts` the users.

Locks and threads
-----------------
Whatever only reads memory may be called on the reactor thread: `opened`, `fresh`, `snapshot`,
`View.refresh`. Everything else may block and is called on worker threads, where it takes the
account's lock (one writer at a time) and the user's file-system identity. Snapshots are
replaced, never changed, so readers need no lock.
"""
