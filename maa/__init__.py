"""maa, a mail access agent: POP3 and IMAP4 over the mailboxes that an MDA fills."""

__version__ = "0.1.0"
