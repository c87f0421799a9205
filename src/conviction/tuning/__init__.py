"""Room `tuning`; see docs/architecture.md."""
