"""A chat's log-probabilities as those of a text part. Pure; what can't be read is left out."""

from typing import Any, cast

Body = dict[str, Any]


def logprobs_of(logprobs: Any) -> list[Body]:
    """One entry a token, whose ``bytes`` are never null."""
    if not isinstance(logprobs, dict):
        return []
    found: list[Body] = []
    for entry in objects_in(cast(Body, logprobs).get("content")):
        others = objects_in(entry.get("top_logprobs"))
        found.append(_with_bytes(entry) | {"top_logprobs": [_with_bytes(o) for o in others]})
    return found


def objects_in(entries: Any) -> list[Body]:
    """What of a foreign list can be read."""
    given = cast(list[Any], entries) if isinstance(entries, list) else []
    return [cast(Body, entry) for entry in given if isinstance(entry, dict)]


def _with_bytes(entry: Body) -> Body:
    token = str(entry.get("token", ""))
    given = entry.get("bytes")
    known = given if given is not None else list(token.encode("utf-8", "replace"))
    return {"token": token, "bytes": known, "logprob": entry.get("logprob")}


def brief(entries: list[Body]) -> list[Body]:
    """As events have them: without bytes."""
    return [
        {
            "token": entry["token"],
            "logprob": entry["logprob"],
            "top_logprobs": [
                {"token": t["token"], "logprob": t["logprob"]} for t in entry["top_logprobs"]
            ],
        }
        for entry in entries
    ]
