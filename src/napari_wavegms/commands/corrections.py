"""`wavegms corrections` and `wavegms export-masks`: what was approved, out of the program and out of the account."""

from __future__ import annotations

import argparse
from collections.abc import Sequence
from dataclasses import asdict
from functools import partial
from pathlib import Path

from napari_wavegms.commands.common.arguments import Commands, a_path, add_command, add_shared
from napari_wavegms.commands.common.console import about, note, show, show_json
from napari_wavegms.commands.common.exit_codes import BAD_INPUT, DONE, FAILED
from napari_wavegms.commands.common.output_paths import checked_output_folder, refuse_overwriting
from napari_wavegms.corrections.export import file_stems, provenance_of
from napari_wavegms.corrections.records import Correction
from napari_wavegms.corrections.store import CorrectionStore
from napari_wavegms.errors import InputError
from napari_wavegms.files.discovery import find_images, mask_ending, result_names
from napari_wavegms.files.reading import read_image
from napari_wavegms.journal.compaction import forget
from napari_wavegms.journal.journal import Journal
from napari_wavegms.journal.masks import DrawnMask, MaskFile, iter_export
from napari_wavegms.learn.events import run_to_end
from napari_wavegms.storage.memory import set_memory_limit
from napari_wavegms.wording import counted, listed, moment, percent, shortened, sides

_EPILOG = """\
Approved images and masks are stored in the account's data folder ($WAVEGMS_HOME, if it is set), for learning.
list shows them; export writes images, masks and a table to an empty folder; forget removes some of them for good, with
the pixels of the edits that led to them; verify reads everything once and says what is damaged."""


def add_parser(commands: Commands) -> None:
    """Register both commands with argparse."""
    parser = add_command(commands, "corrections", run, "List, export, forget or verify approved masks", epilog=_EPILOG)
    actions = parser.add_subparsers(dest="action", metavar="ACTION", required=True)
    listing = add_command(actions, "list", run_list, "List the approved masks")
    add_shared(listing, "--json")
    export = add_command(actions, "export", run_export, "Write images and masks to a new folder")
    export.add_argument("folder", metavar="DIR", type=a_path, help="a new or empty folder")
    _add_keep_names(export)
    forget = add_command(actions, "forget", run_forget, "Remove approved images and masks for good")
    forget.add_argument("names", metavar="NAME|NUMBER", nargs="+", help="as 'wavegms corrections list' shows them")
    add_command(actions, "verify", run_verify, "Read everything that is stored and say what is damaged")

    masks = add_command(commands, "export-masks", run_masks, "Write approved masks under the names of their images")
    masks.add_argument("input", metavar="INPUT", nargs="*", help="images or folders (default: all that is approved)")
    masks.add_argument("--output", metavar="DIR", type=a_path, required=True, help="folder for the masks")
    add_shared(masks, "--format", "--recursive", "--overwrite", "--max-memory")
    masks.add_argument("--all", action="store_true", help="also masks that are not, or no longer, approved")
    _add_keep_names(masks)


def _add_keep_names(parser: argparse.ArgumentParser) -> None:
    parser.add_argument(
        "--keep-names", action="store_true", help="also tell the folders of the images and who approved the masks"
    )


def run(options: argparse.Namespace) -> int:
    """Do nothing: an action is required, and it has a function of its own."""
    return BAD_INPUT


def run_list(options: argparse.Namespace) -> int:
    """Print the table."""
    store = CorrectionStore()
    corrections = store.corrections()
    if options.json:
        show_json([asdict(correction) for correction in corrections])
    elif corrections:
        names = [shortened(one.name) for one in corrections]
        width = max(map(len, names))
        for name, one in zip(names, corrections, strict=True):
            changed = "" if one.changed_share is None else f", {percent(one.changed_share)} changed"
            labelled = percent(one.labelled / (one.shape[0] * one.shape[1]))
            show(
                f"{one.number:4}  {name:{width}}  {sides(one.shape)}  {labelled} labelled{changed}  {moment(one.time)}"
            )
    else:
        show(f"No mask is approved in {store.folder}.")
    return _told(store.warnings)


