#!/usr/bin/env python3
"""Balance ratio over a grid of densities, and what a density controller does about it.

    bench/balance_grid.py --data FOLDER            # trains what is missing, then writes JSON and SVG
    bench/balance_grid.py --data FOLDER --collect  # only writes, from the runs that are there

Trains the preset tiny with static masks for every pair of densities in a grid, and DDST relaxed from the lowest pair,
a few runs at a time, one thread each. Interrupted runs continue. Only the standard library is used.

What differs from the preset: batches (--batch). What differs from the paper: width, batch, one D step per G step, and
with them the level of the balance ratio, which grows with lr_G times the number of weights behind an output (Adam moves
each by about lr) and is some ten times smaller here. The paper's band [0.45, 0.55] would then ask for a D of almost no
weights; DDST gets a band that a pilot run of static masks at 10% / 10% (BR about 0.1) is above: [0.04, 0.06]. It moves D every 200
iterations, by the measurements of the last 200 (the paper's intervals, shortened to the length of the run), and decides
by the ratio of sums, which few and small batches leave readable. G drops and grows every 500 iterations as in the
paper; a second run does so every 100, which by itself raises the ratio.
"""
import argparse
import concurrent.futures
import datetime
import json
import math
import os
import pathlib
import statistics
import subprocess
import sys

ROOT = pathlib.Path(__file__).resolve().parent.parent
BAND = (0.04, 0.06)


def arguments():
    p = argparse.ArgumentParser(description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter)
    p.add_argument("--data", required=True, help="folder of the binary CIFAR-10 files")
    p.add_argument("--work", type=pathlib.Path, default=ROOT / "runs" / "balance_grid", help="folder of the runs")
    p.add_argument("--train-gan", default=str(ROOT / "build/release/bin/train_gan"))
    p.add_argument("--iterations", type=int, default=3000)
    p.add_argument("--batch", type=int, default=16)
    p.add_argument("--densities", type=float, nargs="+", default=[0.1, 0.3, 1.0])
    p.add_argument("--jobs", type=int, default=2)
    p.add_argument("--output", type=pathlib.Path, default=ROOT / "bench/results/cpu-balance-ratio", help="without suffix")
    p.add_argument("--collect", action="store_true")
    return p.parse_args()


def cells(a):
    """name -> options, in the order of training."""
    common = {"iterations": a.iterations, "batch-size-d": a.batch, "batch-size-g": a.batch, "br-every": 2,
              "br-window": 200, "log-every": 50, "eval-every": 0,
              "sample-every": 0, "checkpoint-every": 250, "keep-checkpoints": 1}
    low, grid = a.densities[0], [(g, d) for g in a.densities for d in a.densities]
    grid.sort(key=lambda gd: (gd != (low, low), min(gd) != low, gd))
    runs = {}
    for g, d in grid:
        runs[f"static-g{g:g}-d{d:g}"] = {**common, "method": "static", "density-g": g, "density-d": d}
        if len(runs) == 1:  # beside the static run with the same start
            for every in (500, 100):
                runs[f"ddst-relaxed-every{every}-g{low:g}-d{low:g}"] = {
                    **common, "method": "ddst-relaxed", "density-g": low, "update-every-g": every,
                    "update-every-d": 200, "br-mode": "ratio-of-sums", "band-low": BAND[0], "band-high": BAND[1]}
    return runs


def directories(a, name):
    return sorted(a.work.glob(f"[0-9]*-{name}-seed1"))


def lines(directory):
    log = directory / "train.jsonl"
    return [json.loads(line) for line in log.read_text().splitlines()] if log.exists() else []


def steps(directory):
    return [line for line in lines(directory) if "event" not in line]


def finished(a, name):
    found = directories(a, name)
    done = steps(found[-1]) if found else []
    return bool(done) and done[-1]["iteration"] >= a.iterations


def train(a, name, options):
    if finished(a, name):
        return
    found = directories(a, name)
    if found:
        command = [a.train_gan, "--resume", str(found[-1])]
    else:
        flags = [word for key, value in options.items() for word in (f"--{key}", str(value))]
        command = [a.train_gan, "--preset", "tiny", "--data", a.data, "--runs", str(a.work), "--name", name, *flags]
    environment = {**os.environ, "OMP_NUM_THREADS": "1"}
    done = subprocess.run([*command, "-q"], env=environment, capture_output=True, text=True)
    print(name, "exit", done.returncode, done.stderr.strip(), flush=True)


