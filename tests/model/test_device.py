"""What a processor is said to compute in, from what torch reports of it."""

import pytest
import torch

from napari_wavegms.model.device import computes_bfloat16, multiplies_bfloat16

XEON = {"avx512_bf16": True, "amx_bf16": True, "cpu_name": "Intel Xeon Platinum 8481C"}
XEON_WITHOUT_AMX = {"avx512_bf16": True, "amx_bf16": False, "cpu_name": "Intel Xeon Platinum 8380H"}
EPYC = {"avx512_bf16": True, "amx_bf16": False, "cpu_name": "AMD EPYC 9B45"}
OLD_RYZEN = {"avx512_bf16": False, "amx_bf16": False, "cpu_name": "AMD Ryzen 7 5800X"}
APPLE = {"bf16": True, "cpu_name": "Apple M2"}


@pytest.mark.parametrize(
    ("reported", "learns", "looks"),
    [
        (XEON, True, True),
        (XEON_WITHOUT_AMX, True, False),
        (EPYC, True, True),
        (OLD_RYZEN, False, False),
        (APPLE, False, False),
        ({}, False, False),
    ],
)
def test_bfloat16_is_used_where_it_pays(
    monkeypatch: pytest.MonkeyPatch, reported: dict[str, object], learns: bool, looks: bool
) -> None:
    monkeypatch.setattr(torch.cpu, "get_capabilities", lambda: reported)
    assert (computes_bfloat16("cpu"), multiplies_bfloat16("cpu")) == (learns, looks)


def test_an_apple_gpu_keeps_float32() -> None:
    assert not computes_bfloat16("mps")
    assert not multiplies_bfloat16("mps")
