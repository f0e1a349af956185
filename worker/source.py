"""Where a base's or adapter's files are: a local folder, or a revision on the model hub.

Only what is opened is downloaded: no pickles, no code, nothing below the top level. A broken
connection is taken up where it broke; after a download that failed, the files that are not
whole are fetched anew (huggingface_hub 2.4 keeps no parts of files). Without a network the
cache serves (HF_HUB_OFFLINE=1 asks for that). A revision that is no commit is warned of, with
the commit that it is today. Refuses what clients name outside the fleet's ``lora_roots``.
"""

import logging
import sys
from pathlib import Path

from huggingface_hub import HfApi, constants, snapshot_download
from huggingface_hub.errors import RepositoryNotFoundError, RevisionNotFoundError
from huggingface_hub.utils import disable_progress_bars

from fleet.confine import confined
from fleet.errors import SourceError
from fleet.schema import Fleet, is_hub_id, is_pinned

log = logging.getLogger("ailiance.source")

_PATTERNS = (
    *("*.json", "*.safetensors", "*.jinja", "tokenizer.model"),
    *("README.md", "examples.jsonl"),
)
# checkpoints of a training and other programs' copies of the weights lie in folders
_BELOW = "*/*"
_WAIT_S = 10.0


def local_folder(fleet: Fleet, name: str, source: str) -> Path:
    """The folder of a source of the fleet file; a hub id is downloaded, or in the cache.

    Blocks for as long as the download takes. Raises SourceError.
    """
    return hub_folder(name, source) if is_hub_id(source) else fleet.resolve(source)


def client_folder(fleet: Fleet, name: str, source: str) -> Path:
    """The same of a source that a client sent: paths stay inside ``fleet.roots``."""
    if is_hub_id(source):
        return hub_folder(name, source)
    return confined(source, fleet.roots, name)


def hub_folder(name: str, source: str) -> Path:
    """The snapshot of ``org/name@revision`` in the hub's cache. Raises SourceError."""
    repo, _, revision = source.partition("@")
    if not sys.stderr.isatty():
        disable_progress_bars()
    try:
        reachable = is_pinned(source) or _can_ask(name, repo, revision)
        # by its name also where the commit is known: the cache remembers what it was
        folder = _snapshot(repo, revision, offline=not reachable)
    except (RepositoryNotFoundError, RevisionNotFoundError) as error:
        what = "revision" if isinstance(error, RevisionNotFoundError) else "repository"
        raise SourceError(
            name,
            f"the hub has no {what} '{source}' for you; correct 'source', or set HF_TOKEN if "
            "it is private",
        ) from None
    except Exception as error:
        # whatever it is: transport errors are of another library in each major release
        raise SourceError(
            name,
            f"can't fetch '{source}' from the hub, and the cache has not all of it: "
            f"{_line(error)}; or name a local folder",
        ) from None
    if not is_pinned(source):
        log.warning(
            "%s: '%s' is no pinned revision; today it is commit %s: pin it as '%s@%s'",
            *(name, source, folder.name, repo, folder.name),
        )
    return folder


def _can_ask(name: str, repo: str, revision: str) -> bool:
    """Whether the hub tells what a branch or tag is now; if not, that is said."""
    if constants.HF_HUB_OFFLINE:
        reason = "HF_HUB_OFFLINE is set"
    else:
        try:
            HfApi().model_info(repo, revision=revision, timeout=_WAIT_S)
        except (RepositoryNotFoundError, RevisionNotFoundError):
            raise
        except Exception as error:
            reason = _line(error)
        else:
            return True
    log.warning(
        "%s: the hub can't be asked what '%s@%s' is now (%s); its cached snapshot is used",
        *(name, repo, revision, reason),
    )
    return False


def _snapshot(repo: str, revision: str, *, offline: bool) -> Path:
    return Path(
        snapshot_download(
            repo,
            revision=revision,
            allow_patterns=list(_PATTERNS),
            ignore_patterns=[_BELOW],
            local_files_only=offline,
        )
    )


def _line(error: Exception) -> str:
    """The first line of a foreign message, which may go on for pages."""
    lines = str(error).strip().splitlines()
    return (lines[0] if lines else type(error).__name__)[:300]
