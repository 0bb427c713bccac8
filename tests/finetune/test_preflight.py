"""What is wrong with each pair, and what helps."""

from __future__ import annotations

from typing import Any

import numpy as np
import pytest
from hypothesis import given
from hypothesis import strategies as st
from hypothesis.extra import numpy as hnp
from numpy.typing import NDArray

from napari_wavegms.errors import InputError
from napari_wavegms.finetune.preflight import (
    Candidate,
    PairReport,
    Problem,
    Remedy,
    Trouble,
    check_pairs,
    mend,
    readiness,
    ready_pairs,
)
from napari_wavegms.learn.frames import framed
from napari_wavegms.segment.preprocessing import Preprocessing
from napari_wavegms.storage.content_hash import content_hash


def candidate(name: str = "polyp", seed: int = 0, **changes: Any) -> Candidate:
    image = np.random.default_rng(seed).integers(0, 256, (6, 8, 3), np.uint8)
    mask = np.zeros((6, 8), np.uint8)
    mask[:3] = 1
    return Candidate(**{"name": name, "image": image, "mask": mask, **changes})


def the_problem(broken: Candidate) -> Problem:
    [report] = check_pairs([broken])
    [problem] = report.problems
    assert not report.ready
    return problem


def test_a_good_pair_is_ready_and_told_in_numbers() -> None:
    good = candidate(prediction=np.zeros((6, 8), bool))
    [report] = check_pairs([good])
    assert report.ready
    assert (report.labelled_share, report.changed_share) == (0.5, 0.5)
    assert report.content == content_hash(good.image)
    assert report.summary == "50 % changed, ready"
    assert check_pairs([candidate()])[0].summary == "50 % labelled, ready"
    assert readiness([report]).sentence == "1 image is ready."
    assert readiness([report]).can_start


float_image = np.random.default_rng(1).random((6, 8))
gaps, nothing = float_image.copy(), np.full((6, 8), np.nan)
gaps[0, 0] = np.nan
island = np.zeros((6, 8), int)
island[2:4, 2:6] = [[1, 1, 1, 1], [1, 1, 1, 0]]
fractions = np.zeros((6, 8))
fractions[:3] = 0.7


@pytest.mark.parametrize(
    ("changes", "trouble", "first", "sentence"),
    [
        ({"mask": np.ones((3, 4), int) - np.eye(3, 4, dtype=int)}, Trouble.SIZE, Remedy.RESIZE, "6 x 8 .* mask 3 x 4"),
        (
            {"prediction": np.eye(6, 8) > 0, "mask": np.eye(6, 8, dtype=int)},
            Trouble.UNTOUCHED,
            Remedy.LEAVE_OUT,
            "drew",
        ),
        ({"mask": np.eye(8, 6, dtype=int)}, Trouble.SIZE, Remedy.LEAVE_OUT, "rows and columns were swapped"),
        ({"mask": np.eye(6, 16, dtype=int)}, Trouble.SIZE, Remedy.LEAVE_OUT, "another aspect"),
        ({"mask": np.zeros((6, 8), int)}, Trouble.EMPTY, Remedy.LEAVE_OUT, "Nothing is labelled in polyp"),
        ({"mask": np.ones((6, 8), int)}, Trouble.FULL, Remedy.LEAVE_OUT, "Every pixel of polyp"),
        ({"mask": 1 - island}, Trouble.INVERTED, Remedy.INVERT, "85 % of polyp is labelled, and so is its border"),
        ({"mask": fractions}, Trouble.DTYPE, Remedy.ROUND, "fractions"),
        ({"mask": np.eye(6, 8)}, Trouble.DTYPE, Remedy.ROUND, "whole numbers of type float64"),
        ({"mask": np.eye(6, 8, dtype=complex)}, Trouble.MASK, Remedy.LEAVE_OUT, "complex128 values"),
        ({"mask": np.ones((6, 8, 3), int)}, Trouble.MASK, Remedy.LEAVE_OUT, "a plane of"),
        ({"mask": -np.eye(6, 8, dtype=int)}, Trouble.MASK, Remedy.LEAVE_OUT, "labels count from 0 up"),
        ({"mask": np.full((6, 8), 2**40)}, Trouble.MASK, Remedy.LEAVE_OUT, "in 32 bits"),
        ({"mask": nothing}, Trouble.MASK, Remedy.LEAVE_OUT, "NaN or infinite"),
        ({"image": gaps}, Trouble.NOT_FINITE, Remedy.KEEP, "2 % of polyp is NaN or infinite"),
        ({"image": nothing}, Trouble.NOT_FINITE, Remedy.LEAVE_OUT, "no valid pixel"),
        ({"image": np.ones((6, 8, 2))}, Trouble.IMAGE, Remedy.LEAVE_OUT, "2 channels"),
        ({"image": np.full((6, 8), "x")}, Trouble.IMAGE, Remedy.LEAVE_OUT, "real numbers"),
    ],
)
def test_each_problem_has_a_sentence_and_a_remedy(
    changes: dict[str, Any], trouble: Trouble, first: Remedy, sentence: str
) -> None:
    problem = the_problem(candidate(**changes))
    assert problem.trouble is trouble
    assert problem.remedies[0] is first
    assert Remedy.LEAVE_OUT in problem.remedies
    with pytest.raises(AssertionError, match=sentence):
        raise AssertionError(problem.sentence)


