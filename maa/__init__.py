"""maa, a mail access agent: POP3 and IMAP4 over the mailboxes that an MDA fills.

Layers; imports go down only, and siblings do not import each other (`make lint` proves it):

    cli | service     configuration, listeners, TLS, the demo, metrics          Twisted
    transport         sockets, threads, timeouts, pokes                         Twisted
    imap | pop3       octets to commands, commands to answers                   no sockets
    store | auth      mailboxes and their index | who may log in                may block
    audit             who came in, and who deleted what
    message           numbers, flags, octets, headers, MIME structure           pure
    conversation      what a session may ask of the transport
    user              who is logged in
    quirks            what single clients need
    limits            how much mail there is, and may be
    networks          addresses of clients

The way of a FETCH, from socket to file and back:

1. `transport.pump.Pump.dataReceived` feeds octets to the session and takes its steps.
2. `imap.session.Session.steps` frames them (`imap.frames`), finds the command's row in
   `imap.table.COMMANDS`, has it parsed (`imap.grammar`, `imap.fetch_items`) and calls its
   handler.
3. `imap.fetch.fetch` is a generator: it names messages by the session's `store.view.View`,
   answers what memory knows, says SLOW before it reads the rest through
   `store.mailbox.Mailbox` (files by `store.maildir` or `store.mbox`, remembered values by
   `store.cache`), and
   yields lines in pieces.
4. `Pump` writes the pieces and takes the next only when the client has room for it.

The way of a delivery: an MDA renames a file into `new/`; `store.watch` hears of it and marks
the mailbox; `transport.pokes` has it synced on a thread (`store.reconcile` says what is new,
`store.sqlite_index` commits its UID); the mailbox wakes the sessions that IDLE, and each refreshes
its view and tells its client.

Read first: `conversation` (the contract between sessions and transport), `store.mailbox` (the
order of writes) and `imap.session`. docs/architecture.md has the decisions.
"""

__version__ = "0.1.0"
