"""Room `audit`; see docs/architecture.md."""
