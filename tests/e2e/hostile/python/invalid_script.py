def main(heddle:
