"""Room `folds`; see docs/architecture.md."""
