"""What a node costs: wall seconds, CPU seconds of this process and its children, and the highest memory so far."""

from __future__ import annotations

import resource
import sys
import time
from dataclasses import dataclass, field

_KIB = 1024.0


def _cpu_seconds() -> float:
    parts = [resource.getrusage(who) for who in (resource.RUSAGE_SELF, resource.RUSAGE_CHILDREN)]
    return sum(part.ru_utime + part.ru_stime for part in parts)


@dataclass(frozen=True)
class Meter:
    """Started when a node begins.

    Examples
    --------
    >>> sorted(Meter().read("combine"))
    ['node.combine.cpu_seconds', 'node.combine.seconds', 'peak_memory_mb']
    """

    wall: float = field(default_factory=time.perf_counter)
    cpu: float = field(default_factory=_cpu_seconds)

    def read(self, node: str) -> dict[str, float]:
        """Return the metrics of a node that has ended.

        `peak_memory_mb` is the highest resident memory of this process since it began, so it never falls from node to node;
        workers of a cluster are not in it.
        """
        return {
            f"node.{node}.seconds": time.perf_counter() - self.wall,
            f"node.{node}.cpu_seconds": _cpu_seconds() - self.cpu,
            "peak_memory_mb": _peak_memory_mb(),
        }


def _peak_memory_mb() -> float:
    # Linux counts in KiB, macOS in bytes.
    unit = _KIB if sys.platform == "darwin" else 1.0
    return resource.getrusage(resource.RUSAGE_SELF).ru_maxrss / unit / _KIB
