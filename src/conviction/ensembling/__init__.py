"""Room `ensembling`; see docs/architecture.md."""
