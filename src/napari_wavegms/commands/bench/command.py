"""`wavegms bench`: measure on this machine what the documentation says of another."""

from __future__ import annotations

import argparse
import platform
import time
from dataclasses import asdict, dataclass

from napari_wavegms.commands.common.arguments import (
    STDOUT,
    Commands,
    add_command,
    add_device,
    add_json_file,
    add_model,
    json_target,
)
from napari_wavegms.commands.common.console import note, show, show_json
from napari_wavegms.commands.common.exit_codes import DONE
from napari_wavegms.commands.common.models import named_model
from napari_wavegms.commands.common.output_paths import write_json
from napari_wavegms.model.card import read_card
from napari_wavegms.wording import counted, duration

_EPILOG = "Measures the first mask, later masks and training steps on synthetic images; takes about half a minute."


def add_parser(commands: Commands) -> None:
    """Register the command with argparse."""
    parser = add_command(commands, "bench", run, "Measure how fast the program is on this machine", epilog=_EPILOG)
    add_model(parser)
    add_device(parser)
    add_json_file(parser, "figures")


def run(options: argparse.Namespace) -> int:
    """Measure and print a table."""
    # Wrong options are found before torch is loaded.
    target = json_target(options, [])
    model = named_model(options.model)
    read_card(model)
    from napari_wavegms.commands.bench.speed import measure_speed, table

    machine = Machine.here(options.device)
    prints_json = options.json == STDOUT
    (note if prints_json else show)(machine.sentence)
    began = time.perf_counter()
    results = []
    for measured in measure_speed(model, machine.device):
        results.append(measured)
        note(f"{measured.what}: {measured}")
    note(f"This took {duration(time.perf_counter() - began)}.")
    report = {"machine": asdict(machine), "speed": [asdict(measured) for measured in results]}
    if prints_json:
        show_json(report)
    else:
        show("\n".join(["", *table(results)]))
    if target is not None:
        write_json(target, report)
    return DONE


@dataclass(frozen=True, slots=True)
class Machine:
    """What decides how fast the program is here: processor, device and precision."""

    architecture: str
    threads: int
    torch: str
    device: str
    reason: str
    segmenting: str
    learning: str
    compiled: bool

    @classmethod
    def here(cls, device: str) -> Machine:
        """Describe this machine; raises `InputError` if the device is unknown or not available."""
        import torch

        from napari_wavegms.model.device import choose_device, computes_bfloat16, multiplies_bfloat16
        from napari_wavegms.model.kernels.group_norm import fuses

        chosen = choose_device(device)
        learning = computes_bfloat16(chosen.name)
        # Training asks within autocast, and so must we.
        with torch.autocast(chosen.name, torch.bfloat16, enabled=learning):
            compiled = fuses(torch.device(chosen.name))
        return cls(
            architecture=platform.machine(),
            threads=torch.get_num_threads(),
            torch=str(torch.__version__),
            device=chosen.name,
            reason=chosen.reason,
            segmenting="bfloat16" if multiplies_bfloat16(chosen.name) else "float32",
            learning="bfloat16" if learning else "float32",
            compiled=compiled,
        )

    @property
    def sentence(self) -> str:
        """All of it in one line.

        Examples
        --------
        >>> Machine("arm64", 8, "2.13.0", "cpu", "the processor (chosen)", "float32", "float32", False).sentence
        'arm64, 8 threads, torch 2.13.0, on the processor (chosen); segments in float32, trains in float32.'
        """
        compiled = " with compiled normalisation" if self.compiled else ""
        return (
            f"{self.architecture}, {counted(self.threads, 'thread')}, torch {self.torch}, on {self.reason}; "
            f"segments in {self.segmenting}, trains in {self.learning}{compiled}."
        )
