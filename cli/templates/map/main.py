"""One input of many: this execution's file. `heddle job result ID --execution N` gives the N-th result, from 0 on."""


def main(heddle):
    return {"part": heddle.job["execution"], **measure(heddle.input().decode())}


def measure(text):
    words = text.split()
    return {"words": len(words), "letters": sum(map(len, words)), "longest": max(words, key=len, default="")}
