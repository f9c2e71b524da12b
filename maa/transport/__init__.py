"""The async boundary: sockets, threads, timers and pokes around the plain sessions.

`pump` drives one conversation over one connection, whose octets `stream` has; `sessions` is what
all connections of a process share; `lanes` are the worker threads, `calls` their way back;
`wheel` has the timeouts, `pokes` is the way from inotify to sessions; `imap` and `pop3` tie a
protocol's session to the pump.
"""
