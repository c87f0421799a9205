"""One file per family of features; each exports `FAMILY` and its parameter model."""
