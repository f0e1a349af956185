"""The one clock of this package: monotonic seconds."""

from time import perf_counter as now_s

__all__ = ["now_s"]
