"""Log-probabilities in OpenAI's and vLLM's shapes."""

from mlx_lm.utils import load_tokenizer

from tests.worker.conftest import ROOT
from worker.engine.request import TokenLogprob
from worker.server.logprobs import chat_logprobs, prompt_logprobs, text_logprobs
from worker.server.token_text import TokenTexts

TOKENIZER = load_tokenizer(ROOT / "demo" / "models" / "apertus")
TEXTS = TokenTexts(TOKENIZER)


def ids(text: str) -> list[int]:
    return TOKENIZER.encode(text, add_special_tokens=False)


def test_chat() -> None:
    a, b = ids("a")[0], ids("b")[0]
    shown = chat_logprobs([TokenLogprob(a, -0.5, ((b, -0.1), (a, -0.5)))], TEXTS)
    (entry,) = shown["content"]
    assert (entry["token"], entry["logprob"], entry["bytes"]) == ("a", -0.5, [97])
    assert [alternative["token"] for alternative in entry["top_logprobs"]] == ["b", "a"]
    assert shown["refusal"] is None


def test_text_has_the_chosen_token_among_its_alternatives() -> None:
    a, b = ids("a")[0], ids("b")[0]
    shown = text_logprobs([a, b], [None, TokenLogprob(b, -3.0, ((a, -0.1),))], TEXTS, 5)
    assert shown["tokens"] == ["a", "b"]
    assert shown["token_logprobs"] == [None, -3.0]
    assert shown["top_logprobs"] == [None, {"a": -0.1, "b": -3.0}]
    assert shown["text_offset"] == [5, 6]


def test_offsets_count_characters_and_never_fall_before_the_text() -> None:
    tokens = [1, *ids("né?")]
    scores = [None] * len(tokens)
    shown = text_logprobs(tokens, scores, TEXTS, -len("<s>"))
    # <s> stands before the text; both halves of é stand where it begins
    assert shown["text_offset"] == [0, 0, 1, 1, 2]


def test_prompt_by_id_with_ranks_where_they_are_known() -> None:
    a, b = ids("a")[0], ids("b")[0]
    first, second = prompt_logprobs([None, TokenLogprob(a, -3.0, ((b, -0.1),))], TEXTS)
    assert first is None
    assert second == {
        str(a): {"logprob": -3.0, "rank": None, "decoded_token": "a"},
        str(b): {"logprob": -0.1, "rank": 1, "decoded_token": "b"},
    }
