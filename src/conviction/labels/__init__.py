"""Room `labels`; see docs/architecture.md."""
