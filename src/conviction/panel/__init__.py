"""Room `panel`; see docs/architecture.md."""
