def deeper(n):
    return 1 + deeper(n + 1)


def main(heddle):
    return deeper(0)
