"""IMAPClient and aioimaplib, the libraries that scripts and programs are made with."""

from __future__ import annotations

import asyncio
import ssl
import time

import imapclient
from aioimaplib import aioimaplib

from . import messages
from .clients import imap, trust
from .messages import as_sent
from .server import Server
from .users import User

PUSHED_SECONDS = 5.0
"""For a loaded machine; how fast a push is, the benchmark measures."""


def test_imapclient_a_users_round(server: Server, user: User) -> None:
    for message in messages.ORDINARY:
        user.deliver(message)
    with imapclient.IMAPClient(
        "localhost", server.imaps, ssl_context=trust(server.certificate), timeout=30
    ) as client:
        client.login(user.name, user.password)
        assert client.id_({"name": "IMAPClient"})[0][:2] == (b"name", b"maa")
        uses = {flag: name for flags, _, name in client.list_folders() for flag in flags}
        assert {uses[use] for use in (b"\\Sent", b"\\Trash")} == {"Sent", "Trash"}
        assert client.namespace().personal == (("", "."),)

        assert client.select_folder("INBOX")[b"EXISTS"] == len(messages.ORDINARY)
        uids = client.search(["UNSEEN"])
        found = client.fetch(uids, ["BODY.PEEK[]", "ENVELOPE", "BODYSTRUCTURE", "INTERNALDATE"])
        assert sorted(found[uid][b"BODY[]"] for uid in uids) == sorted(
            map(as_sent, messages.ORDINARY)
        )
        assert {found[uid][b"ENVELOPE"].message_id for uid in uids} >= {b"<plain@example.org>"}
        (attached,) = (uid for uid in uids if found[uid][b"BODYSTRUCTURE"].is_multipart)
        assert found[attached][b"BODYSTRUCTURE"][0][1][8] == (
            b"attachment",
            (b"filename", b"data.bin"),
        )

        client.add_flags(uids[:2], [imapclient.SEEN, "$label1"])
        assert client.search(["KEYWORD", "$label1"]) == uids[:2]
        assert client.search(["SUBJECT", "Grüße"], charset="UTF-8") != []

        client.create_folder("Ablage.Köln")
        client.move(uids[:1], "Ablage.Köln")
        assert uids[0] not in client.search()
        client.copy(uids[1:2], "Ablage.Köln")
        assert client.folder_status("Ablage.Köln", ["MESSAGES", "UNSEEN"]) == {
            b"MESSAGES": 2,
            b"UNSEEN": 0,
        }
        client.append("Ablage.Köln", as_sent(messages.PLAIN), [imapclient.DRAFT])
        client.rename_folder("Ablage.Köln", "Köln")
        client.subscribe_folder("Köln")
        assert "Köln" in [name for _, _, name in client.list_sub_folders()]

        client.idle()
        user.deliver(messages.numbered(7))
        begun, pushed = time.monotonic(), []
        while not pushed and time.monotonic() - begun < PUSHED_SECONDS:
            pushed = client.idle_check(timeout=1)
        client.idle_done()
        assert (len(messages.ORDINARY), b"EXISTS") in pushed

        client.delete_messages(uids[1:])
        client.expunge()
        assert len(client.search()) == 1
        client.delete_folder("Köln")
        assert not client.folder_exists("Köln")
        # What one session has done the next one finds, and has nothing to do.
        before = user.contents()
    session = imap(server, user)
    assert session.select()[1] == [b"1"]
    assert user.contents() == before
    session.logout()


def test_aioimaplib_hears_of_mail_while_it_idles(server: Server, user: User) -> None:
    user.deliver(messages.PLAIN)
    asyncio.run(_aio_round(server, user, trust(server.certificate)))
    assert user.contents() == [messages.numbered(2)]


async def _aio_round(server: Server, user: User, context: ssl.SSLContext) -> None:
    client = aioimaplib.IMAP4_SSL("localhost", server.imaps, timeout=30, ssl_context=context)
    await client.wait_hello_from_server()
    assert (await client.login(user.name, user.password)).result == "OK"
    assert (await client.select("INBOX")).result == "OK"
    answer = await client.uid("fetch", "1:*", "(UID FLAGS BODY.PEEK[])")
    assert bytes(answer.lines[1]) == as_sent(messages.PLAIN)
    idle = await client.idle_start(timeout=60)
    user.deliver(messages.numbered(2))
    assert b"2 EXISTS" in await client.wait_server_push(PUSHED_SECONDS)
    client.idle_done()
    await asyncio.wait_for(idle, 10)
    assert (await client.store("1", "+FLAGS", r"(\Deleted)")).result == "OK"
    assert (await client.expunge()).result == "OK"
    await client.logout()
