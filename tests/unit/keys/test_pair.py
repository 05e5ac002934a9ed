"""Key derivation against well-known keys, and every refusal."""

import pytest

from node.keys import pair as keys
from node.keys.pair import Pair
from runtime.crypto import Scheme, verify

ED25519 = {
    "//Alice": "88dc3417d5058ec4b4503e0c12ea1a0a89be200fe98922423d4334014fa6b0ee",
    "//Bob": "d17c2d7823ebf260fd138f2d7e27d114c0145d968b5ff5006125f2414fadae69",
    "//Charlie": "439660b36c6c03afafca027b910b4fecf99801834c62a5e6006f27d978de234f",
}
SR25519 = {
    "//Alice": "d43593c715fdd31c61141abd04a99fd6822c8558854ccde39a5684e7a56da27d",
    "//Bob": "8eaf04151687736326c9fea17e25fc5287613693c912909cb226aa4794f26a48",
    "//Alice//stash": "be5ddb1579b72e84524fc29e78609e3caf42e85aa118ebfe0b0ad404b5bdd25f",
}


@pytest.mark.parametrize(("uri", "public"), ED25519.items())
def test_known_ed25519_keys(uri: str, public: str) -> None:
    """The development accounts come out as in every other wallet."""
    assert keys.from_uri(uri).public.hex() == public


@pytest.mark.parametrize(("uri", "public"), SR25519.items())
def test_known_sr25519_keys(uri: str, public: str) -> None:
    """The same for sr25519, with two junctions too."""
    assert keys.from_uri(uri, Scheme.SR25519).public.hex() == public


def test_alice_address() -> None:
    """//Alice (ed25519) has the address that the documentation names; the phrase before it may be left out."""
    alice = keys.dev_pair("Alice")
    assert alice.address == "5FA9nQDVg267DEd8m1ZypXLBnvN7SFxYwV7ndqSYGiN9TTpu"
    assert keys.from_uri(f"{keys.DEV_PHRASE}//Alice") == alice


def test_seed_of_the_phrase() -> None:
    """The phrase and its mini secret in hex are the same key; a password makes it another."""
    seed = "0xfac7959dbfe72f052e5a0c3c8d6530f202b02fd8f9f5ca3580ec8deb7797479e"
    for scheme in (Scheme.ED25519, Scheme.SR25519):
        assert keys.from_uri(keys.DEV_PHRASE, scheme).public == keys.from_uri(seed, scheme).public
        assert keys.from_uri(f"{keys.DEV_PHRASE}///pass", scheme).public != keys.from_uri(seed, scheme).public


def test_sr25519_soft_junction() -> None:
    """Soft junctions work for sr25519 and differ from hard ones."""
    soft = keys.from_uri("//Alice/soft", Scheme.SR25519)
    assert soft.public not in {keys.from_uri(uri, Scheme.SR25519).public for uri in ("//Alice//soft", "//Alice")}
    assert soft.public == keys.from_uri("//Alice/soft", Scheme.SR25519).public


def test_number_and_text_junctions_differ() -> None:
    """A number is encoded as u64 and leading zeros do not matter; long and non-ASCII names are allowed."""
    assert keys.from_uri("//1") == keys.from_uri("//01")
    publics = {
        keys.from_uri(f"//{name}").public for name in ("1", "a", str(2**64 - 1), str(2**64), "x" * 31, "x" * 99, "é")
    }
    assert len(publics) == 7


@pytest.mark.parametrize("scheme", [Scheme.ED25519, Scheme.SR25519])
def test_signatures_verify(scheme: Scheme) -> None:
    """What a pair signs, the chain's own verification accepts - and for this message and key only."""
    alice, bob = keys.dev_pair("Alice", scheme), keys.dev_pair("Bob", scheme)
    for message in (b"", b"message", b"m" * 1000):
        signature = alice.sign(message)
        assert len(signature) == 64
        assert verify(scheme, alice.public, message, signature)
        assert not verify(scheme, bob.public, message, signature)
        assert not verify(scheme, alice.public, message + b"!", signature)


@pytest.mark.parametrize("scheme", [Scheme.ED25519, Scheme.SR25519])
def test_stored_secret_gives_the_same_pair(scheme: Scheme) -> None:
    """A pair comes back from its stored secret, and does not show it when printed."""
    pair = keys.from_uri("//Alice//aura", scheme)
    again = keys.from_secret(scheme, pair.secret)
    assert again == pair
    assert verify(scheme, pair.public, b"m", again.sign(b"m"))
    assert pair.secret.hex() not in repr(pair)
    assert str(pair.secret) not in repr(pair)


@pytest.mark.parametrize(
    ("uri", "error"),
    [
        ("", keys.BadSecretUri),
        ("   ", keys.BadSecretUri),
        ("//", keys.BadSecretUri),
        ("//Alice//", keys.BadSecretUri),
        ("Alice!", keys.BadSecretUri),
        ("0x1234", keys.BadSecretUri),
        ("0x" + "zz" * 32, keys.BadSecretUri),
        ("//a" * 33, keys.BadSecretUri),
        ("//" + "a" * 1024, keys.BadSecretUri),
        ("word", keys.BadPhrase),
        (" ".join(["bottom"] * 12), keys.BadPhrase),
        (keys.DEV_PHRASE.replace("walk", "wolk"), keys.BadPhrase),
        ("//Alice/soft", keys.SoftJunction),
    ],
)
def test_refusals(uri: str, error: type[keys.SecretError]) -> None:
    """Each bad URI has its own error, which does not repeat what may be a secret."""
    with pytest.raises(error) as refused:
        keys.from_uri(uri)
    assert len(uri.strip()) < 5 or uri.strip() not in str(refused.value)


def test_wrong_secrets() -> None:
    """Secrets of a wrong length and schemes without pairs are refused."""
    for scheme, secret in ((Scheme.ED25519, bytes(31)), (Scheme.SR25519, bytes(32)), (Scheme.ECDSA, bytes(32))):
        with pytest.raises(keys.BadSecret):
            keys.from_secret(scheme, secret)
    with pytest.raises(keys.BadSecret):
        keys.from_uri("//Alice", Scheme.ECDSA)
    with pytest.raises(keys.BadSecret):
        keys.from_seed(Scheme.ED25519, bytes(33))


def test_new_phrases() -> None:
    """A new phrase is valid, makes a key, and is another one each time."""
    phrases = {keys.generate_phrase(words) for words in (12, 12, 15, 24)}
    assert len(phrases) == 4
    assert all(keys.phrase_valid(phrase) and isinstance(keys.from_uri(phrase), Pair) for phrase in phrases)
    with pytest.raises(keys.BadPhrase):
        keys.generate_phrase(13)
