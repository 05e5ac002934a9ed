"""Trains the classifier of the template digits-inference, writes its weights into main.wat; see README.md."""

from pathlib import Path

import numpy as np
from sklearn.datasets import load_digits
from sklearn.model_selection import train_test_split
from sklearn.neural_network import MLPClassifier

HERE = Path(__file__).resolve().parent
TEMPLATE = HERE.parents[1] / "cli" / "templates" / "digits-inference"
HIDDEN = 32
HELD_OUT_SHARE = 0.25
SEED = 7
LEVELS = "0123456789abcdefg"
BYTES_PER_LINE = 30


def quantised(weights, biases, scale_before):
    """Weights as 8-bit integers, (input, unit) -> (unit, input); biases in the scale of the sums; that scale."""
    scale = 127 / np.abs(weights).max()
    whole = np.rint(weights.T * scale).astype("int8")
    return whole, np.rint(biases * scale * scale_before).astype("<i4"), scale * scale_before


def main():
    """Train, quantise, say how good it is, write."""
    images, labels = load_digits(return_X_y=True)
    images = images.astype("int32")
    known, unseen, known_labels, unseen_labels = train_test_split(
        images, labels, test_size=HELD_OUT_SHARE, random_state=SEED, stratify=labels
    )
    network = MLPClassifier((HIDDEN,), alpha=0.01, max_iter=2_000, random_state=SEED).fit(known, known_labels)
    first, first_bias, scale = quantised(network.coefs_[0], network.intercepts_[0], 1.0)
    second, second_bias, _ = quantised(network.coefs_[1], network.intercepts_[1], scale)
    hidden = np.maximum(unseen @ first.T.astype("int64") + first_bias, 0)
    scores = hidden @ second.T.astype("int64") + second_bias
    assert abs(scores).max() < 1 << 31, "a sum fits an i32"
    right = int((scores.argmax(axis=1) == unseen_labels).sum())
    print(f"{network.score(unseen, unseen_labels):.4f} before, {right}/{len(unseen)} with 8-bit weights")
    packed = first.tobytes() + first_bias.tobytes() + second.tobytes() + second_bias.tobytes()
    parts = [packed[at : at + BYTES_PER_LINE] for at in range(0, len(packed), BYTES_PER_LINE)]
    lines = ['    "' + "".join(f"\\{byte:02x}" for byte in part) + '"' for part in parts]
    (TEMPLATE / "main.wat").write_text((HERE / "main.wat.in").read_text() + "\n".join(lines) + "))\n")
    (TEMPLATE / "images.txt").write_text("".join("".join(LEVELS[x] for x in image) + "\n" for image in unseen))
    (TEMPLATE / "labels.txt").write_text("".join(map(str, unseen_labels)) + "\n")


main()
