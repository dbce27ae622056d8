#!/usr/bin/python3
"""Loads a checkpoint of Poise into PyTorch: SNGAN-32, both networks, as sngan32_pytorch.py defines them.

    /usr/bin/python3 bench/peers/load_checkpoint.py runs/latest/checkpoints/step-00000400.safetensors -o torch.bin
    build/release/bin/sample_gan runs/latest --batch-norm batch --raw poise.bin       # the same images, drawn by Poise

As a library: generator(path), discriminator(path) and latents(seeds, size). Both programs draw the latents of seeds
0 to 63 and normalise the images as one batch, so the two files differ by rounding alone: a few bytes, by 1.

Names and layouts of a checkpoint are in apps/README.md, "Checkpoints".
"""
import argparse
import math
import os
import sys

ROOT = os.path.dirname(os.path.dirname(os.path.dirname(os.path.abspath(__file__))))
sys.path.insert(0, os.path.join(ROOT, "tests", "golden"))


def stop(message):
    print(f"load_checkpoint: error: {message}", file=sys.stderr)
    sys.exit(3)


try:
    import numpy as np
    import torch

    import safetensors_file
    import sngan32_pytorch
except ImportError as missing:
    stop(f"{missing.name} is not installed for {sys.executable}; on Debian: apt-get install python3-torch python3-numpy")

FIXED_LATENT = 5  # RandomStream::fixed_latent of kernels/core/philox.h


def to_torch_layout(array):
    """Convolution weights are [out, kh, kw, in] in Poise and [out, in, kh, kw] in PyTorch. All else is the same."""
    tensor = torch.from_numpy(array.copy())
    return tensor.permute(0, 3, 1, 2).contiguous() if tensor.dim() == 4 else tensor


def state_of(tensors, network, weights=""):
    """The state dict of "G" or "D" by PyTorch's names. weights "ema." reads the moving average of G's parameters."""
    state = {}
    for name, array in tensors.items():
        prefix = f"{network}.{weights}"
        if not name.startswith(prefix):
            continue
        path, _, leaf = name[len(prefix):].rpartition(".")
        if path.split(".")[0] in ("adam_m", "adam_v", "ema", "mask", ""):
            continue
        if f"{network}.{path}.u" in tensors:  # spectral norm
            if leaf == "v":  # in the order of the weight
                shape = tensors[f"{network}.{path}.weight"].shape
                array = array.reshape(1, *shape[1:]) if len(shape) == 4 else array
                state[f"{path}.weight_v"] = to_torch_layout(array).flatten()
                continue
            leaf = {"weight": "weight_orig", "u": "weight_u"}.get(leaf, leaf)
        leaf = {"gamma": "weight", "beta": "bias"}.get(leaf, leaf)
        state[f"{path}.{leaf}"] = to_torch_layout(array)
    return state


def generator(path, weights="ema"):
    """With the averaged ("ema") or the live weights. Batch norm statistics belong to the live ones: the averaged
    generator needs its own, so let it normalise by batch (its train mode)."""
    tensors = safetensors_file.read(path)
    if "G.linear.weight" not in tensors or "G.block4.conv2.weight" not in tensors:
        stop(f"{path}: expected a checkpoint of model sngan32")
    width, latent = tensors["G.block2.conv1.bias"].shape[0], tensors["G.linear.weight"].shape[1]
    network = sngan32_pytorch.Generator(width, latent)
    state = state_of(tensors, "G")
    if weights == "ema":
        state.update(state_of(tensors, "G", "ema."))
    state.update({name: torch.tensor(0) for name in network.state_dict() if name.endswith("num_batches_tracked")})
    network.load_state_dict(state)
    return network


def discriminator(path):
    tensors = safetensors_file.read(path)
    network = sngan32_pytorch.Discriminator(tensors["D.block1.conv1.bias"].shape[0])
    network.load_state_dict(state_of(tensors, "D"))
    return network


def philox(key, element, stream):
    """Philox4x32-10 with step 0, as in kernels/core/philox.h: four 32-bit numbers."""
    c = [element & 0xffffffff, (element >> 32) | stream << 16, 0, 0]
    k0, k1 = key & 0xffffffff, key >> 32
    for _ in range(10):
        p0, p1 = 0xD2511F53 * c[0], 0xCD9E8D57 * c[2]
        c = [p1 >> 32 ^ c[1] ^ k0, p1 & 0xffffffff, p0 >> 32 ^ c[3] ^ k1, p0 & 0xffffffff]
        k0, k1 = k0 + 0x9E3779B9 & 0xffffffff, k1 + 0xBB67AE85 & 0xffffffff
    return c


def latents(seeds, size):
    """The latents that sample_gan draws for these seeds: Box-Muller on the numbers of Philox."""
    rows = []
    for seed in seeds:
        row = []
        for counter in range((size + 3) // 4):
            u = [((bits >> 9) + 0.5) / 8388608 for bits in philox(seed, counter, FIXED_LATENT)]
            for radius, angle in ((u[0], u[1]), (u[2], u[3])):
                radius = math.sqrt(-2 * math.log(radius))
                row += [radius * math.cos(2 * math.pi * angle), radius * math.sin(2 * math.pi * angle)]
        rows.append(row[:size])
    return torch.tensor(rows, dtype=torch.float32)


def main():
    parser = argparse.ArgumentParser(description=__doc__.splitlines()[0])
    parser.add_argument("checkpoint", help="a file of runs/*/checkpoints")
    parser.add_argument("--weights", choices=("ema", "live"), default="ema")
    parser.add_argument("-o", "--output", required=True, help="the images of seeds 0 to 63: bytes [64,32,32,3]")
    args = parser.parse_args()
    network = generator(args.checkpoint, args.weights).train()
    discriminator(args.checkpoint)  # checks its names and shapes
    with torch.no_grad():
        images = network(latents(range(64), network.linear.in_features))
    pixels = (images * 127.5 + 127.5).round().clamp(0, 255).to(torch.uint8).permute(0, 2, 3, 1)
    np.ascontiguousarray(pixels.numpy()).tofile(args.output)


if __name__ == "__main__":
    main()
