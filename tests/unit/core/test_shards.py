"""A name belongs to one shard, whatever its label says and whichever shards there are."""

from hypothesis import given
from hypothesis import strategies as st

from leaseholder.api import names
from leaseholder.core.shards import DEFAULT, Shard

NAMES = st.text("abz09-", min_size=1, max_size=8)
SHARDS = st.lists(NAMES.filter(lambda name: name != DEFAULT), unique=True, max_size=5)
LABELS = st.none() | NAMES | st.sampled_from(["", DEFAULT, "batch"])


def every(named: list[str]) -> list[Shard]:
    """One process for each shard, each with the others in an order of its own."""
    found = [DEFAULT, *named]
    return [Shard(name, tuple(found[at + 1 :] + found[:at])) for at, name in enumerate(found)]


def labels(value: str | None) -> dict[str, str]:
    return {"app": "orders"} if value is None else {names.SHARD: value}


@given(SHARDS, LABELS, st.integers(0, 9))
def test_a_dynamiclease_is_served_by_one_shard(
    named: list[str], label: str | None, which: int
) -> None:
    label = named[which] if which < len(named) else label
    serving = [one.name for one in every(named) if one.serves(labels(label))]
    assert serving == [label if label in named else DEFAULT]


@given(SHARDS, NAMES, NAMES)
def test_what_is_left_under_a_name_belongs_to_one_shard(
    named: list[str], namespace: str, name: str
) -> None:
    assert sum(one.inherits(namespace, name) for one in every(named)) == 1


@given(SHARDS, NAMES, LABELS)
def test_a_name_belongs_to_the_shard_of_its_dynamiclease_else_to_that_of_the_hash(
    named: list[str], name: str, label: str | None
) -> None:
    for one in every(named):
        assert one.has("shop", name, labels(label)) == one.serves(labels(label))
        assert one.has("shop", name, None) == one.inherits("shop", name)


@given(SHARDS.filter(bool), NAMES, NAMES)
def test_a_shard_that_is_taken_away_moves_only_what_it_had(
    named: list[str], namespace: str, name: str
) -> None:
    (before,) = (one.name for one in every(named) if one.inherits(namespace, name))
    (after,) = (one.name for one in every(named[:-1]) if one.inherits(namespace, name))
    assert after == before or before == named[-1]


@given(SHARDS, LABELS)
def test_the_selector_chooses_just_what_is_served(named: list[str], label: str | None) -> None:
    for one in every(named):
        assert _selects(one.selector, labels(label)) == one.serves(labels(label))


def test_names_are_spread_over_all_shards() -> None:
    counts = [
        sum(one.inherits("shop", f"orders-{number}") for number in range(300))
        for one in every(["batch", "web"])
    ]
    assert min(counts) > 70


def test_without_shards_one_process_has_everything() -> None:
    alone = Shard()
    assert (alone.selector, alone.all, alone.is_default) == ("", (DEFAULT,), True)
    assert alone.serves(labels("batch"))
    assert alone.inherits("shop", "orders")


def _selects(selector: str, found: dict[str, str]) -> bool:
    """As the API server reads the selectors that there are."""
    if not selector:
        return True
    if " notin " in selector:
        key, among = selector.split(" notin ")
        return found.get(key) not in among.strip("()").split(",")
    key, wanted = selector.split("=")
    return found.get(key) == wanted
