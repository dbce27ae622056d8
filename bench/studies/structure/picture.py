#!/usr/bin/env python3
"""The picture of this study: FID-768 of each mask beside its speed. Mean over the seeds that have one, their range as a line.

    bench/studies/structure/picture.py > bench/studies/structure/results/fid-against-speed.svg

Iterations per second are of quiet runs with one thread (../README.md); training in the study itself shared its machine.
"""
import json
import pathlib
import statistics

RESULTS = pathlib.Path(__file__).parent / "results"
CELLS = {"1x1": ("single weights", "#1f77b4"), "4x1": ("columns of 4", "#2ca02c"),
         "16x16": ("blocks of 16x16", "#d62728"), "16x16-all-taps": ("blocks, all taps", "#9467bd")}
SPEED = {("0.1", "1x1"): 5.9, ("0.1", "4x1"): 6.5, ("0.1", "16x16"): 6.0, ("0.1", "16x16-all-taps"): 5.8,
         ("0.3", "1x1"): 4.4, ("0.3", "4x1"): 4.5, ("0.3", "16x16"): 4.1, ("0.3", "16x16-all-taps"): 3.8}
DENSE_SPEED = 2.6
WIDTH, HEIGHT, LEFT, RIGHT, TOP, BOTTOM = 720, 440, 62, 190, 36, 52
SPEEDS, FIDS = (2, 7), (0.6, 3.3)


def fids(name):
    evaluations = [e for path in sorted(RESULTS.glob(f"{name}-seed*/evaluations.json"))
                   for e in json.loads(path.read_text()).values()]
    return [r["value"] for e in evaluations for r in e.get("results", []) if r["metric"] == "FID-768"]


def x_of(speed):
    return LEFT + (speed - SPEEDS[0]) / (SPEEDS[1] - SPEEDS[0]) * (WIDTH - LEFT - RIGHT)


def y_of(fid):
    return HEIGHT - BOTTOM - (fid - FIDS[0]) / (FIDS[1] - FIDS[0]) * (HEIGHT - TOP - BOTTOM)


def text(x, y, words, anchor="middle", more=""):
    return f'<text x="{x:.1f}" y="{y:.1f}" text-anchor="{anchor}" {more}>{words}</text>'


def mark(speed, values, colour, density, rewired):
    x, y = x_of(speed), y_of(statistics.mean(values))
    fill, r = (colour, 6) if rewired else ("none", 9)  # a ring around the point at the same place
    shape = f'<circle cx="{x:.1f}" cy="{y:.1f}" r="{r}"' if density == "0.1" else \
        f'<rect x="{x - r:.1f}" y="{y - r:.1f}" width="{2 * r}" height="{2 * r}"'
    bar = f'<line x1="{x:.1f}" x2="{x:.1f}" y1="{y_of(min(values)):.1f}" y2="{y_of(max(values)):.1f}" stroke="{colour}" stroke-width="2"/>'
    return bar + shape + f' fill="{fill}" stroke="{colour}" stroke-width="2"/>'


def main():
    out = [f'<svg xmlns="http://www.w3.org/2000/svg" viewBox="0 0 {WIDTH} {HEIGHT}" font-family="sans-serif" font-size="12">',
           f'<rect width="{WIDTH}" height="{HEIGHT}" fill="white"/>',
           text(LEFT, 20, "Images and speed of masks: SNGAN-32, width 64, 1,500 iterations", "start", 'font-size="14"')]
    for speed in range(SPEEDS[0], SPEEDS[1] + 1):
        out += [f'<line x1="{x_of(speed):.1f}" x2="{x_of(speed):.1f}" y1="{TOP}" y2="{HEIGHT - BOTTOM}" stroke="#ddd"/>',
                text(x_of(speed), HEIGHT - BOTTOM + 18, speed)]
    for step in range(6, 34, 3):
        fid = step / 10
        out += [f'<line x1="{LEFT}" x2="{WIDTH - RIGHT}" y1="{y_of(fid):.1f}" y2="{y_of(fid):.1f}" stroke="#ddd"/>',
                text(LEFT - 8, y_of(fid) + 4, f"{fid:.1f}", "end")]
    out += [text((LEFT + WIDTH - RIGHT) / 2, HEIGHT - 12, "iterations per second (higher is better)"),
            text(18, HEIGHT / 2, "FID-768 (lower is better)", more=f'transform="rotate(-90 18 {HEIGHT / 2})"')]
    dense = fids("dense")
    out += [mark(DENSE_SPEED, dense, "black", "0.1", True),
            text(x_of(DENSE_SPEED) + 12, y_of(statistics.mean(dense)) + 4, "dense", "start")]
    for (density, cell), speed in SPEED.items():
        for method in ("static", "sdst-rigl"):
            values = fids(f"{method}_density_g-{density}_{cell}")
            if values:
                out.append(mark(speed, values, CELLS[cell][1], density, method == "sdst-rigl"))
    legend = WIDTH - RIGHT + 20
    for i, (label, colour) in enumerate(CELLS.values()):
        out += [f'<rect x="{legend}" y="{TOP + 22 * i}" width="11" height="11" fill="{colour}"/>',
                text(legend + 20, TOP + 10 + 22 * i, label, "start")]
    for i, label in enumerate(("circle: density 10%", "square: density 30%", "filled: rewired", "hollow: static")):
        out.append(text(legend, TOP + 120 + 20 * i, label, "start"))
    print("\n".join(out + ["</svg>"]))


main()
