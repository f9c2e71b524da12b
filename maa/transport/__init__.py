"""The async boundary: sockets, threads, timers and pokes around the plain sessions.

`pump` drives one conversation over one connection; `sessions` is what all connections of a
process share; `lanes` are the worker threads, `wheel` the timeouts, `pokes` the way from
inotify to sessions; `imap` and `pop3` tie a protocol's session to the pump.
"""
