"""Where a base's or adapter's files are: a local folder, or a pinned revision of a hub."""

from pathlib import Path

from huggingface_hub import snapshot_download
from huggingface_hub.errors import HfHubHTTPError, LocalEntryNotFoundError

from fleet.errors import SourceError
from fleet.schema import Fleet, is_hub_id

# only what is opened: no pickles, no code
_PATTERNS = ("*.json", "*.safetensors", "*.jinja", "tokenizer.model")


def local_folder(fleet: Fleet, name: str, source: str) -> Path:
    """The folder of ``source``; ``org/name@revision`` is downloaded, or read from the cache."""
    if not is_hub_id(source):
        return fleet.resolve(source)
    repo, _, revision = source.partition("@")
    try:
        return Path(snapshot_download(repo, revision=revision, allow_patterns=list(_PATTERNS)))
    except (HfHubHTTPError, LocalEntryNotFoundError, OSError) as error:
        raise SourceError(name, f"can't fetch '{source}' from the hub: {error}") from None