def number(x):
    return x if isinstance(x, (int, float)) else math.nan  # JSON has no NaN: the log writes null


def summary(a, name, options):
    found = directories(a, name)
    if not found:
        return None
    # Finished, or stopped because a loss was no longer finite: both say something.
    log = steps(found[-1])
    result = {"name": name, "method": options["method"], "density_g": options["density-g"],
              "density_d": options.get("density-d", options["density-g"]),
              "iterations": log[-1]["iteration"] if log else 0,
              "update_every_g": options.get("update-every-g"), "window_iterations": options["br-window"], "measured_every": options["br-every"],
              "curve": [[s["iteration"], s["balance_ratio_of_sums"], s["balance_ratio_mean"], s["balance_unusable"],
                         s["density_d"]] for s in log]}
    for key in ("balance_ratio_of_sums", "balance_ratio_mean"):
        late = [number(s[key]) for s in log if s["iteration"] > a.iterations // 2]
        late = [x for x in late if math.isfinite(x)]
        if len(late) >= 4:
            low, middle, high = statistics.quantiles(late, n=4)
            result[key] = {"median": middle, "quartiles": [low, high], "last": late[-1]}
    return result


COLOURS = ["#1b6ca8", "#d1495b", "#3a7d44", "#edae49"]


def chart(x, y, title, series, x_range, y_range, band=True, markers=False, rising=False):
    """One panel of the plot, 400 x 300, at (x, y). series: [(label, colour, dashed, [(x, y), ..])]. The legend stands where
    curves that fall, or rise, leave room."""
    w, h, left, top = 400, 300, 48, 30
    iw, ih = w - left - 12, h - top - 40
    sx = lambda v: x + left + (v - x_range[0]) / (x_range[1] - x_range[0]) * iw
    sy = lambda v: y + top + (1 - (min(max(v, y_range[0]), y_range[1]) - y_range[0]) / (y_range[1] - y_range[0])) * ih
    out = [f'<text x="{x + left}" y="{y + 18}" font-weight="bold">{title}</text>']
    if band:
        out.append(f'<rect x="{sx(x_range[0])}" y="{sy(BAND[1])}" width="{iw}" height="{sy(BAND[0]) - sy(BAND[1])}" '
                   'fill="#cfe8cf"/>')
    for i in range(5):
        v = y_range[0] + i * (y_range[1] - y_range[0]) / 4
        out.append(f'<line x1="{sx(x_range[0])}" x2="{sx(x_range[1])}" y1="{sy(v)}" y2="{sy(v)}" stroke="#ddd"/>'
                   f'<text x="{x + left - 6}" y="{sy(v) + 4}" text-anchor="end">{v:.2f}</text>')
        u = x_range[0] + i * (x_range[1] - x_range[0]) / 4
        out.append(f'<text x="{sx(u)}" y="{y + h - 22}" text-anchor="middle">{u:g}</text>')
    for row, (label, colour, dashed, points) in enumerate(series):
        good = [(u, v) for u, v in points if math.isfinite(v)]
        if good:
            path = " ".join(f"{sx(u):.1f},{sy(v):.1f}" for u, v in good)
            dash = ' stroke-dasharray="5 4"' if dashed else ""
            out.append(f'<polyline points="{path}" fill="none" stroke="{colour}" stroke-width="1.8"{dash}/>')
            if markers:
                out += [f'<circle cx="{sx(u):.1f}" cy="{sy(v):.1f}" r="3.5" fill="{colour}"/>' for u, v in good]
        place = f'x="{x + left + 6}"' if rising else f'x="{x + w - 14}" text-anchor="end"'
        out.append(f'<text {place} y="{y + top + 14 + 14 * row}" fill="{colour}">{label}</text>')
    return "\n".join(out)


def plot(a, results):
    static = [r for r in results if r["method"] == "static"]
    median = lambda r: r.get("balance_ratio_of_sums", {}).get("median", math.nan)
    top = max([0.2] + [median(r) for r in static if math.isfinite(median(r))])
    y_range = (0.0, min(math.ceil(top * 10) / 10, 2.0))
    by_d = [(f"G at {g:g}", COLOURS[i % 4], False,
             sorted((r["density_d"], median(r)) for r in static if r["density_g"] == g))
            for i, g in enumerate(a.densities)]
    by_g = [(f"D at {d:g}", COLOURS[i % 4], False,
             sorted((r["density_g"], median(r)) for r in static if r["density_d"] == d))
            for i, d in enumerate(a.densities)]
    curve = lambda r, k: [(p[0], number(p[k])) for p in r["curve"]]
    low = a.densities[0]
    pair = [r for r in results if r["density_g"] == low and (r["method"] != "static" or r["density_d"] == low)]
    label = lambda r: r["method"] + (f", G every {r['update_every_g']}" if r["update_every_g"] else "")
    over_time = [(label(r), COLOURS[i], i > 0, curve(r, 1)) for i, r in enumerate(pair)]
    density = [(label(r), COLOURS[i], i > 0, curve(r, 4)) for i, r in enumerate(pair)]
    panels = [chart(0, 0, "BR against density of D (static masks)", by_d, (0, 1), y_range, markers=True),
              chart(420, 0, "BR against density of G (static masks)", by_g, (0, 1), y_range, markers=True, rising=True),
              chart(0, 310, f"BR over iterations, start at {low:g}/{low:g}", over_time, (0, a.iterations), y_range),
              chart(420, 310, "density of D over iterations", density, (0, a.iterations), (0, 1), band=False, rising=True)]
    notes = [f"SNGAN-32 of width 32 on CIFAR-10, batch {a.batch}, {a.iterations} iterations, one seed. Green: the band of DDST here.",
             "BR: ratio of sums over 200 iterations; above, its median over the second half of the run."]
    return ('<svg xmlns="http://www.w3.org/2000/svg" width="830" height="650" font-family="sans-serif" font-size="11">'
            '<rect width="830" height="650" fill="white"/>\n' + "\n".join(panels) +
            "".join(f'\n<text x="20" y="{626 + 16 * i}">{note}</text>' for i, note in enumerate(notes)) + "\n</svg>\n")


def main():
    a = arguments()
    runs = cells(a)
    if not a.collect:
        a.work.mkdir(parents=True, exist_ok=True)
        with concurrent.futures.ThreadPoolExecutor(a.jobs) as pool:
            for job in [pool.submit(train, a, name, options) for name, options in runs.items()]:
                job.result()
    results = [r for name, options in runs.items() if (r := summary(a, name, options))]
    if not results:
        sys.exit(f"no runs in {a.work}")
    a.output.parent.mkdir(parents=True, exist_ok=True)
    cpu = [line.split(":")[1].strip() for line in open("/proc/cpuinfo") if line.startswith("model name")]
    commit = subprocess.run(["git", "-C", str(ROOT), "rev-parse", "--short", "HEAD"], capture_output=True, text=True)
    document = {"what": "balance ratio over densities: preset tiny on CIFAR-10; medians are over the second half",
                "device": f"{len(cpu)} cores, {cpu[0]}" if cpu else "unknown", "date": datetime.date.today().isoformat(),
                "commit": commit.stdout.strip(),
                "settings": {name: options for name, options in runs.items()}, "curve_columns":
                ["iteration", "balance_ratio_of_sums", "balance_ratio_mean", "unusable", "density_d"], "runs": results}
    a.output.with_name(a.output.name + ".json").write_text(json.dumps(document, indent=1) + "\n")
    a.output.with_name(a.output.name + ".svg").write_text(plot(a, results))
    for r in results:
        both = [r.get(key, {}).get("median", math.nan) for key in ("balance_ratio_of_sums", "balance_ratio_mean")]
        last = r.get("balance_ratio_of_sums", {}).get("last", math.nan)
        print(f"{r['name']:32} {r['iterations']:6} iterations  BR {both[0]:.3f} of sums ({last:.3f} at the end), "
              f"{both[1]:.3f} mean of ratios, D at {r['curve'][-1][-1]:.2f}")


if __name__ == "__main__":
    main()
