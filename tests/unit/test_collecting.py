"""What lives long is looked through once. Each test is a process with garbage of its own."""

import subprocess
import sys

import pytest

BEGIN = """
import gc, weakref
from leaseholder import collecting

class Node:
    pass

def cycle():
    node = Node()
    node.itself = node
    return node, weakref.ref(node)

collecting.begin()
"""
OUTLIVES = """
kept = [[] for _ in range(1000)]
before = gc.get_freeze_count()
gc.collect()
assert gc.get_freeze_count() >= before + 1000, "what outlives a collection isn't set aside"
assert gc.get_count()[2] == 0
"""
YOUNG = """
node, seen = cycle()
del node
gc.collect()
assert seen() is None, "a cycle that was never set aside stays"
"""
WHOLE = """
node, seen = cycle()
gc.collect()
del node
gc.collect()
assert seen() is not None, "it wasn't set aside"
before = gc.get_freeze_count()
assert collecting.whole(before) == before
assert seen() is not None, "little is set aside, and all was looked through"
kept = [[] for _ in range(2 * before)]
gc.collect()
assert collecting.whole(before) > 2 * before
assert seen() is None, "much is set aside, and a cycle that died stays"
assert gc.get_count()[2] == 0
"""


@pytest.mark.parametrize("story", [OUTLIVES, YOUNG, WHOLE], ids=["outlives", "young", "whole"])
def test_what_outlives_a_collection_is_set_aside_until_much_is(story: str) -> None:
    done = subprocess.run(
        [sys.executable, "-c", BEGIN + story], capture_output=True, text=True, timeout=120
    )
    assert done.returncode == 0, done.stderr
