"""Random numbers that depend on what they are for, never on what ran before."""

import hashlib

import numpy as np


def generator(*key) -> np.random.Generator:
    """A generator whose stream is a function of `key` alone.

    The key is hashed with SHA-256 and seeds the counter-based generator Philox (Salmon et al. 2011), so that draws
    for one province, outcome or replicate are the same whatever else is drawn, in any order and on any worker.
    """
    text = "\x1f".join(map(str, key))
    digest = hashlib.sha256(text.encode()).digest()
    return np.random.Generator(np.random.Philox(key=int.from_bytes(digest[:16], "little")))
