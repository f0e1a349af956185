"""Log-probabilities as OpenAI's chat and text completions, and vLLM's prompts, show them."""

from collections.abc import Iterable, Sequence
from typing import Any

from worker.engine.request import TokenLogprob
from worker.server.token_text import TokenTexts

Tokens = Sequence[TokenLogprob | None]


def chat_logprobs(tokens: Iterable[TokenLogprob], texts: TokenTexts) -> dict[str, Any]:
    """``choices[].logprobs`` of a chat answer or chunk."""
    content = [
        _named(texts, t.token, t.logprob)
        | {"top_logprobs": [_named(texts, token, value) for token, value in t.top]}
        for t in tokens
    ]
    return {"content": content, "refusal": None}


def text_logprobs(
    tokens: Sequence[int], scores: Tokens, texts: TokenTexts, offset: int
) -> dict[str, Any]:
    """``choices[].logprobs`` of a text completion; the first text begins at ``offset``.

    The chosen token is among its alternatives, as in vLLM: a reader can tell by them alone
    whether it was the most likely one. The first token of a prompt has no score.
    """
    pieces = [texts.text(token) for token in tokens]
    offsets: list[int] = []
    for token in tokens:
        # a token that goes on with a character stands where that character began
        begins = offset - texts.continues(token)
        # below 0: a token before the text, as the one that begins every prompt
        offsets.append(max(0, begins))
        offset += texts.chars(token)
    return {
        "tokens": pieces,
        "token_logprobs": [None if s is None else s.logprob for s in scores],
        "top_logprobs": [None if s is None else _by_text(texts, s) for s in scores],
        "text_offset": offsets,
    }


def prompt_logprobs(scores: Tokens, texts: TokenTexts) -> list[dict[str, Any] | None]:
    """vLLM's ``prompt_logprobs``: by token id, with the rank where it is known."""
    return [None if s is None else _ranked(texts, s) for s in scores]


def _ranked(texts: TokenTexts, score: TokenLogprob) -> dict[str, Any]:
    ranks: dict[int, tuple[float, int | None]] = {score.token: (score.logprob, None)}
    for rank, (token, value) in enumerate(score.top, start=1):
        ranks[token] = (value, rank)
    return {
        str(token): {"logprob": value, "rank": rank, "decoded_token": texts.text(token)}
        for token, (value, rank) in ranks.items()
    }


def _named(texts: TokenTexts, token: int, logprob: float) -> dict[str, Any]:
    raw = texts.raw(token)
    return {"token": texts.text(token), "logprob": logprob, "bytes": list(raw)}


def _by_text(texts: TokenTexts, score: TokenLogprob) -> dict[str, float]:
    # two tokens may read the same: the more likely one stands
    ranked = sorted([*score.top, (score.token, score.logprob)], key=lambda entry: entry[1])
    return {texts.text(token): value for token, value in ranked}
