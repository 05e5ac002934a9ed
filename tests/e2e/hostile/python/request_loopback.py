def main(heddle):
    try:
        return heddle.fetch(heddle.env["URL"]).text()
    except BaseException:
        return "a refusal is not to be caught"
