#!/usr/bin/python3
"""Writes the golden files next to this script: layers, models, sngan32_start and sngan32_end, each .safetensors.

    /usr/bin/python3 tests/golden/make_golden.py            write
    /usr/bin/python3 tests/golden/make_golden.py --check    compare with the committed files instead (limit 1e-12)
"""
import os
import sys

import numpy as np
import torch

import safetensors_file
from golden_layers import layers
from golden_models import models
from golden_sngan32 import sngan32

FOLDER = os.path.dirname(os.path.abspath(__file__))
SIZE_LIMIT = 1_000_000  # bytes; what a repository can carry without regret


def worst_difference(made, committed):
    """Largest difference relative to the largest entry of its tensor; infinite if names, shapes or types differ."""
    if list(made) != list(committed):
        return float("inf")
    worst = 0.0
    for name, a in made.items():
        b = committed[name]
        if a.shape != b.shape or a.dtype != b.dtype:
            return float("inf")
        a, b = a.astype(np.float64), b.astype(np.float64)
        worst = max(worst, float(np.abs(a - b).max() / max(np.abs(b).max(), 1e-300)))
    return worst


def main():
    torch.set_num_threads(1)
    start, end = sngan32()
    files = {"layers": layers(), "models": models(), "sngan32_start": start, "sngan32_end": end}
    failed = False
    for name, tensors in files.items():
        path = os.path.join(FOLDER, name + ".safetensors")
        if "--check" in sys.argv[1:]:
            difference = worst_difference(tensors, safetensors_file.read(path))
            failed |= not difference <= 1e-12
            print(f"{name}: {len(tensors)} tensors, worst relative difference to the committed file {difference:.1e}")
            continue
        safetensors_file.write(path, tensors, {"made_with": f"PyTorch {torch.__version__}"})
        size = os.path.getsize(path)
        failed |= size >= SIZE_LIMIT
        print(f"{path}: {len(tensors)} tensors, {size} bytes" + (" TOO LARGE" if size >= SIZE_LIMIT else ""))
    return int(failed)


if __name__ == "__main__":
    sys.exit(main())
