"""Which mask belongs to which image."""

from __future__ import annotations

from dataclasses import replace

from hypothesis import given
from hypothesis import strategies as st

from napari_wavegms.widgets.layers.layer_matching import ImageLayer, LabelsLayer, Matching, match_layers

shapes = st.sampled_from([(4, 4), (4, 6), (3, 4, 4)])
scales = st.sampled_from([(), (1.0, 1.0), (0.5, 0.5)])
image_layers = st.lists(
    st.builds(ImageLayer, st.integers(0, 9), st.text(), shapes, scales),
    max_size=5,
    unique_by=lambda layer: layer.layer_id,
)
mask_layers = st.lists(
    st.builds(LabelsLayer, st.integers(10, 19), st.text(), shapes, scales, made_from=st.none() | st.integers(0, 9)),
    max_size=5,
    unique_by=lambda layer: layer.layer_id,
)


def sentences(matching: Matching) -> list[str]:
    return list(matching.leftovers.values())


@given(images=image_layers, masks=mask_layers)
def test_each_layer_is_matched_once_or_left_over_with_a_sentence(
    images: list[ImageLayer], masks: list[LabelsLayer]
) -> None:
    matching = match_layers(images, masks)
    used = [*matching.proposals.keys(), *matching.proposals.values()]
    assert sorted([*used, *matching.leftovers]) == sorted(layer.layer_id for layer in (*images, *masks))
    assert all(sentence.endswith(".") for sentence in sentences(matching))


@given(images=image_layers, masks=mask_layers, names=st.lists(st.sampled_from("abc"), min_size=10, max_size=10))
def test_names_settle_only_what_sizes_leave_open(
    images: list[ImageLayer], masks: list[LabelsLayer], names: list[str]
) -> None:
    called = [replace(image, name=name) for image, name in zip(images, names, strict=False)]
    marked = [replace(mask, name=f"{name} mask") for mask, name in zip(masks, names[5:], strict=False)]
    unnamed = match_layers([replace(image, name="") for image in images], [replace(mask, name="") for mask in masks])
    assert unnamed.proposals.items() <= match_layers(called, marked).proposals.items()


@given(images=image_layers, masks=mask_layers)
def test_the_order_of_the_images_matters_only_for_the_order(images: list[ImageLayer], masks: list[LabelsLayer]) -> None:
    assert match_layers(images, masks).proposals == match_layers(images[::-1], masks).proposals


def test_who_made_it_comes_first_whatever_it_is_called() -> None:
    images = [ImageLayer(1, "a", (4, 4)), ImageLayer(2, "b", (4, 4))]
    masks = [LabelsLayer(11, "b mask", (4, 4), made_from=1), LabelsLayer(12, "a mask", (4, 4), made_from=2)]
    matching = match_layers(images, masks)
    assert matching == Matching({1: 11, 2: 12}, {})


def test_a_mask_from_elsewhere_is_matched_when_nothing_else_fits() -> None:
    images = [ImageLayer(1, "a", (4, 4)), ImageLayer(2, "b", (5, 5))]
    masks = [LabelsLayer(11, "m", (5, 5)), LabelsLayer(12, "n", (4, 4))]
    assert match_layers(images, masks).proposals == {1: 12, 2: 11}


def test_two_that_fit_are_a_question() -> None:
    images = [ImageLayer(1, "a", (4, 4)), ImageLayer(2, "b", (4, 4))]
    matching = match_layers(images, [LabelsLayer(11, "a", (4, 4))])
    assert matching.proposals == {}
    assert sentences(matching) == [
        "a: the mask a fits other images too. Choose its mask.",
        "b: the mask a fits other images too. Choose its mask.",
        "a: 2 open images have its size. Choose its image.",
    ]
    both = match_layers(images[:1], [LabelsLayer(11, "m", (4, 4)), LabelsLayer(12, "n", (4, 4))])
    assert both.proposals == {}
    assert sentences(both)[0] == "a: 2 open masks fit. Choose one."
    assert sentences(both)[1] == "m: another mask fits its image too. Choose one of the two."


