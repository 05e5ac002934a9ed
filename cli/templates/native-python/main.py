"""A tour through all towns, nearest town first, then made shorter by turning parts of it round until nothing helps."""

import json
import math


def main(heddle):
    towns = [tuple(town) for town in json.loads(heddle.input())]
    tour = nearest_first(towns)
    first = length(tour)
    better = True
    while better:
        better = improve(tour)
        heddle.progress(50, f"{length(tour):.1f}")
    return {"tour": [towns.index(town) for town in tour], "length": round(length(tour), 3), "first": round(first, 3)}


def nearest_first(towns):
    tour, rest = [towns[0]], set(towns[1:])
    while rest:
        tour.append(min(rest, key=lambda town: (math.dist(town, tour[-1]), town)))
        rest.remove(tour[-1])
    return tour


def length(tour):
    return sum(math.dist(one, other) for one, other in zip(tour, tour[1:] + tour[:1], strict=True))


def improve(tour):
    """Turn one part round if that makes the tour shorter; whether one was found."""
    count = len(tour)
    for start in range(count - 1):
        for end in range(start + 2, count - (start == 0)):
            a, b, c, d = tour[start], tour[start + 1], tour[end], tour[(end + 1) % count]
            if math.dist(a, c) + math.dist(b, d) < math.dist(a, b) + math.dist(c, d) - 1e-9:
                tour[start + 1 : end + 1] = reversed(tour[start + 1 : end + 1])
                return True
    return False
