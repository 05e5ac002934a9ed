"""Counts the words of the input. What `main` returns is the result: text and bytes as they are, the rest as JSON."""


def main(heddle):
    words = heddle.input().decode().split()
    counts = {}
    for word in words:
        counts[word] = counts.get(word, 0) + 1
    heddle.log(f"{len(words)} words")
    return {"words": len(words), "distinct": len(counts), "longest": max(counts, key=lambda word: (len(word), word))}
