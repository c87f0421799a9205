"""Room `market`; see docs/architecture.md."""
