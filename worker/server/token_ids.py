"""Token ids that a request names beside its prompt: each must be one of the model's."""

from collections.abc import Iterable

from wire.errors import InvalidRequest
from wire.sampling import Sampling


def check_token_ids(request: Sampling, vocabulary: int) -> None:
    """Raises InvalidRequest that names the field and its first id beyond the vocabulary."""
    _check("logit_bias", map(int, request.logit_bias or ()), vocabulary)
    _check("stop_token_ids", request.stop_token_ids or (), vocabulary)


def _check(field: str, ids: Iterable[int], vocabulary: int) -> None:
    beyond = next((token for token in ids if token >= vocabulary), None)
    if beyond is not None:
        raise InvalidRequest(
            f"{field}: token id {beyond} is not in the vocabulary ({vocabulary} tokens)",
            param=field,
        )
