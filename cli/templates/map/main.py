"""One item of many: this execution's line of the input. `heddle job result ID --execution N` gives the N-th result."""


def main(heddle):
    items = heddle.input().decode().splitlines()
    number = heddle.job["execution"]
    if number >= len(items):
        heddle.fail(2, f"execution {number}, but only {len(items)} items: lower schedule.executions")
    return {"item": number, **measure(items[number])}


def measure(text):
    words = text.split()
    return {"words": len(words), "letters": sum(map(len, words)), "longest": max(words, key=len, default="")}
