"""Room `reporting`; see docs/architecture.md."""
