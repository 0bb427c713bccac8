"""What strangers' files put into a sentence does no harm to who reads it."""

from __future__ import annotations

import pytest

from napari_wavegms.errors import InputError, plain


@pytest.mark.parametrize("name", ["x" * 200_000, "a b " * 50_000, "\x1b]0;title\x07" * 100, "\ud800", "\u202egnp.exe"])
def test_a_sentence_stays_short_and_shows_escapes(name: str) -> None:
    sentence = str(InputError(f"The file {name} is damaged. Get a fresh copy."))
    assert len(sentence) <= 620
    assert sentence == plain(sentence)
    sentence.encode()
    assert sentence.startswith("The file ")
    assert sentence.endswith(" is damaged. Get a fresh copy.")


def test_what_people_write_stays_as_it_is() -> None:
    sentence = "Größe_µ/日本語 (2).png is empty (0 bytes). Copy or export it again."
    assert str(InputError(sentence)) == sentence
