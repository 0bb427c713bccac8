"""Compiled loops for `group_norm`: group normalisation with its activation, over bfloat16 maps in channels_last.

numba has no bfloat16, so that maps come as the bits of one, uint16; arithmetic is float32 and sums end in float64.
A map (N, H·W, C) is read as (N, M, R), with R = k·C for the k that makes rows long enough for vector registers.
"""

# mypy: ignore-errors
# numba gives these functions their types, which are not Python's.

from __future__ import annotations

from typing import Any

import numpy as np
from llvmlite import ir
from numba import njit, types
from numba.extending import intrinsic

_f, _u = np.float32, np.uint32
_OPTIONS: dict[str, Any] = {
    "nogil": True,
    "cache": True,
    "error_model": "numpy",
    # No reassociation: sums have one order, so that a run can be repeated bit by bit.
    "fastmath": {"contract", "nsz", "arcp", "afn"},
}
_BLOCK = 32  # rows summed in float32 before they are added to a float64


@intrinsic
def _as_float(_context: Any, _bits: Any) -> Any:
    return types.float32(types.uint32), lambda _, builder, __, args: builder.bitcast(args[0], ir.FloatType())


@intrinsic
def _as_bits(_context: Any, _value: Any) -> Any:
    return types.uint32(types.float32), lambda _, builder, __, args: builder.bitcast(args[0], ir.IntType(32))


@njit(inline="always")
def _widened(half: Any) -> Any:
    return _as_float(_u(half) << _u(16))


@njit(inline="always")
def _narrowed(value: Any) -> Any:
    """Round to the nearest bfloat16, ties to even; a NaN stays one, since only its payload is rounded."""
    bits = _as_bits(_f(value))
    return np.uint16((bits + _u(0x7FFF) + ((bits >> _u(16)) & _u(1))) >> _u(16))


@njit(inline="always")
def _sigmoid(x: Any) -> Any:
    """1 / (1 + 2^t) with t = -x log2(e): a power of two from exponent bits, and a polynomial for what is left of t."""
    t = min(max(x * _f(-1.4426950408889634), _f(-126.0)), _f(126.0))
    whole = np.floor(t + _f(0.5))
    rest = t - whole
    power = _f(1.3333558e-3)
    for coefficient in (9.6181291e-3, 5.5504109e-2, 0.24022651, 0.69314718, 1.0):
        power = power * rest + _f(coefficient)
    scale = _as_float(_u(np.int32(whole) + np.int32(127)) << _u(23))
    return _f(1.0) / (_f(1.0) + power * scale)


