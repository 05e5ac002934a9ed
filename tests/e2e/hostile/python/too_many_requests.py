def main(heddle):
    while True:
        heddle.fetch(heddle.env["URL"])
