"""`wavegms bench`: measure on this machine what the documentation says of another."""

from __future__ import annotations

import argparse
import json
from dataclasses import asdict
from pathlib import Path
from typing import Any

from napari_wavegms.commands.bench import adaptation_command
from napari_wavegms.commands.common.arguments import Commands, add_command, add_device, add_model, one_of
from napari_wavegms.commands.common.console import show, show_json, tell
from napari_wavegms.commands.common.exit_codes import DONE
from napari_wavegms.commands.common.models import named_model
from napari_wavegms.commands.common.output_paths import checked_output_file
from napari_wavegms.errors import InputError
from napari_wavegms.model.card import read_card
from napari_wavegms.storage.atomic import atomic_write

_STDOUT = "-"
_SPEED, _ADAPTATION = "speed", "adaptation"

_EPILOG = """\
First how fast the program is here: the first mask, later ones, and steps of learning; about half a minute. Then how a
model adapts to a kind of image that it has never seen, with ten corrections, as the Fine-tune panel does, scored on
other images before and after; a quarter of an hour, unless there are fewer draws. DATA is a folder with images, masks
and split.json ({"train": [stems], "val": [stems]}). Without --new the program's own skin lesion phantoms are the new
kind, and its ultrasound phantoms the known one; those say that all works and how long it takes, not how well it does on
patients."""


def add_parser(commands: Commands) -> None:
    """Tell argparse about the command."""
    parser = add_command(
        commands, "bench", run, "Measure how fast the program is here, and how a model adapts", epilog=_EPILOG
    )
    parser.add_argument(
        "--only",
        metavar=f"{_SPEED}|{_ADAPTATION}",
        type=one_of(_SPEED, _ADAPTATION),
        help="how fast the program is, or how a model adapts, alone (default: both)",
    )
    add_model(parser)
    add_device(parser)
    parser.add_argument(
        "--json", metavar="FILE", nargs="?", const=_STDOUT, help="write the figures as JSON (without FILE: print them)"
    )
    adaptation_command.add_options(parser.add_argument_group("how a model adapts"))


def run(options: argparse.Namespace) -> int:
    """Measure, and print a table of each part as soon as it is there."""
    parts = [part for part in (_SPEED, _ADAPTATION) if options.only in (None, part)]
    target = Path(options.json) if options.json not in (None, _STDOUT) else None
    # What is wrong is found before the minutes that measuring takes.
    if _ADAPTATION in parts:
        adaptation_command.check(options)
    elif options.new or options.known:
        raise InputError(
            "--new and --known are for how a model adapts, which --only speed leaves out. Drop one of them."
        )
    if target is not None:
        checked_output_file(target)
    read_card(named_model(options.model))
    report = _measure(options, parts)
    if options.json == _STDOUT:
        show_json(report)
    if target is not None:
        with atomic_write(target) as neighbour:
            neighbour.write_text(json.dumps(report, indent=2, allow_nan=False) + "\n", encoding="utf-8")
    return DONE


def _measure(options: argparse.Namespace, parts: list[str]) -> dict[str, Any]:
    """Give the figures of each part under its name; where stdout is to hold JSON alone, the rest goes to stderr."""
    from napari_wavegms.commands.bench import speed as bench_speed
    from napari_wavegms.commands.bench.machine import Machine
    from napari_wavegms.commands.bench.timing import table

    say = tell if options.json == _STDOUT else show
    machine = Machine.here(options.device)
    say(machine.sentence)
    report: dict[str, Any] = {"machine": asdict(machine)}
    if _SPEED in parts:
        speed = bench_speed.measure(named_model(options.model), machine.device)
        report[_SPEED] = [asdict(measured) for measured in speed]
        _show_table(table(speed), options)
    if _ADAPTATION in parts:
        adaptation = adaptation_command.measure(options)
        report[_ADAPTATION] = [asdict(adapted) for adapted in adaptation]
        _show_table(adaptation_command.table(adaptation), options)
    return report


def _show_table(rows: list[str], options: argparse.Namespace) -> None:
    if options.json != _STDOUT:
        for line in ("", *rows):
            show(line)
