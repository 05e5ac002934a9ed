"""Primes in a range. Whoever runs it gets the same bytes: time and chance come from the job, not from the machine."""

import json
import random


def main(heddle):
    asked = json.loads(heddle.input())
    first, last = asked["from"], asked["to"]
    primes = [number for number in sieve(last) if number >= first]
    heddle.progress(90, "sieved")
    return {"primes": len(primes), "largest": primes[-1], "sample": random.choice(primes)}


def sieve(last):
    marks = bytearray([1]) * (last + 1)
    marks[0:2] = b"\0\0"
    for number in range(2, int(last**0.5) + 1):
        if marks[number]:
            marks[number * number :: number] = bytes(len(range(number * number, last + 1, number)))
    return [number for number, mark in enumerate(marks) if mark]
