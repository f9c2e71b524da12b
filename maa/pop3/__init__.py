"""POP3 (RFC 1939) with CAPA, TOP, UIDL, SASL and STLS: octets in, octets out, no sockets.

Read `session` first: it takes lines out of what was fed and runs one handler for each, found in
`table.COMMANDS`. Handlers are in `login` (AUTHORIZATION state) and `transaction`; what a session
knows of its mailbox is a `maildrop.Maildrop`, fixed when the user logs in; `sending` turns a
message into a multi-line answer.
"""
