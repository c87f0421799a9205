"""The research library: pure functions over frames.

No Kedro, MLflow, cloud client, file, network or clock in here; see docs/architecture.md for the rooms.
"""

__version__ = "0.1.0"
