def main(heddle):
    while True:
        heddle.fetch(heddle.input().decode())
