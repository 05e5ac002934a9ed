def main(heddle):
    while True:
        pass
