"""maa.auth.saslauthd against small servers that answer rightly, wrongly, late or never."""

from __future__ import annotations

import pwd
import socket
import struct
import threading
import time
from collections.abc import Callable, Iterator
from concurrent.futures import ThreadPoolExecutor
from pathlib import Path

import pytest

from maa.auth.errors import AuthUnavailable, BadCredentials
from maa.auth.saslauthd import Saslauthd
from maa.auth.source import Stored
from maa.user import User

Answer = Callable[[socket.socket], None]


class Server:
    """A Unix socket whose connections are answered, one after the other, by a function."""

    def __init__(self, path: Path) -> None:
        self.path = str(path)
        self.asked: list[tuple[bytes, ...]] = []
        self.answer: Answer = says(b"OK")
        self._socket = socket.socket(socket.AF_UNIX, socket.SOCK_STREAM)
        self._socket.bind(self.path)
        self._socket.listen(8)
        self._thread = threading.Thread(target=self._serve, daemon=True)
        self._thread.start()

    def _serve(self) -> None:
        while True:
            connection, _ = self._socket.accept()
            with connection:
                strings = []
                for _ in range(4):
                    head = connection.recv(2, socket.MSG_WAITALL)
                    if not head:
                        return
                    (length,) = struct.unpack(">H", head)
                    strings.append(connection.recv(length, socket.MSG_WAITALL) if length else b"")
                self.asked.append(tuple(strings))
                self.answer(connection)

    def close(self) -> None:
        with socket.socket(socket.AF_UNIX, socket.SOCK_STREAM) as last:
            last.connect(self.path)
        self._thread.join(10)
        self._socket.close()


def says(text: bytes, length: int | None = None) -> Answer:
    head = struct.pack(">H", len(text) if length is None else length)
    return lambda connection: connection.sendall(head + text)


@pytest.fixture
def server(tmp_path: Path) -> Iterator[Server]:
    server = Server(tmp_path / "mux")
    yield server
    server.close()


def test_R250_four_strings_behind_their_lengths(server: Server) -> None:
    user = Saslauthd(server.path).check("joe@example.org", b"s\xc3\xa9same", "imap")
    assert user == User("joe@example.org")
    assert server.asked == [(b"joe@example.org", b"s\xc3\xa9same", b"imap", b"")]


def test_the_realm_from_the_at_sign_or_fixed(server: Server) -> None:
    Saslauthd(server.path, "from-at-sign").check("joe@example.org", b"x", "pop")
    Saslauthd(server.path, "from-at-sign").check("joe", b"x", "pop")
    Saslauthd(server.path, "example.net").check("joe", b"x", "pop")
    assert server.asked == [
        (b"joe", b"x", b"pop", b"example.org"),
        (b"joe", b"x", b"pop", b""),
        (b"joe", b"x", b"pop", b"example.net"),
    ]


def test_a_system_user_brings_uid_gid_and_home(server: Server) -> None:
    known = pwd.getpwuid(1)
    user = Saslauthd(server.path).check(known.pw_name, b"x", "imap")
    assert user == User(known.pw_name, 1, known.pw_gid, known.pw_dir)
    assert Saslauthd(server.path).find(known.pw_name) == user
    assert Saslauthd(server.path).find("nobody.of.this.name") is None


def test_whom_the_system_does_not_know_nobody_vouches_for_unless_it_is_said(server: Server) -> None:
    known, root = pwd.getpwuid(1).pw_name, pwd.getpwuid(0).pw_name
    anybody = Saslauthd(server.path, vouched="anybody")
    assert Saslauthd(server.path).stored("nobody.of.this.name") is None
    assert anybody.stored("nobody.of.this.name") == Stored(User("nobody.of.this.name"))
    assert Saslauthd(server.path).stored(known) == anybody.stored(known) is not None
    assert anybody.stored(root) is anybody.find(root) is None
    with pytest.raises(BadCredentials):
        anybody.check(root, b"x", "imap")
    # By its own word there is such a user.
    assert Saslauthd(server.path).check("virtual", b"x", "imap") == User("virtual")


def test_R033_what_is_pretended_is_asked_and_the_answer_forgotten(server: Server) -> None:
    Saslauthd(server.path).pretend("joe", b"x", "pop")
    Saslauthd(server.path + "none").pretend("joe", b"x", "pop")
    Saslauthd(server.path).pretend("joe\n", b"x", "pop")
    assert server.asked == [(b"joe", b"x", b"pop", b"")]


@pytest.mark.parametrize("text", [b"OK", b"OK welcome", b"OK\0"])
def test_ok_in_all_its_forms(server: Server, text: bytes) -> None:
    server.answer = says(text)
    assert Saslauthd(server.path).check("joe", b"x", "imap") == User("joe")


@pytest.mark.parametrize("text", [b"NO", b"NO authentication failed", b"NO\0"])
def test_no_leaves_the_user_to_the_next_source(server: Server, text: bytes) -> None:
    server.answer = says(text)
    assert Saslauthd(server.path).check("joe", b"x", "imap") is None


