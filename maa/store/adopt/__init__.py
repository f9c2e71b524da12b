"""Adopting mailboxes that another server served: its numbers, keywords and subscriptions.

Clients fetch a message again when its number is another one: UIDVALIDITY and UID with IMAP, UIDL
with POP3. So all of these are taken from the old server's files (`gather` reads them by
`maa.store.foreign`), compared with what maa's own index has (`plan`, a pure function), and put
into the index, a mailbox a transaction (`apply`). The mail and the old server's files are only
read.
"""
