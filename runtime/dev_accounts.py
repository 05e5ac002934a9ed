"""The well-known accounts of development chains: //Alice to //Ferdie of the development phrase, ed25519.

Constants, because this layer derives no keys: (public key, beacon commitment of a genesis validator whose aura key it
is). Their secrets are known to everybody; they hold nothing on a chain that matters.
"""

from dataclasses import dataclass


@dataclass(frozen=True, slots=True)
class GenesisValidator:
    """A validator of block 0: its account and session keys, 32 bytes each. `beacon` is its hash chain's commitment."""

    account: bytes
    aura: bytes
    grandpa: bytes
    beacon: bytes


_TABLE = {
    "Alice": (
        "88dc3417d5058ec4b4503e0c12ea1a0a89be200fe98922423d4334014fa6b0ee",
        "70b75067399a2e914e74314a1161ac8368ec54db6985b80b2873f9c6e473aee7",
    ),
    "Bob": (
        "d17c2d7823ebf260fd138f2d7e27d114c0145d968b5ff5006125f2414fadae69",
        "07329ae4e8b1da307cd97a2274203c05ed6c77dd8824be38909519f797291792",
    ),
    "Charlie": (
        "439660b36c6c03afafca027b910b4fecf99801834c62a5e6006f27d978de234f",
        "00659a016a4b47f42f2017de9f4f6a6f0a4dd5ba70184fdf93cd76484bef9867",
    ),
    "Dave": (
        "5e639b43e0052c47447dac87d6fd2b6ec50bdd4d0f614e4299c665249bbd09d9",
        "08ddd9b71b7d6bb19368beb2a56717aa8db0bccbfc20867578150a182a2219f9",
    ),
    "Eve": (
        "1dfe3e22cc0d45c70779c1095f7489a8ef3cf52d62fbd8c2fa38c9f1723502b5",
        "25de840ade0ce6707e702cc8b45f9b0504c310eff5e4b0c63311b8017f49d094",
    ),
    "Ferdie": (
        "568cb4a574c6d178feb39c27dfc8b3f789e5f5423e19c71633c748b9acf086b5",
        "81b024f49fdbbf6c8ebd7e41b68b73db1f55e69294350f7c1c04749a5d223a3e",
    ),
}

DEV_NAMES = tuple(_TABLE)
DEV_ACCOUNTS = {name: bytes.fromhex(public) for name, (public, _) in _TABLE.items()}

DEV_PROCESSORS = {
    name: bytes.fromhex(public)
    for name, public in (
        ("Alice", "14c0883cc1e4ac6ed2805b80688e1f04bbb449465e8600c9ac02169fac95460a"),
        ("Bob", "0349b863b5dd36a6ab026318bdb9bdd0f16ce577b6a7b7837216a273dbbda6d6"),
        ("Charlie", "4134f14677e8b0949821b96d016b1af22922f35821cb4438af5fb3e4f492707a"),
        ("Dave", "7cbc772fd87cecf2599871fa0a50f4358667e86538f432fc68af956a802d97f7"),
        ("Eve", "2513e1da2642ae7cf6fb18e4c93140b3dd5682a6e9e8ac1cda34f398bf3cd5d5"),
        ("Ferdie", "e17283132e92489f7be13a30c141dd5a13eb88f28944d832dba2378d99b8c0fe"),
    )
}
"""//Alice//processor to //Ferdie//processor: a processor needs an account apart from its consumer's."""


def dev_validator(name: str) -> GenesisValidator:
    """//`name` as a genesis validator, one key for account, aura and gran. KeyError if it is not a development name."""
    public, commitment = (bytes.fromhex(text) for text in _TABLE[name])
    return GenesisValidator(public, public, public, commitment)