def test_the_same_image_twice_is_told_by_content_not_by_name() -> None:
    first, other = candidate("a"), candidate("b", mask=np.eye(6, 8, dtype=int))
    same_name = candidate("a", seed=1)
    reports = check_pairs([first, other, same_name, candidate("c")])
    assert [report.ready for report in reports] == [True, False, True, False]
    assert reports[1].problems[0].sentence.startswith("b has the same pixels as a and another mask.")
    assert reports[3].problems[0].sentence.startswith("c has the same pixels as a and the same mask.")


def test_looking_changes_nothing() -> None:
    broken = candidate(mask=fractions.copy(), image=gaps.copy())
    before = broken.mask.tobytes(), broken.image.tobytes()
    assert [problem.trouble for problem in check_pairs([broken])[0].problems] == [Trouble.NOT_FINITE, Trouble.DTYPE]
    assert (broken.mask.tobytes(), broken.image.tobytes()) == before


def test_resizing_takes_the_nearest_pixel() -> None:
    small = candidate(image=np.zeros((4, 6)), mask=np.array([[1, 2, 3], [0, 5, 6]]))
    mended = mend(small, the_problem(small), Remedy.RESIZE)
    assert mended is not None
    assert mended.mask.tolist() == [[1, 1, 2, 2, 3, 3]] * 2 + [[0, 0, 5, 5, 6, 6]] * 2
    assert check_pairs([mended])[0].ready


def test_inverting_exchanges_structure_and_background() -> None:
    inverted = candidate(mask=np.where(island > 0, 0, 255))
    mended = mend(inverted, the_problem(inverted), Remedy.INVERT)
    assert mended is not None
    assert mended.mask.tolist() == island.tolist()
    assert check_pairs([mended])[0].ready


def test_rounding_makes_labels() -> None:
    broken = candidate(mask=np.array([[0.4, 0.5, 0.6], [1.0, 1.6, 3.0]]), image=np.eye(2, 3))
    mended = mend(broken, the_problem(broken), Remedy.ROUND)
    assert mended is not None
    assert mended.mask.dtype == np.uint8
    assert mended.mask.tolist() == [[0, 0, 1], [1, 2, 3]]
    assert check_pairs([mended])[0].ready


def test_what_is_kept_anyway_is_asked_once() -> None:
    empty = candidate(mask=np.zeros((6, 8), int))
    kept = mend(empty, the_problem(empty), Remedy.KEEP)
    assert kept is not None
    assert check_pairs([kept])[0].ready
    assert kept.mask is empty.mask


