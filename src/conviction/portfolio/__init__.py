"""Room `portfolio`; see docs/architecture.md."""
