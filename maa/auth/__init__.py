"""Who may log in: credential sources, the SASL mechanisms, and what they answer.

`admission.Admission` is what the protocols use, for a name with a password and for a mechanism:
its generators yield what the transport carries out, ask for the client's lines, and end with a
`User` or an error. `sasl` plays a mechanism (base64, initial responses, cancelling); `mechanisms`
is the table of all of them.

`credentials.Authenticator` answers for the sources (`password_file`, `saslauthd`): `remembered`
from memory, so that a client which logs in again and again costs no password hash and no thread;
`check` asks them and may block. Before it does, `names` turns a login name into an account's, and
`app_passwords` is looked at; `restrictions` and `penalties` have the last word. `hashes`, `schemes`
and `verifiers` know stored passwords. `errors` are neutral facts; each protocol has its own table
of answers for them.
"""
