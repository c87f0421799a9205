"""The frame contract refuses exactly the frames whose keys repeat or stand out of order."""

from __future__ import annotations

from datetime import date

import polars as pl
import pytest
from hypothesis import given
from hypothesis import strategies as st

from conviction.errors import FrameError
from conviction.frames import check_panel

KEYS = st.lists(st.tuples(st.sampled_from("ABC"), st.dates(date(2020, 1, 1), date(2020, 1, 4))), min_size=1, max_size=6)


@given(keys=st.one_of(KEYS, KEYS.map(sorted), KEYS.map(lambda rows: sorted(set(rows)))))
def test_a_panel_passes_if_and_only_if_its_keys_are_sorted_and_unique(keys):
    frame = pl.DataFrame(keys, schema={"symbol": pl.String, "session": pl.Date}, orient="row")
    if len(set(keys)) < len(keys):
        with pytest.raises(FrameError, match="has duplicated rows"):
            check_panel(frame, name="panel")
    elif keys != sorted(keys):
        with pytest.raises(FrameError, match="is not sorted"):
            check_panel(frame, name="panel")
    else:
        assert check_panel(frame, name="panel") is frame
