"""Caches keep to their bounds."""

from node.store.lru import HashCache, WeightedCache
from runtime import tree


def test_weighted_cache_drops_the_least_used() -> None:
    """Reading counts as use; weights never add up to more than the bound; the too heavy is not kept."""
    cache: WeightedCache[int] = WeightedCache(10)
    for i in range(5):
        cache.put(bytes((i,)), i, 2)
    assert cache.get(b"\x00") == 0
    cache.put(b"new", 9, 3)
    assert [cache.get(bytes((i,))) for i in range(5)] == [0, None, None, 3, 4]
    assert (cache.weight, len(cache)) == (9, 4)
    cache.put(b"heavy", 1, 11)
    assert cache.get(b"heavy") is None
    cache.put(b"new", 8, 1)
    assert (cache.get(b"new"), cache.weight) == (8, 7)
    cache.clear()
    assert (cache.weight, len(cache)) == (0, 0)


def test_hash_cache_stays_bounded_and_right() -> None:
    """Every answer is the key's hash, and the cache never grows past its bound."""
    cache = HashCache(tree.key_hash, 8)
    for i in range(100):
        key = b"%d" % (i % 13)
        assert cache[key] == tree.key_hash(key)
        assert len(cache) <= 8
