"""The Kedro workspace: wiring, input and output, tracking, delegation."""