@njit(**_OPTIONS)
def normalise(
    x: Any, weight: Any, bias: Any, groups: int, eps: float, silu: bool, slope: float, y: Any, affine: Any, moments: Any
) -> None:
    """Normalise each sample's groups, scale, shift, and apply SiLU or a leaky line of `slope` (1 is no activation).

    x and y are (N, M, R) uint16, weight and bias (C,) float32. Filled are y, `affine` (N, 2, R) float32 with factor and
    summand that normalise and scale in one step, and `moments` (N, 2, groups) float64 with mean and reciprocal standard
    deviation.
    """
    samples, rows, width = x.shape
    channels = len(weight)
    members = channels // groups
    count = rows * width // channels * members
    sums, squares = np.empty(width, _f), np.empty(width, _f)
    totals = np.empty((2, groups), np.float64)
    for n in range(samples):
        totals[:] = 0
        for first in range(0, rows, _BLOCK):
            sums[:] = 0
            squares[:] = 0
            for m in range(first, min(rows, first + _BLOCK)):
                for r in range(width):
                    value = _widened(x[n, m, r])
                    sums[r] += value
                    squares[r] += value * value
            for r in range(width):
                group = r % channels // members
                totals[0, group] += sums[r]
                totals[1, group] += squares[r]
        for group in range(groups):
            mean = totals[0, group] / count
            moments[n, 0, group] = mean
            moments[n, 1, group] = 1 / np.sqrt(max(totals[1, group] / count - mean * mean, 0.0) + eps)
        for r in range(width):
            c = r % channels
            factor = weight[c] * moments[n, 1, c // members]
            affine[n, 0, r] = factor
            affine[n, 1, r] = bias[c] - factor * moments[n, 0, c // members]
        if silu:
            for m in range(rows):
                for r in range(width):
                    u = affine[n, 0, r] * _widened(x[n, m, r]) + affine[n, 1, r]
                    y[n, m, r] = _narrowed(u * _sigmoid(u))
        else:
            leak = _f(slope)
            for m in range(rows):
                for r in range(width):
                    u = affine[n, 0, r] * _widened(x[n, m, r]) + affine[n, 1, r]
                    y[n, m, r] = _narrowed(u if u > _f(0.0) else leak * u)


@njit(**_OPTIONS)
def differentiate(
    x: Any,
    dy: Any,
    weight: Any,
    silu: bool,
    slope: float,
    affine: Any,
    moments: Any,
    dx: Any,
    dweight: Any,
    dbias: Any,
    dslope: Any,
) -> None:
    """Gradients of `normalise`, each sample's own for what samples share.

    x and dy (N, M, R) uint16 are its input and its output's gradient, affine and moments what it filled. Filled are dx
    (between the two passes the gradient of the activation's input), dweight and dbias (N, C) and dslope (N,) float64.
    """
    samples, rows, width = x.shape
    groups, channels = moments.shape[2], len(weight)
    members = channels // groups
    count = rows * width // channels * members
    sums, products, leaks = np.empty(width, _f), np.empty(width, _f), np.empty(width, _f)
    factors, summands = np.empty(width, _f), np.empty(width, _f)
    leak = _f(slope)
    for n in range(samples):
        dweight[n] = 0
        dbias[n] = 0
        dslope[n] = 0
        for first in range(0, rows, _BLOCK):
            sums[:] = 0
            products[:] = 0
            leaks[:] = 0
            for m in range(first, min(rows, first + _BLOCK)):
                if silu:
                    for r in range(width):
                        value = _widened(x[n, m, r])
                        u = affine[n, 0, r] * value + affine[n, 1, r]
                        gate = _sigmoid(u)
                        du = _widened(dy[n, m, r]) * gate * (_f(1.0) + u * (_f(1.0) - gate))
                        dx[n, m, r] = _narrowed(du)
                        sums[r] += du
                        products[r] += du * value
                else:
                    for r in range(width):
                        value, dv = _widened(x[n, m, r]), _widened(dy[n, m, r])
                        u = affine[n, 0, r] * value + affine[n, 1, r]
                        du = dv if u > _f(0.0) else leak * dv
                        dx[n, m, r] = _narrowed(du)
                        sums[r] += du
                        products[r] += du * value
                        leaks[r] += dv * min(u, _f(0.0))
            for r in range(width):
                dbias[n, r % channels] += sums[r]
                dweight[n, r % channels] += products[r]  # Σ du·x so far
                dslope[n] += leaks[r]
        for group in range(groups):
            mean, reciprocal = moments[n, 0, group], moments[n, 1, group]
            of_sum = of_product = 0.0
            for c in range(group * members, (group + 1) * members):
                of_sum += weight[c] * dbias[n, c]
                of_product += weight[c] * dweight[n, c]
                dweight[n, c] = reciprocal * (dweight[n, c] - mean * dbias[n, c])
            factor = (of_sum * mean - of_product) * reciprocal**3 / count
            summand = -factor * mean - of_sum * reciprocal / count
            for r in range(width):
                if r % channels // members == group:
                    factors[r] = factor
                    summands[r] = summand
        for m in range(rows):
            for r in range(width):
                through = affine[n, 0, r] * _widened(dx[n, m, r])
                dx[n, m, r] = _narrowed(through + factors[r] * _widened(x[n, m, r]) + summands[r])
