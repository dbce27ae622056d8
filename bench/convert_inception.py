#!/usr/bin/env python3
"""Converts the official weights of the FID network for Poise.

    python3 bench/convert_inception.py pt_inception-2015-12-05-6726825d.pth inception-2015-12-05.safetensors

Needs PyTorch 1.13 or newer. Folds each batch norm (eps 0.001, running statistics) into its convolution, in float64, and
writes "<layer>.conv.weight" [O,I,kh,kw], "<layer>.conv.bias" [O], "fc.weight" and "fc.bias" as float32. The metadata
carries the sha256 of the source, by which Poise knows the network. Only tensors are unpickled.
"""
import hashlib
import os
import sys

import torch

ROOT = os.path.dirname(os.path.dirname(os.path.abspath(__file__)))
sys.path[:0] = [os.path.join(ROOT, "bench", "peers"), os.path.join(ROOT, "tests", "golden")]
import safetensors_file  # noqa: E402
from inception_pytorch import CLASSES, LAYERS  # noqa: E402

EPS = 0.001
OFFICIAL = "6726825d"


def stop(message):
    print(f"convert_inception: error: {message}", file=sys.stderr)
    sys.exit(4)


def take(state, name, shape):
    if name not in state:
        stop(f"{name} is missing (expected {list(shape)}); is this {OFFICIAL}'s file?")
    tensor = state[name]
    if tuple(tensor.shape) != tuple(shape):
        stop(f"{name} has shape {list(tensor.shape)} but {list(shape)} is expected")
    if not torch.isfinite(tensor).all():
        stop(f"{name} has elements that are not finite")
    return tensor.double()


def folded(state):
    """Names and float32 arrays, in the order of the network."""
    out = {}
    for layer, (c_in, c_out, kernel, _, _) in LAYERS.items():
        weight = take(state, f"{layer}.conv.weight", (c_out, c_in, *kernel))
        gamma, beta, mean, var = (take(state, f"{layer}.bn.{name}", (c_out,))
                                  for name in ("weight", "bias", "running_mean", "running_var"))
        scale = gamma / torch.sqrt(var + EPS)
        out[f"{layer}.conv.weight"] = weight * scale[:, None, None, None]
        out[f"{layer}.conv.bias"] = beta - mean * scale
    out["fc.weight"] = take(state, "fc.weight", (CLASSES, 2048))
    out["fc.bias"] = take(state, "fc.bias", (CLASSES,))
    return {name: tensor.float().numpy() for name, tensor in out.items()}


def main():
    if len(sys.argv) != 3 or sys.argv[1].startswith("-"):
        print(__doc__.strip())
        return 2
    source, target = sys.argv[1:]
    try:
        with open(source, "rb") as file:
            sha256 = hashlib.sha256(file.read()).hexdigest()
        state = torch.load(source, map_location="cpu", weights_only=True)
    except Exception as error:  # unreadable, no archive, or an archive that holds more than tensors
        stop(f"{source}: {error}")
    if not isinstance(state, dict):
        stop(f"{source} holds a {type(state).__name__}, not named tensors")
    official = sha256.startswith(OFFICIAL)
    metadata = {"network": "inception-2015-12-05" if official else "unrecognised", "source_sha256": sha256,
                "layout": "OIHW, batch norm folded (eps 0.001)", "pool_7c": "max"}
    safetensors_file.write(target, folded(state), metadata)
    print(f"{target}: {os.path.getsize(target)} bytes, from {source}, sha256 {sha256}")
    if not official:
        print(f"warning: the official file's sha256 begins with {OFFICIAL}; Poise will call this network unrecognised",
              file=sys.stderr)
    return 0


if __name__ == "__main__":
    sys.exit(main())