def test_among_masks_of_one_size_the_name_tells() -> None:
    images = [ImageLayer(1, "a", (4, 4)), ImageLayer(2, "a_2", (4, 4))]
    masks = [LabelsLayer(11, "a_2 mask", (4, 4)), LabelsLayer(12, "a_truth [1]", (4, 4))]
    assert match_layers(images, masks) == Matching({1: 12, 2: 11}, {})
    twice = match_layers([*images, ImageLayer(3, "a", (4, 4))], masks)
    assert twice.proposals == {2: 11}  # of two images with one name neither is guessed
    twins = [LabelsLayer(11, "a mask", (4, 4)), LabelsLayer(12, "a_mask", (4, 4))]
    assert match_layers(images[:1], twins) == Matching(
        {1: 12}, {11: "a mask fits a, like a_mask, which is proposed. Choose one of the two."}
    )


def test_of_images_of_one_name_each_has_the_mask_of_its_number() -> None:
    images = [ImageLayer(1, "scan", (4, 4)), ImageLayer(2, "scan [1]", (4, 4))]
    masks = [LabelsLayer(11, "scan mask", (4, 4)), LabelsLayer(12, "scan mask [1]", (4, 4))]
    assert match_layers(images, masks) == Matching({1: 11, 2: 12}, {})
    assert match_layers(images, masks[1:]).proposals == {2: 12}
    assert match_layers(images[:1], [masks[1], LabelsLayer(13, "x", (4, 4))]).proposals == {1: 12}


def test_a_mask_of_another_size_is_answered_with_both_sizes() -> None:
    image = ImageLayer(1, "scan", (40, 60))
    sizes = match_layers([image], [LabelsLayer(11, "scan_mask", (20, 30))])
    assert sizes.proposals == {}
    assert sentences(sizes)[0] == (
        "scan is 40 x 60 pixels and scan_mask 20 x 30. Choose another mask, or resize this one to its image."
    )
    places = match_layers([replace(image, scale=(1, 1))], [LabelsLayer(11, "scan_mask", (40, 60), (2, 2))])
    assert sentences(places)[0] == (
        "scan and scan_mask differ in scale or position. Choose another mask, or align the two."
    )


def test_a_second_mask_beside_ours_is_not_given_to_another_image() -> None:
    images = [ImageLayer(1, "a", (4, 4)), ImageLayer(2, "b", (4, 4))]
    masks = [LabelsLayer(11, "ours", (4, 4), made_from=1), LabelsLayer(12, "truth of a", (4, 4))]
    assert match_layers(images, masks).proposals == {1: 11}


def test_of_two_masks_that_we_made_the_topmost_is_proposed() -> None:
    masks = [LabelsLayer(11, "old", (4, 4), made_from=1), LabelsLayer(12, "new", (4, 4), made_from=1)]
    matching = match_layers([ImageLayer(1, "a", (4, 4))], masks)
    assert matching.proposals == {1: 12}
    assert sentences(matching) == ["old was made from a, like new, which is above it and is proposed."]


def test_a_mask_of_a_closed_image_is_never_guessed() -> None:
    matching = match_layers([ImageLayer(1, "a", (4, 4))], [LabelsLayer(11, "m", (4, 4), made_from=7)])
    assert matching.proposals == {}
    assert sentences(matching) == [
        "a has no mask. Segment it, or draw one.",
        "m was made from an image that is no longer open. Choose its image.",
    ]


def test_another_scale_is_another_place() -> None:
    image, mask = ImageLayer(1, "a", (4, 4), (0.5, 0.5)), LabelsLayer(11, "m", (4, 4), (1.0, 1.0))
    assert match_layers([image], [mask]).proposals == {}
    assert sentences(match_layers([image], [mask]))[1] == (
        "m fits no open image: none has its size, scale and position. Open its image."
    )
    assert len(match_layers([image], [replace(mask, scale=(0.5, 0.5 + 1e-9))]).proposals) == 1
    assert len(match_layers([image], [replace(mask, scale=())]).proposals) == 1


def test_a_mask_that_lies_elsewhere_is_no_mask_of_the_image() -> None:
    image = ImageLayer(1, "tile", (4, 4), (0.5, 0.5), (10.0, 20.0))
    for shift, belongs in ((0.0, True), (0.25, True), (0.5, False), (2.0, False)):
        mask = LabelsLayer(11, "truth", (4, 4), (0.5, 0.5), (10.0, 20.0 + shift))
        assert (match_layers([image], [mask]).proposals == {1: 11}) is belongs
