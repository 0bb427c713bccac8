"""Provenance: what is written comes back, and what is not one is refused."""

from __future__ import annotations

import pytest
from hypothesis import given, settings
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


@settings(max_examples=50)
@given(provenances)
def test_a_record_gives_the_provenance_back(provenance: Provenance) -> None:
    # Empty names of model and version are kept out of the text; everything a program writes is not empty.
    kept = Provenance(**{**provenance.as_dict(), "model": "m" + provenance.model, "version": "v" + provenance.version})
    text = Record("YX", (2, 2), provenance=kept).as_text()
    assert Record.from_text(text) == Record("YX", (2, 2), provenance=kept)
    assert text.isascii()
    assert "\n" not in text


def test_now_knows_the_time() -> None:
    provenance = Provenance.now("default", 0.5, "scan.png")
    assert (provenance.model, provenance.threshold, provenance.source) == ("default", 0.5, "scan.png")
    assert provenance.created.endswith("+00:00")
    assert provenance.approved is None


def test_keys_of_newer_versions_are_ignored() -> None:
    values = {"model": "m", "threshold": 1, "version": "9", "mood": "good"}
    assert Provenance.from_dict(values) == Provenance("m", 1.0, "9")


@pytest.mark.parametrize(
    ("values", "message"),
    [
        ([1], r"its provenance is \[1\]"),
        ({"model": "m", "version": "1"}, "its threshold is {"),
        ({"model": "m", "version": "1", "threshold": "high"}, "its threshold is 'high'"),
        ({"model": "m", "version": "1", "threshold": float("nan")}, "its provenance is {"),
        ({"model": 3, "version": "1", "threshold": 1}, "its model is 3"),
        ({"threshold": 1}, "its model is {"),
    ],
)
def test_other_values_are_refused(values: object, message: str) -> None:
    with pytest.raises(InputError, match=message):
        Provenance.from_dict(values)


def test_a_record_survives_as_one_line_of_a_description() -> None:
    record = Record("ZYX", (1, 2, 3), Spacing((2, 1, 1), "mm"), Provenance("é=\\users", 0.5, "1"))
    line = find_line(f"ImageJ=1.54f\nimages=1\nwavegms={record.as_text()}\n")
    assert line is not None
    assert Record.from_text(line) == record


@pytest.mark.parametrize("text", ["", "{", "[" * 9999, "3", '{"axes": "YX"}', '{"axes": "YX", "shape": ["a"]}'])
def test_a_damaged_record_is_no_record(text: str) -> None:
    assert Record.from_text(text) is None


def test_objects_carry_the_names_and_codes_of_their_classes_up_to_a_hundred() -> None:
    names, codes = ("background", "liver", "kidney"), ("", "SCT 64033007")
    organs = Provenance("m", 0.5, "1", class_names=names, class_colors=("#dd8265",), class_codes=codes)
    objects = organs.of_objects([2, 1, 2])
    assert objects.class_names == ("background", "kidney", "liver", "kidney")
    assert (objects.class_colors, objects.class_codes) == ((), (codes[1], "", codes[1]))
    many = organs.of_objects([1] * 101)
    assert (many.class_names, many.class_codes) == ((), ())
