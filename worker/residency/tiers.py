"""Where adapters are, as the policy asks for it. Belongs to the engine thread."""

from collections.abc import Mapping

from worker.residency.adapters import AdapterVersion
from worker.residency.hosting import HostCopies
from worker.residency.policy import SlotTable


class TierView:
    """For one plan: of what rows ask for now, by digest."""

    def __init__(
        self, table: SlotTable, host: HostCopies, versions: Mapping[str, AdapterVersion]
    ) -> None:
        self._table = table
        self._host = host
        self._versions = versions
        self._can_free = table.has_free or table.plan_victim(()) is not None

    def in_slot(self, adapter: str | None) -> bool:
        return self._table.slot_of(adapter) is not None

    def can_put(self, adapter: str) -> bool:
        needs = self._versions[adapter].needs
        return self._can_free and all(need.digest in self._host for need in needs)
