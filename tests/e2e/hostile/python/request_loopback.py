def main(heddle):
    try:
        return heddle.fetch(heddle.input().decode()).text()
    except BaseException:
        return "a refusal is not to be caught"
