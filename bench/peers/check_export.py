#!/usr/bin/env python3
"""Proves `inspect_run export`: the files of every model give sample_gan's images in PyTorch and in ONNX Runtime.

    python3 bench/peers/check_export.py                     all models at reduced width (minutes)
    python3 bench/peers/check_export.py --full-width        SNGAN-32 as published as well, at a tenth of its weights

A few iterations of a sparse run of each model; then for 64 seeds, of averaged and of live weights: dense files in both forms
of spectral norm, the graph, and the compact file. Limit: 2e-3 of the range [-1, 1] beside what rounding to bytes hides,
so at most one grey level; the compact file must give the same bytes, and at a tenth of the weights be at most 0.22 as
large as the dense one. D is loaded too, with every name that it has. Needs torch, numpy, onnx, onnxruntime.
"""
import argparse
import os
import subprocess
import sys
import tempfile

import numpy as np
import onnx
import onnxruntime
import torch

import paper_networks
from load_export import load, read

ROOT = os.path.dirname(os.path.dirname(os.path.dirname(os.path.abspath(__file__))))
SEEDS, LIMIT = 64, 2e-3
COMPACT_AT_A_TENTH = 22.0  # per cent of the dense file: f32 values, 32-bit indices, and tensors without a mask
MODELS = {"sngan32": (16, 8, 0), "sngan32-resnet": (16, 8, 0), "sngan48": (8, 8, 0), "sngan64": (8, 8, 0),
          "dcgan32": (8, 8, 0), "biggan32": (16, 8, 10), "biggan64": (16, 20, 10)}  # width, latent, classes


def call(*words, quiet=True):
    result = subprocess.run([str(w) for w in words], stdout=subprocess.PIPE, stderr=subprocess.PIPE, check=False)
    if result.returncode:
        sys.exit(f"{' '.join(map(str, words))}\n{result.stderr.decode()}")
    return result.stdout if quiet else result.stdout.decode()


def compare(what, images, bytes_of_poise):
    """images [N,3,H,W] in [-1, 1]; returns whether they are the bytes' within the limit."""
    x = images.transpose(0, 2, 3, 1).astype(np.float64) * 127.5 + 127.5
    ours = bytes_of_poise.reshape(x.shape).astype(np.float64)
    beyond = max(0.0, np.abs(np.clip(x, 0, 255) - ours).max() - 0.5) / 127.5
    levels = np.abs(np.clip(np.rint(x), 0, 255) - ours)
    good = beyond <= LIMIT and levels.max() <= 1
    print(f"  {what:32} beyond rounding {beyond:.1e}, bytes that differ {100 * (levels > 0).mean():.4f}%, "
          f"by at most {int(levels.max())}: {'ok' if good else 'WRONG'}", flush=True)
    return good


def check(bin_dir, folder, model, width, latent, classes, full):
    run = os.path.join(folder, model + ("-full" if full else ""))
    size = [] if full else ["--width-d", width, "--batch-size-d", 4, "--batch-size-g", 4, "--n-critic", 1]
    call(f"{bin_dir}/train_gan", "--set", f"model={model}", "--runs", run, "--width-g", width, "--latent-size", latent,
         "--classes", classes, "--image-size", {"sngan48": 48, "sngan64": 64, "biggan64": 64}.get(model, 32),
         "--iterations", 2 if full else 12, "--method", "sdst-rigl", "--density-g", 0.1 if full else 0.3, "--update-every-g", 5,
         "--learning-rate-g", 0.005, "--ema-decay", 0.5, "--sample-every", 0, "--checkpoint-every", 0,
         "--set", "br_every=0", *(["--batch-size-d", 4, "--batch-size-g", 8, "--n-critic", 1] if full else size), "-q")
    run += "/latest"
    good = True
    labels = torch.arange(SEEDS) % classes if classes else None
    print(f"{model}, width {width}")
    for weights in ("ema", "live"):
        out = os.path.join(folder, f"{weights}.")
        z_file, raw = out + "npy", out + "bin"
        call(f"{bin_dir}/sample_gan", run, "--seeds", f"0-{SEEDS - 1}", "--weights", weights, "--raw", raw,
             "--save-latents", z_file)
        ours, z = np.fromfile(raw, np.uint8), np.load(z_file)
        for form in ("original", "folded"):
            path = f"{out}{form}.safetensors"
            call(f"{bin_dir}/inspect_run", "export", run, "-o", path, "--weights", weights, "--spectral-norm", form)
            network = load(paper_networks.generator(read(path)[1], width), path)
            with torch.inference_mode():
                images = network(torch.from_numpy(z), *([labels] if classes else []))
            good &= compare(f"{weights}, PyTorch, {form}", images.numpy(), ours)
        path = out + "onnx"
        call(f"{bin_dir}/inspect_run", "export", run, "-o", path, "--weights", weights)
        onnx.checker.check_model(path, full_check=True)
        session = onnxruntime.InferenceSession(path, providers=["CPUExecutionProvider"])
        images = session.run(None, {"z": z} | ({"labels": labels.numpy()} if classes else {}))[0]
        good &= compare(f"{weights}, ONNX Runtime", images, ours)
        path = out + "compact.safetensors"
        sizes = call(f"{bin_dir}/inspect_run", "export", run, "-o", path, "--weights", weights, "--format", "compact",
                     quiet=False)
        call(f"{bin_dir}/sample_gan", path, "--latents", z_file, "--raw", raw)
        same = np.array_equal(np.fromfile(raw, np.uint8), ours)
        share = float(sizes.split()[-1].rstrip("%"))
        good &= same and (not full or share <= COMPACT_AT_A_TENTH)
        print(f"  {weights + ', compact':32} {'the same bytes' if same else 'WRONG'}; {sizes.splitlines()[-1]}")
    for form in ("original", "folded"):
        path = os.path.join(folder, f"d.{form}.safetensors")
        call(f"{bin_dir}/inspect_run", "export", run, "-o", path, "--network", "D", "--spectral-norm", form)
        tensors, metadata = read(path)
        width_d = tensors.get("linear1.weight_orig", next(iter(tensors.values()))).shape[0]
        width_d = {"biggan64": width, "sngan32": width_d}.get(model, width_d)
        load(paper_networks.discriminator(metadata, width_d), path)
    return good


def main():
    parser = argparse.ArgumentParser(description=__doc__.splitlines()[0])
    parser.add_argument("--bin", default=os.path.join(ROOT, "build", "release", "bin"))
    parser.add_argument("--models", default=",".join(MODELS))
    parser.add_argument("--full-width", action="store_true")
    args = parser.parse_args()
    known = call(f"{args.bin}/train_gan", "--help", quiet=False)
    good = True
    os.environ.setdefault("OMP_WAIT_POLICY", "passive")
    with tempfile.TemporaryDirectory() as folder:
        for model in args.models.split(","):
            if model in known:
                good &= check(args.bin, folder, model, *MODELS[model], full=False)
        if args.full_width:
            good &= check(args.bin, folder, "sngan32", 256, 128, 0, full=True)
    print("all as sample_gan draws them" if good else "SOMETHING DIFFERS")
    return 0 if good else 6


if __name__ == "__main__":
    sys.exit(main())