def test_left_out_is_gone_and_a_foreign_remedy_is_refused() -> None:
    empty = candidate(mask=np.zeros((6, 8), int))
    assert mend(empty, the_problem(empty), Remedy.LEAVE_OUT) is None
    with pytest.raises(
        InputError, match="'Round' does not help where the mask is empty; choose 'Leave out' or 'Keep anyway'"
    ):
        mend(empty, the_problem(empty), Remedy.ROUND)


def test_ready_pairs_have_names_and_groups_of_their_own() -> None:
    candidates = [
        candidate("a"),
        candidate("a", seed=1, group="patient 7"),
        candidate("empty", seed=2, mask=np.zeros((6, 8), int)),
    ]
    reports = check_pairs(candidates)
    pairs = ready_pairs(candidates, reports)
    assert [(pair.name, pair.group) for pair in pairs] == [("a", reports[0].content), ("a (2)", "patient 7")]
    assert pairs[0].mask.dtype == np.uint8
    assert readiness(reports).sentence == (
        "2 of 3 images are ready; empty needs a decision, and will be left out without one."
    )


def test_why_learning_cannot_start() -> None:
    assert readiness([]).sentence.startswith("There is no image with a mask yet.")
    empty = check_pairs([candidate(name, seed, mask=np.zeros((6, 8), int)) for seed, name in enumerate("abc")])
    assert readiness(empty).sentence == "No image is ready: a and 2 others need a decision first."
    assert readiness(empty[:2]).sentence == "No image is ready: a and 1 other need a decision first."
    assert not readiness(empty).can_start
    assert [report.summary for report in empty] == ["mask is empty"] * 3


@pytest.mark.parametrize(
    ("labelled", "words"),
    [(1, "under 1 % labelled, ready"), (159, "over 99 % labelled, ready"), (80, "50 % labelled, ready")],
)
def test_a_little_is_not_nothing(labelled: int, words: str) -> None:
    mask = (np.arange(160) < labelled).reshape(10, 16)
    assert (
        check_pairs([Candidate("a", np.eye(10, 16), mask, accepted=frozenset({Trouble.INVERTED}))])[0].summary == words
    )


kinds = st.sampled_from(["?", "u1", "i2", "u8", "f4", "f8", "c8", "O", "U1"])
shapes = hnp.array_shapes(min_dims=0, max_dims=4, min_side=0, max_side=4)
anything = st.tuples(kinds, shapes, st.integers(0, 3)).map(
    lambda drawn: np.random.default_rng(drawn[2]).integers(-1, 2, drawn[1]).astype(drawn[0])
)


def mended_until_ready(broken: Candidate) -> Candidate | None:
    """Press the first remedy of the first problem until there is none."""
    current: Candidate | None = broken
    for _ in range(10):
        if current is None:
            return None
        report: PairReport = check_pairs([current])[0]
        if report.ready:
            return current
        current = mend(current, report.problems[0], report.problems[0].remedies[0])
    pytest.fail("the remedies go round in circles")


@given(image=anything, mask=anything)
def test_whatever_comes_the_remedies_lead_to_a_pair_or_out(image: NDArray[Any], mask: NDArray[Any]) -> None:
    ready = mended_until_ready(Candidate("x", image, mask))
    if ready is not None:
        [pair] = ready_pairs([ready], check_pairs([ready]))
        assert pair.mask.shape == pair.image.shape[:2]
        assert pair.mask.dtype.kind == "u"


def test_a_plane_is_learned_in_the_grey_values_in_which_it_was_segmented() -> None:
    image, mask = np.full((8, 8), 40, np.int16), np.zeros((8, 8), np.uint8)
    image[0], mask[2:4, 2:6] = -1000, 1
    planes = [Candidate("a", image, mask, window=(0, 80)), Candidate("b", image + 1, mask)]
    images = framed(ready_pairs(planes, check_pairs(planes)), Preprocessing(size=8)).images
    assert images[0, 0, 5].unique().tolist() == [128]  # half of the window
    assert images[1, 0, 5].unique().tolist() == [255]  # the brightest of the plane
