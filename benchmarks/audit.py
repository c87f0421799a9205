"""``make bench-audit``: measured power and cost of the leakage audit, its code half and its data half."""

from __future__ import annotations

import sys

import audit_code
import audit_data

if __name__ == "__main__":
    halves = sys.argv[1:] or ["code", "data"]
    if "code" in halves:
        audit_code.main([])
    if "data" in halves:
        audit_data.main([])
