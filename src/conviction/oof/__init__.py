"""Room `oof`; see docs/architecture.md."""