def run_export(options: argparse.Namespace) -> int:
    """Write images, masks and their table."""
    store = CorrectionStore()
    written = store.export(options.folder, keep_names=options.keep_names)
    show(f"{counted(len(written), 'image')} with masks in {options.folder}.")
    return _told(store.warnings)


def run_forget(options: argparse.Namespace) -> int:
    """Forget the named corrections; none of them if one does not exist."""
    store = CorrectionStore()
    journal = Journal(store.folder)
    for one in [_named(store, name) for name in options.names]:
        forget(journal, store, one.image)
        show(f"Forgotten: {one.name}, with its image and the pixels of its edits.")
    return DONE


def run_verify(options: argparse.Namespace) -> int:
    """Read everything; the exit code is 1 if something is damaged."""
    store = CorrectionStore()
    wrong = store.database.verify() + store.verify()
    journal = Journal(store.folder)
    images = journal.images()
    for image in images:
        wrong += journal.verify(image)
    if not wrong:
        kept = counted(len(store.corrections()), "correction")
        show(f"{kept} and the edits of {counted(len(images), 'image')}: intact.")
    return _told(wrong)


def run_masks(options: argparse.Namespace) -> int:
    """Write the masks, and say what has none."""
    set_memory_limit(options.max_memory)
    checked_output_folder(options.output)
    store = CorrectionStore()
    files = _of_images(store, options) if options.input else _of_store(store, options)
    done = run_to_end(iter_export(files, overwrite=options.overwrite))
    for image in done.without:
        note(f"{image} has no {'' if options.all else 'approved '}mask.")
    for name, why in done.failed:
        note(about(name, why))
    if done.kept:
        names = listed([file.path.name for file in done.kept])
        note(f"Kept {counted(len(done.kept), 'mask')} that exist already: {names}. Replace them with --overwrite.")
    show(f"{counted(done.written, 'mask')} in {options.output}.")
    return FAILED if done.failed else DONE if done.written or done.kept else BAD_INPUT


def _of_store(store: CorrectionStore, options: argparse.Namespace) -> list[MaskFile]:
    """A file for each stored mask."""
    latest = {one.image: one for one in store.history()} if options.all else {}
    corrections = list((latest | {one.image: one for one in store.corrections()}).values())
    if not corrections:
        raise InputError(f"No mask is approved in {store.folder}. Approve one first.")
    return [
        MaskFile(
            one.name,
            options.output / f"{stem}_mask.{options.format or 'tiff'}",
            partial(_stored, store, one, options.keep_names),
        )
        for one, stem in zip(corrections, file_stems([one.name for one in corrections]), strict=True)
    ]


def _stored(store: CorrectionStore, one: Correction, keep_names: bool) -> DrawnMask:
    return DrawnMask(store.load(one).mask, one.spacing, provenance=provenance_of(one, keep_names=keep_names))


def _of_images(store: CorrectionStore, options: argparse.Namespace) -> list[MaskFile]:
    """A file for each image, with the mask of all planes of a stack in one."""
    files = find_images(options.input, recursive=options.recursive, on_note=note)
    targets = [
        options.output / f"{name}_mask.{mask_ending(file, options.format)}"
        for file, name in zip(files, result_names(files), strict=True)
    ]
    refuse_overwriting(targets, files)
    journal = Journal(store.folder) if options.all else None

    def find(file: Path) -> DrawnMask | None:
        return DrawnMask.of(read_image(file), store, journal, keep_names=options.keep_names)

    return [MaskFile(file.name, path, partial(find, file)) for file, path in zip(files, targets, strict=True)]


def _told(sentences: Sequence[str]) -> int:
    for sentence in sentences:
        note(sentence)
    return FAILED if sentences else DONE


def _named(store: CorrectionStore, name: str) -> Correction:
    """A correction by its name or number, also one that was withdrawn."""
    for one in reversed(store.history()):
        if name in (one.name, str(one.number)):
            return one
    raise InputError(f"There is no correction '{name}'. 'wavegms corrections list' shows their names and numbers.")
