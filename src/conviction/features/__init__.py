"""Room `features`; see docs/architecture.md."""
