"""Which bases and adapters the embedded fleet has, and how each is shaped and stored.

A table and nothing else: training, export and tests all read it from here.
"""

from dataclasses import dataclass
from typing import Literal

ATTENTION = ("q_proj", "k_proj", "v_proj", "o_proj")
RANK = 16
ALPHA = 32


@dataclass(frozen=True)
class AdapterPlan:
    """One adapter: its base, the file format it is stored in, the layers it targets."""

    domain: str
    base: str
    format: Literal["mlx", "peft"]
    attention_only: bool = False


ADAPTERS = (
    AdapterPlan("electronics", "apertus", "mlx"),
    AdapterPlan("embedded", "apertus", "peft"),
    AdapterPlan("kicad", "apertus", "mlx"),
    AdapterPlan("spice", "apertus", "peft"),
    AdapterPlan("emc", "apertus", "mlx"),
    AdapterPlan("dsp", "apertus", "peft"),
    AdapterPlan("power", "apertus", "mlx"),
    AdapterPlan("iot", "apertus", "peft"),
    AdapterPlan("security", "apertus", "mlx"),
    AdapterPlan("math", "apertus", "peft"),
    AdapterPlan("python", "devstral", "mlx"),
    AdapterPlan("cpp", "devstral", "peft"),
)
BASES = ("apertus", "devstral")


def domains_of(base: str) -> list[str]:
    """Return the domains served by ``base``, in the order of the table."""
    return [plan.domain for plan in ADAPTERS if plan.base == base]


def plan_of(domain: str) -> AdapterPlan:
    """Return the plan of ``domain``'s adapter; raises KeyError if there is none."""
    for plan in ADAPTERS:
        if plan.domain == domain:
            return plan
    raise KeyError(domain)
