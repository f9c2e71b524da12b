"""Who may log in: credential sources, asked in order, and what they answer.

`credentials.Authenticator` is what the protocols use: `remembered` answers from memory, so that
a client which logs in again and again costs no password hash and no thread; `check` asks the
sources (`password_file`, `saslauthd`) and may block. `mechanisms` are the SASL dialogues, sans
I/O. `errors` are neutral facts; each protocol has its own table of answers for them.
"""
