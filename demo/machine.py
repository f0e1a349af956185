"""Where and how long to train: device, threads, and the length of a run."""

import dataclasses
from dataclasses import dataclass

import torch

from demo.loop import Schedule


@dataclass(frozen=True)
class Machine:
    """What the command line says about the machine and the time it may take.

    ``effort`` multiplies all steps; a run that reaches its limit in minutes decays its
    rate to the end in time, and then depends on the machine's speed.
    """

    device: str
    threads: int
    effort: float = 1.0
    base_minutes: float = float("inf")
    adapter_minutes: float = float("inf")

    def base_schedule(self, schedule: Schedule) -> Schedule:
        """Return ``schedule`` as this machine runs it for a base."""
        return self._limited(schedule, self.base_minutes)

    def adapter_schedule(self, schedule: Schedule) -> Schedule:
        """Return ``schedule`` as this machine runs it for an adapter."""
        return self._limited(schedule, self.adapter_minutes)

    def _limited(self, schedule: Schedule, minutes: float) -> Schedule:
        steps = max(1, round(schedule.steps * self.effort))
        return dataclasses.replace(
            schedule, steps=steps, threads=self.threads, limit_s=60 * minutes
        )


def this_machine(
    threads: int, effort: float, base_minutes: float, adapter_minutes: float
) -> Machine:
    """Use a CUDA device if there is one, else ``threads`` CPU threads."""
    if torch.cuda.is_available():
        return Machine("cuda", 1, effort, base_minutes, adapter_minutes)
    torch.set_num_threads(1)  # the training loop has its own threads, see demo.loop
    return Machine("cpu", threads, effort, base_minutes, adapter_minutes)
