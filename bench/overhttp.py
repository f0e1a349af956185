"""The same comparison end to end: streams over HTTP against servers, ours and a peer's.

All servers of a run are up at once and take turns; the ones not asked stand idle.
"""

import contextlib
import itertools
from collections.abc import Generator, Sequence
from functools import partial
from pathlib import Path

from bench import processes
from bench.clients import Load, Target, drive
from bench.models import BenchModel
from bench.rounds import Measure

BASE, IDLE, MIXED = "base", "idle", "mixed"
GATEWAY_IDLE, GATEWAY_MIXED = "gateway idle", "gateway mixed"
PEER_BASE, PEER_ROTATING = "mlx_lm base", "mlx_lm rotating"


@contextlib.contextmanager
def servers(
    model: BenchModel, logs: Path, *, through_gateway: bool, peers: Sequence[str]
) -> Generator[dict[str, Target]]:
    """Variant -> target, while the servers run.

    base: a worker without adapters. idle: a worker with them, asked for the base alone.
    mixed: its ten adapters in rotation. The same through the gateway, and with mlx_lm.server.
    """
    with contextlib.ExitStack() as stack:
        bare = stack.enter_context(processes.worker(model, model.bare, logs))
        full = stack.enter_context(processes.worker(model, model.full, logs))
        targets = {
            BASE: Target(bare, _models([model.base])),
            IDLE: Target(full, _models([model.base])),
            MIXED: Target(full, _models(model.adapters)),
        }
        if through_gateway:
            edge = stack.enter_context(processes.gateway(model, logs))
            name = f"bench-{model.base}"
            targets[GATEWAY_IDLE] = Target(edge, _models([name]))
            targets[GATEWAY_MIXED] = Target(edge, _models(f"{name}-{a}" for a in model.adapters))
        if "mlx_lm" in peers:
            peer = stack.enter_context(processes.mlx_lm_server(model, logs))
            # with the name default_model, mlx_lm.server would ignore 'adapters'
            base = {"model": str(model.model)}
            rotation = [{**base, "adapters": str(model.adapter_path(a))} for a in model.adapters]
            targets[PEER_BASE] = Target(peer, [base])
            targets[PEER_ROTATING] = Target(peer, rotation)
        yield targets


def measures(targets: dict[str, Target], load: Load) -> dict[str, Measure]:
    """Each call sends prompts that were not sent before."""
    seeds = itertools.count()

    def once(target: Target) -> dict[str, float]:
        return drive(target, load, next(seeds))

    return {name: partial(once, target) for name, target in targets.items()}


def _models(names: "Sequence[str] | Generator[str]") -> list[dict[str, str]]:
    return [{"model": name} for name in names]
