"""Tokens as text and bytes: joined, they are what the tokenizer decodes."""

import pytest
from hypothesis import given
from hypothesis import strategies as st
from mlx_lm.utils import load_tokenizer

from tests.worker.conftest import ROOT
from worker.server.token_text import TokenTexts

MODELS = ["apertus", "devstral"]
TOKENIZERS = {name: load_tokenizer(ROOT / "demo" / "models" / name) for name in MODELS}
TEXTS = {name: TokenTexts(tokenizer) for name, tokenizer in TOKENIZERS.items()}


@pytest.mark.parametrize("model", MODELS)
@given(text=st.text(st.characters(exclude_categories=["Cs"])))
def test_the_bytes_of_all_tokens_are_the_text(model: str, text: str) -> None:
    texts = TEXTS[model]
    tokens = TOKENIZERS[model].encode(text, add_special_tokens=False)
    assert b"".join(texts.raw(token) for token in tokens).decode() == text
    assert sum(texts.chars(token) for token in tokens) == len(text)


def test_a_part_of_a_character_is_exact_in_bytes_and_marked_in_text() -> None:
    texts = TEXTS["apertus"]
    first, second = TOKENIZERS["apertus"].encode("é", add_special_tokens=False)
    assert (texts.raw(first), texts.raw(second)) == (b"\xc3", b"\xa9")
    assert texts.text(first) == texts.text(second) == "\ufffd"
    assert (texts.continues(first), texts.continues(second)) == (False, True)


def test_special_tokens_have_their_names() -> None:
    assert TEXTS["apertus"].text(1) == "<s>"


def test_an_id_beyond_the_vocabulary_has_no_text() -> None:
    assert TEXTS["apertus"].raw(10**6) == b""


@pytest.mark.parametrize(
    ("piece", "raw"), [("<0xC3>", b"\xc3"), ("\u2581the", b" the"), ("<0xZZ>", b"<0xZZ>")]
)
def test_sentencepiece(piece: str, raw: bytes) -> None:
    class Spm:
        all_special_ids = [0]

        class backend_tokenizer:  # noqa: N801 (as transformers names it)
            decoder = "Sequence(decoders=[Replace, ByteFallback, Fuse])"

        def convert_ids_to_tokens(self, token: int) -> str:
            return piece

    assert TokenTexts(Spm()).raw(7) == raw
