"""One package a pipeline: `pipeline.py` is the wiring, `nodes.py` thin calls into the library."""
