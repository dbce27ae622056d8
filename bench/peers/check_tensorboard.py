#!/usr/bin/env python3
"""Proves `train_gan --tensorboard`: TensorBoard's own reader lists every number of train.jsonl, pictures and histograms.

    python3 bench/peers/check_tensorboard.py                  a small run, stopped and resumed (a minute)
    python3 bench/peers/check_tensorboard.py runs/latest      a run that is there

Scalars must be equal as 32-bit floats. Needs tensorboard and numpy.
"""
import argparse
import glob
import json
import os
import subprocess
import sys
import tempfile

import numpy as np
from tensorboard.backend.event_processing.event_accumulator import EventAccumulator
from tensorboard.util import tensor_util

ROOT = os.path.dirname(os.path.dirname(os.path.dirname(os.path.abspath(__file__))))


def expected_scalars(run):
    """{tag: [(iteration, value)]} of train.jsonl, as apps/run/tensorboard.h names them."""
    expected = {}
    with open(os.path.join(run, "train.jsonl"), encoding="utf-8") as lines:
        for line in map(json.loads, lines):
            step = line["iteration"]
            if line.get("event") == "mask_update":
                values = {f"density_{line['network'].lower()}/{layer}": v for layer, v in line["layers"].items()}
            elif "event" in line:
                continue
            else:
                values = {f"train/{k}": v for k, v in line.items() if k not in ("iteration", "schema")}
            for tag, value in values.items():
                expected.setdefault(tag, []).append((step, np.float32(np.nan if value is None else value)))
    return expected


def check(run):
    reader = EventAccumulator(run, size_guidance={"scalars": 0, "tensors": 0, "images": 0, "histograms": 0})
    reader.Reload()
    tags = reader.Tags()
    by_plugin = {}
    for tag in tags["tensors"]:
        plugin = reader.SummaryMetadata(tag).plugin_data.plugin_name
        by_plugin.setdefault(plugin, {})[tag] = reader.Tensors(tag)
    scalars = {tag: [(e.step, tensor_util.make_ndarray(e.tensor_proto).item()) for e in events]
               for tag, events in by_plugin.get("scalars", {}).items()}
    scalars |= {tag: [(e.step, e.value) for e in reader.Scalars(tag)] for tag in tags["scalars"]}
    pictures = {tag: [e.step for e in reader.Images(tag)] for tag in tags["images"]}
    pictures |= {tag: [e.step for e in events] for tag, events in by_plugin.get("images", {}).items()}
    histograms = {tag: [e.step for e in reader.Histograms(tag)] for tag in tags["histograms"]}
    histograms |= {tag: [e.step for e in events] for tag, events in by_plugin.get("histograms", {}).items()}

    expected, wrong, numbers = expected_scalars(run), [], 0
    for tag, points in expected.items():
        found = scalars.get(tag, [])
        numbers += len(points)
        same = len(found) == len(points) and all(
            a == b and np.array_equal(np.float32(x), y, equal_nan=True) for (a, x), (b, y) in zip(found, points))
        if not same:
            wrong.append(f"{tag}: expected {points[:4]}.. but the reader has {found[:4]}..")
    others = [tag for tag in scalars if tag not in expected and not tag.startswith("metrics/")]
    wrong += [f"{tag}: not in train.jsonl" for tag in others]
    shown = pictures.get("samples/fakes", [])
    files = sorted(int(os.path.basename(p)[6:-4]) for p in glob.glob(os.path.join(run, "samples", "fakes_*.png")))
    if shown != files or pictures.get("samples/reals") != [0]:
        wrong.append(f"pictures: files of iterations {files}, the reader has {pictures}")
    for network in "gd":
        updates = sorted({s for tag, points in expected.items() if tag.startswith(f"density_{network}/")
                          for s, _ in points})
        if sorted(set(histograms.get(f"density_{network}", []))) != updates:
            wrong.append(f"histograms of density_{network}: {histograms.get(f'density_{network}')}, not {updates}")
    print(f"{run}: {len(expected)} scalars with {numbers} values, {len(shown)} grids, "
          f"{sum(map(len, histograms.values()))} histograms: {'WRONG' if wrong else 'as recorded'}")
    print("".join(f"  {line}\n" for line in wrong), end="")
    return not wrong


def small_run(bin_dir, folder):
    runs = os.path.join(folder, "runs")
    call = [os.path.join(bin_dir, "train_gan"), "--quiet"]
    small = ["--width-g", "16", "--width-d", "16", "--batch-size-d", "4", "--batch-size-g", "4", "--n-critic", "2"]
    subprocess.run(call + small + ["--runs", runs, "--tensorboard", "--method", "ddst-relaxed", "--density-g", "0.3",
                                   "--update-every-g", "5", "--update-every-d", "10", "--set", "br_every=1",
                                   "--set", "br_window=5", "--log-every", "1",
                                   "--iterations", "24", "--sample-every", "6", "--checkpoint-every", "10",
                                   "--eval-every", "12", "--set", "eval_metric=swd"], check=True, stdout=subprocess.DEVNULL)
    run = os.path.join(runs, "latest")
    good = check(run)
    # As after a crash: the last checkpoint is lost, and the run resumes from the one before.
    os.remove(sorted(glob.glob(os.path.join(run, "checkpoints", "*.safetensors")))[-1])
    subprocess.run(call + ["--resume", run, "--iterations", "30"], check=True, stdout=subprocess.DEVNULL)
    return check(run) and good


def main():
    parser = argparse.ArgumentParser(description=__doc__.splitlines()[0])
    parser.add_argument("run", nargs="?", help="a run directory")
    parser.add_argument("--bin", default=os.path.join(ROOT, "build", "release", "bin"))
    args = parser.parse_args()
    if args.run:
        return 0 if check(args.run) else 6
    with tempfile.TemporaryDirectory() as folder:
        return 0 if small_run(args.bin, folder) else 6


if __name__ == "__main__":
    sys.exit(main())
