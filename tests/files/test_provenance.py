"""Provenance: what is written comes back, and what is not one is refused."""

from __future__ import annotations

import json

import pytest
from hypothesis import given
from hypothesis import strategies as st

from napari_wavegms.errors import InputError
from napari_wavegms.files.provenance import Provenance, Record, find_line
from napari_wavegms.files.spacing import Spacing

provenances = st.builds(
    Provenance,
    model=st.text(),
    threshold=st.floats(0, 1),
    version=st.text(),
    source=st.text(),
    created=st.text(),
    approved=st.none() | st.text(min_size=1),
    editor=st.none() | st.text(min_size=1),
)


@given(provenances)
def test_text_gives_the_provenance_back(provenance: Provenance) -> None:
    # Empty names of model and version are kept out of the text; everything a program writes is not empty.
    kept = Provenance(**{**provenance.as_dict(), "model": "m" + provenance.model, "version": "v" + provenance.version})
    assert Provenance.from_text(kept.as_text()) == kept
    assert kept.as_text().isascii()
    assert "\n" not in kept.as_text()


def test_now_knows_the_time() -> None:
    provenance = Provenance.now("default", 0.5, "scan.png")
    assert (provenance.model, provenance.threshold, provenance.source) == ("default", 0.5, "scan.png")
    assert provenance.created.endswith("+00:00")
    assert provenance.approved is None


def test_keys_of_newer_versions_are_passed_over() -> None:
    text = json.dumps({"model": "m", "threshold": 1, "version": "9", "mood": "good"})
    assert Provenance.from_text(text) == Provenance("m", 1.0, "9")


@pytest.mark.parametrize(
    ("text", "message"),
    [
        ("not json", "A provenance is JSON"),
        ("[1]", "JSON object; list came"),
        ('{"model": "m", "version": "1"}', "threshold as a number; None came"),
        ('{"model": "m", "version": "1", "threshold": true}', "threshold as a number; True came"),
        ('{"model": "m", "version": "1", "threshold": NaN}', "threshold as a number; nan came"),
        ('{"model": 3, "version": "1", "threshold": 1}', "names and times as text"),
        ('{"threshold": 1}', "needs model and version"),
    ],
)
def test_other_texts_are_refused(text: str, message: str) -> None:
    with pytest.raises(InputError, match=message):
        Provenance.from_text(text)


def test_a_record_survives_as_one_line_of_a_description() -> None:
    record = Record("ZYX", (1, 2, 3), Spacing((2, 1, 1), "mm"), Provenance("é=\\users", 0.5, "1"))
    line = find_line(f"ImageJ=1.54f\nimages=1\nwavegms={record.as_text()}\n")
    assert line is not None
    assert Record.from_text(line) == record


@pytest.mark.parametrize("text", ["", "{", "[]", "3", '{"axes": "YX"}', '{"axes": "YX", "shape": ["a"]}'])
def test_a_damaged_record_is_no_record(text: str) -> None:
    assert Record.from_text(text) is None
