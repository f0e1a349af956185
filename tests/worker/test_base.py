"""What a base's folder says of it."""

import pytest
from mlx_lm.utils import load_tokenizer

from tests.worker.conftest import ROOT
from worker.base import textless_ids


@pytest.mark.parametrize(
    ("base", "mark"), [("apertus", "<|user_end|>"), ("devstral", "[/SYSTEM_PROMPT]")]
)
def test_marks_around_turns_make_no_text(base: str, mark: str) -> None:
    """A sampled one was shown in the answer: transformers' all_special_ids has few of them."""
    tokenizer = load_tokenizer(ROOT / "demo" / "models" / base)
    (token,) = tokenizer.encode(mark, add_special_tokens=False)
    assert token not in tokenizer.all_special_ids
    assert token in textless_ids(tokenizer)
