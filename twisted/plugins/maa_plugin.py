"""Tells twistd that there is a `maa`; what it does is loaded only when it is asked for."""

from twisted.application.service import ServiceMaker

maa = ServiceMaker(
    "maa",
    "maa.service.twistd",
    "A mail access agent: POP3 and IMAP4 over the mailboxes that an MDA fills",
    "maa",
)
