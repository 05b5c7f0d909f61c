"""Items that a thread makes ahead of their use."""

import threading

import pytest

from lfi_mflow.data.prefetch import prefetched


def _numbers(made, stop=10):
    for number in range(stop):
        made.append((number, threading.current_thread() is threading.main_thread()))
        yield number


def test_all_items_come_in_order_from_another_thread():
    made = []
    assert list(prefetched(_numbers(made), depth=3)) == list(range(10))
    assert made == [(number, False) for number in range(10)]
    assert list(prefetched([])) == []


@pytest.mark.parametrize("depth", [1, 4])
def test_no_more_items_are_made_than_may_wait(depth):
    made = []
    items = prefetched(_numbers(made, 100), depth)
    assert [next(items) for _ in range(5)] == [0, 1, 2, 3, 4]
    items.close()  # waits for the thread
    assert len(made) <= 5 + depth
    assert not [t for t in threading.enumerate() if t.name.startswith("prefetch")]


def test_an_error_comes_where_its_item_would_have_come():
    def broken():
        yield 1
        raise ValueError("no more")

    items = prefetched(broken(), depth=2)
    assert next(items) == 1
    with pytest.raises(ValueError, match="no more"):
        next(items)
    assert not [t for t in threading.enumerate() if t.name.startswith("prefetch")]


def test_items_are_forgotten_once_they_are_used():
    class Item:
        alive = 0

        def __init__(self):
            Item.alive += 1

        def __del__(self):
            Item.alive -= 1

    most = 0
    for item in prefetched((Item() for _ in range(50)), depth=1):
        most = max(most, Item.alive)
        del item
    assert most <= 3
    assert Item.alive == 0
