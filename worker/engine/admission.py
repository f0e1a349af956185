"""How many requests the engine takes on, and how long a refused one should wait. Pure."""

from dataclasses import dataclass, replace

from wire.errors import InvalidRequest, Overloaded

_SMOOTHING = 0.1


@dataclass(frozen=True)
class Load:
    """Requests taken on and not ended, and the running mean of their service time."""

    pending: int = 0
    mean_service_s: float = 1.0

    def admit(self, max_rows: int, max_queue: int, count: int = 1) -> "Load":
        """The load with ``count`` more requests, all or none.

        Raises Overloaded with ``retry_after_s``; InvalidRequest where they would never fit.
        """
        room = max_rows + max_queue
        if count > room:
            raise InvalidRequest(
                f"{count} answers were asked for at once; this server takes {room}: ask for fewer"
            )
        if self.pending + count > room:
            wait_s = self.wait_s(max_rows)
            raise Overloaded(
                f"{self.pending} requests are running or waiting, and this server takes {room}; "
                f"try again in {max(1, round(wait_s))} s",
                retry_after_s=wait_s,
            )
        return replace(self, pending=self.pending + count)

    def end(self, service_s: float | None) -> "Load":
        """The load with one fewer; ``service_s`` None for one that did not run to its end."""
        mean = self.mean_service_s
        if service_s is not None:
            mean += _SMOOTHING * (service_s - mean)
        return Load(self.pending - 1, mean)

    def wait_s(self, max_rows: int) -> float:
        """Seconds until a queue of this length has moved up by one full batch of rows."""
        return max(0.1, self.mean_service_s * max(1, self.pending - max_rows) / max_rows)
