"""Copies of adapters in host memory, and those that are on their way there.

Belongs to the engine thread; the loader's thread only fills a queue and calls ``wake``. What has
to leave is the policy's to say.
"""

import queue
from collections.abc import Callable, Collection, Sequence
from functools import partial

import mlx.core as mx

from worker.lora.files import AdapterFiles
from worker.residency.adapters import AdapterVersion
from worker.residency.loader import Loader
from worker.residency.policy import plan_host_evictions

Read = Callable[[AdapterVersion], AdapterFiles]
"""Reads a version's files again; on the loader's thread."""
Arrived = tuple[AdapterVersion, AdapterFiles | Exception]


class HostCopies:
    """Files by digest, the oldest use first."""

    def __init__(self, loader: Loader, read: Read) -> None:
        self._loader = loader
        self._read = read
        self._files: dict[str, AdapterFiles] = {}
        self._sizes: dict[str, int] = {}  # a sum over all tensors each, and asked for at each step
        self._reading: dict[str, int] = {}
        self._unwanted: set[str] = set()  # being read, and dropped meanwhile
        self._arrived: queue.SimpleQueue[Arrived] = queue.SimpleQueue()
        self.wake: Callable[[], None] = lambda: None

    @property
    def is_waiting(self) -> bool:
        """Nothing new is here, and ``wake`` will be called when there is."""
        return bool(self._reading) and self._arrived.empty()

    @property
    def is_reading(self) -> bool:
        """Something is on its way, or here and not taken yet."""
        return bool(self._reading)

    @property
    def nbytes(self) -> int:
        """Also of what is being read."""
        return sum(self._sizes.values()) + sum(self._reading.values())

    def nbytes_of(self, digests: Collection[str]) -> int:
        """The part of ``nbytes`` that these take."""
        held = sum(self._sizes.get(digest, 0) for digest in digests)
        return held + sum(self._reading.values())

    def __contains__(self, digest: str) -> bool:
        return digest in self._files

    def is_coming(self, digest: str) -> bool:
        """It is here or being read; who asks wants it."""
        self._unwanted.discard(digest)
        return digest in self._files or digest in self._reading

    def use(self, digest: str) -> AdapterFiles:
        """The files of one that is here; it was used last from now on."""
        self._files[digest] = self._files.pop(digest)
        return self._files[digest]

    def keep(self, files: AdapterFiles) -> None:
        self._unwanted.discard(files.digest)
        self._files[files.digest] = files
        self._sizes[files.digest] = files.nbytes

    def drop(self, digest: str) -> None:
        """No error if it is not here; one that is being read is not kept when it comes."""
        if digest in self._reading:
            self._unwanted.add(digest)
        if self._files.pop(digest, None) is not None:
            del self._sizes[digest]
            # MLX keeps freed buffers for itself, and has no use for these
            mx.clear_cache()

    def evict(self, excess_bytes: float, needed: Collection[str]) -> None:
        """Free so many bytes, as far as what is needed allows."""
        if excess_bytes <= 0:
            return
        sizes = [(digest, self._sizes[digest]) for digest in self._files]
        for digest in plan_host_evictions(sizes, needed, excess_bytes):
            self.drop(digest)

    def fetch(self, version: AdapterVersion) -> None:
        """Have it read; ``take_arrived`` gives it."""
        self._reading[version.digest] = version.nbytes
        self._loader.run(partial(self._read, version), partial(self._on_read, version))

    def take_arrived(self) -> Sequence[tuple[AdapterVersion, Exception]]:
        """Keep what was read since; what could not be read, with the reason."""
        failed: list[tuple[AdapterVersion, Exception]] = []
        while not self._arrived.empty():
            version, files = self._arrived.get()
            del self._reading[version.digest]
            if isinstance(files, Exception):
                failed.append((version, files))
            elif files.digest != version.digest:
                failed.append((version, ValueError("its files have changed")))
            elif version.digest not in self._unwanted:
                self.keep(files)
            self._unwanted.discard(version.digest)
        return failed

    def close(self) -> None:
        self._loader.close()

    def _on_read(self, version: AdapterVersion, files: AdapterFiles | Exception) -> None:
        self._arrived.put((version, files))
        self.wake()
