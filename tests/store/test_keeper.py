"""What was used last stays alive."""

from __future__ import annotations

import weakref

from maa.store.keeper import Keeper


class Thing:
    """Something that can be freed."""


def test_the_one_used_longest_ago_is_let_go() -> None:
    keeper: Keeper[str, Thing] = Keeper(2)
    things = {name: Thing() for name in "abc"}
    alive = weakref.WeakValueDictionary(things)
    keeper.touch("a", things["a"])
    keeper.touch("b", things["b"])
    keeper.touch("a", things["a"])
    keeper.touch("c", things["c"])
    things.clear()
    assert set(alive) == {"a", "c"}
    keeper.drop("a")
    keeper.drop("a")
    assert set(alive) == {"c"}
    keeper.touch("c", Thing())
    assert set(alive) == set()
