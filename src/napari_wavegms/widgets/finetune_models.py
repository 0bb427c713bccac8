"""The models to start from and the versions to go back to, in words; nothing here needs torch."""

from __future__ import annotations

from contextlib import suppress
from dataclasses import replace
from datetime import datetime

from napari_wavegms.errors import CheckpointError, InputError
from napari_wavegms.review.split import worth
from napari_wavegms.review.versions import STARTING_MODEL, ModelVersions, VersionEntry
from napari_wavegms.widgets.finetune_rows import VersionRow
from napari_wavegms.widgets.model_choice import ModelChoice, known_models


def learned_models(versions: ModelVersions) -> list[ModelChoice]:
    """Versions whose file is there, the one in use first, then the newest."""
    choices = []
    for entry in sorted(versions.listing(), key=lambda entry: not entry.in_use):
        with suppress(CheckpointError):
            choices.append(replace(ModelChoice.from_file(entry.path), name=entry.version.name))
    return choices


def models_to_start_from(versions: ModelVersions) -> tuple[list[ModelChoice], str]:
    """All models, the best so far first, and why it is that one."""
    learned, known = learned_models(versions), known_models()
    current = versions.current()
    if current is None:
        first = known[0].name if known else ""
        why = f"Best so far: {first}, because no version is in use." if first else ""
        return [*known, *learned], why
    score = "not yet measured" if current.dsc is None else f"DSC {current.dsc:.2f} {worth(len(current.after))}"
    return [*learned, *known], f"Best so far: {current.name} is in use, {score}."


def models_for_segmenting() -> list[ModelChoice]:
    """All models, the version in use first; the installed ones alone where the index of versions cannot be read."""
    try:
        return models_to_start_from(ModelVersions())[0]
    except InputError:  # the Fine-tune panel says what is wrong with it; segmenting goes on
        return known_models()


def version_rows(versions: ModelVersions) -> list[VersionRow]:
    """The versions, newest first, and below them the model before the first."""
    entries = versions.listing()
    rows = [_row(entry) for entry in entries]
    if entries:
        nothing = versions.current() is None
        rows.append(
            VersionRow(
                STARTING_MODEL,
                "the model before",
                note="in use" if nothing else "",
                action="" if nothing else "use",
                details="The installed model, as it was before anything was learned.",
            )
        )
    return rows


def _row(entry: VersionEntry) -> VersionRow:
    version = entry.version
    score = "no score" if version.dsc is None else f"{version.dsc:.2f} on {len(version.after)}"
    words = f"{version.name}   {score}   {when(version.created)}"
    measured = "" if version.dsc is None else f"DSC {version.dsc:.2f} {worth(len(version.after))}. "
    details = (
        f"{version.title}, from {version.parent or 'an unknown model'}, {version.created}. {measured}{version.reason}"
    )
    if entry.missing:
        return VersionRow(version.number, words, "file is gone", details=details)
    note = "in use" if entry.in_use else "" if version.promoted else version.reason
    action = "" if entry.in_use else "use" if version.promoted else "use anyway"
    return VersionRow(version.number, words, note, action, details)


def when(created: str, now: datetime | None = None) -> str:
    """A time as people say it, in their own time zone.

    Examples
    --------
    >>> when("2026-11-21T23:30:00", datetime.fromisoformat("2026-11-22T08:00:00"))
    'yesterday 23:30'
    """
    try:
        moment = datetime.fromisoformat(created)
    except ValueError:
        return ""
    if moment.tzinfo is not None:
        moment = moment.astimezone()
    days = ((now or datetime.now(moment.tzinfo)).date() - moment.date()).days
    day = {0: "today", 1: "yesterday"}.get(days, f"{moment:%Y-%m-%d}")
    return f"{day} {moment:%H:%M}"