@pytest.mark.parametrize(
    "answer",
    [
        says(b""),
        says(b"O"),
        says(b"ok"),
        says(b"OKAY"),
        says(b"YES"),
        says(b"OK", 5),
        says(b"OK" + b"x" * 2000),
        says(b"", 65535),
        lambda connection: None,
        lambda connection: connection.sendall(b"\0"),
    ],
)
def test_R251_a_strange_reply_is_no_decision(server: Server, answer: Answer) -> None:
    server.answer = answer
    with pytest.raises(AuthUnavailable):
        Saslauthd(server.path).check("joe", b"x", "imap")


def test_R250_a_silent_or_dripping_server_is_given_up(server: Server) -> None:
    released = threading.Event()

    def drips(connection: socket.socket) -> None:
        for octet in struct.pack(">H", 1000) + b"OK ":
            connection.sendall(bytes((octet,)))
            time.sleep(0.05)
        released.wait(10)

    server.answer = drips
    begun = time.monotonic()
    with pytest.raises(AuthUnavailable, match="time"):
        Saslauthd(server.path, silent_seconds=0.3).check("joe", b"x", "imap")
    assert 0.2 < time.monotonic() - begun < 5
    released.set()


def test_R250_an_answer_may_take_long_while_others_are_answered(server: Server) -> None:
    waiting: list[socket.socket] = []

    def answer(connection: socket.socket) -> None:
        if server.asked[-1][0] == b"late":
            waiting.append(connection.dup())
        else:
            says(b"NO")(connection)

    server.answer = answer
    source = Saslauthd(server.path, silent_seconds=0.6)
    with ThreadPoolExecutor(1) as pool:
        late = pool.submit(source.check, "late", b"x", "imap")
        for _ in range(8):
            time.sleep(0.2)
            assert source.check("joe", b"x", "imap") is None
        assert not late.done()
        says(b"OK")(waiting[0])
        assert late.result() == User("late")
        hangs = pool.submit(source.check, "late", b"x", "imap")
        assert isinstance(hangs.exception(10), AuthUnavailable)
    for connection in waiting:
        connection.close()


def test_R250_while_it_hangs_one_login_at_a_time_waits_for_it(server: Server) -> None:
    stuck: list[socket.socket] = []
    server.answer = lambda connection: stuck.append(connection.dup())
    source = Saslauthd(server.path, silent_seconds=0.5)

    def seconds() -> float:
        begun = time.monotonic()
        with pytest.raises(AuthUnavailable):
            source.check("joe", b"x", "imap")
        return time.monotonic() - begun

    assert seconds() >= 0.4
    assert max(seconds() for _ in range(20)) < 0.4
    assert len(server.asked) == 1
    time.sleep(0.5)
    with ThreadPoolExecutor(5) as pool:
        waits = sorted(pool.map(lambda _: seconds(), range(5)))
    assert waits[3] < 0.4 <= waits[4]
    server.answer = says(b"OK")
    time.sleep(0.5)
    assert source.check("joe", b"x", "imap") == User("joe")
    assert source.check("joe", b"x", "imap") == User("joe")
    for connection in stuck:
        connection.close()


def test_R250_a_full_queue_of_connections_is_waited_for_and_given_up(tmp_path: Path) -> None:
    path = str(tmp_path / "full")
    with socket.socket(socket.AF_UNIX, socket.SOCK_STREAM) as listening:
        listening.bind(path)
        listening.listen(0)
        waiting = [socket.socket(socket.AF_UNIX, socket.SOCK_STREAM) for _ in range(3)]
        for client in waiting:
            client.setblocking(False)
            client.connect_ex(path)
        begun = time.monotonic()
        with pytest.raises(AuthUnavailable, match="queue"):
            Saslauthd(path, silent_seconds=0.3).check("joe", b"x", "imap")
        assert 0.3 <= time.monotonic() - begun < 5

        def serve() -> None:
            time.sleep(0.2)
            for client in waiting:
                client.close()
            while True:
                connection, _ = listening.accept()
                with connection:
                    if connection.recv(1000):
                        says(b"OK")(connection)
                        return

        with ThreadPoolExecutor(1) as pool:
            served = pool.submit(serve)
            assert Saslauthd(path).check("joe", b"x", "imap") == User("joe")
            served.result(10)


def test_R251_no_socket_is_no_wrong_password(tmp_path: Path) -> None:
    with pytest.raises(AuthUnavailable, match="No such file"):
        Saslauthd(str(tmp_path / "none")).check("joe", b"x", "imap")
    (tmp_path / "file").write_text("")
    with pytest.raises(AuthUnavailable):
        Saslauthd(str(tmp_path / "file")).check("joe", b"x", "imap")


@pytest.mark.parametrize(
    ("name", "password"),
    [
        ("j" * 256, b"x"),
        ("joe", b"x" * 1025),
        ("joe", b"x" * 65538),
        ("joe\0ann", b"x"),
        ("joe", b"x\0y"),
        ("joe", b"x\r\ny"),
        ("joe\n", b"x"),
        ("", b"x"),
        ("@example.org", b"x"),
        ("joe@" + "x" * 256, b"x"),
    ],
)
def test_what_could_overflow_or_be_cut_is_never_sent(
    server: Server, name: str, password: bytes
) -> None:
    assert Saslauthd(server.path, "from-at-sign").check(name, password, "imap") is None
    assert server.asked == []
