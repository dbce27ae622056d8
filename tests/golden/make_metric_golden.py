"""Writes metrics.npz, variants.npz and statistics/: random features and logits with the distances and scores that NumPy
and SciPy compute for them by the plain definitions, small arrays in every layout that NumPy writes, and the mean and
covariance of one set of features as the tools that publish such files save them.

    python3 tests/golden/make_metric_golden.py       (apt-get install python3-numpy python3-scipy)
"""
import io
import os
import zipfile

import numpy as np
import scipy.linalg

FOLDER = os.path.dirname(os.path.abspath(__file__))


def moments(x):
    x = x.astype(np.float64)
    return x.mean(axis=0), np.cov(x, rowvar=False)


def frechet(a, b):
    (mu_a, s_a), (mu_b, s_b) = moments(a), moments(b)
    root = scipy.linalg.sqrtm(s_a @ s_b)
    return ((mu_a - mu_b) ** 2).sum() + np.trace(s_a) + np.trace(s_b) - 2 * np.trace(root).real


def inception_score(logits, splits):
    p = np.exp(logits.astype(np.float64))
    p /= p.sum(axis=1, keepdims=True)
    n = len(p)
    scores = []
    for i in range(splits):
        part = p[i * n // splits:(i + 1) * n // splits]
        scores.append(np.exp((part * (np.log(part) - np.log(part.mean(axis=0)))).sum(axis=1).mean()))
    return np.array([np.mean(scores), np.std(scores)])


def kernel_distance(a, b):
    a, b, n, m = a.astype(np.float64), b.astype(np.float64), len(a), len(b)
    k = lambda x, y: (x @ y.T / x.shape[1] + 1) ** 3
    aa, bb = k(a, a), k(b, b)
    return (aa.sum() - np.trace(aa)) / (n * (n - 1)) + (bb.sum() - np.trace(bb)) / (m * (m - 1)) - 2 * k(a, b).mean()


def main():
    random = np.random.RandomState(7)
    mix = random.randn(12, 12)
    a = (random.randn(300, 12) @ mix + 3).astype(np.float32)
    b = (random.randn(250, 12) * np.linspace(0.1, 2, 12) @ random.randn(12, 12) + 2.5).astype(np.float32)
    wide_a, wide_b = random.randn(20, 48).astype(np.float32), (random.randn(30, 48) + 0.5).astype(np.float32)
    logits = (3 * random.randn(103, 7)).astype(np.float32)
    mu, sigma = moments(a)
    np.savez_compressed(os.path.join(FOLDER, "metrics.npz"), features_a=a, features_b=b, mu=mu, sigma=sigma,
                        frechet=np.array(frechet(a, b)), wide_a=wide_a, wide_b=wide_b,
                        frechet_wide=np.array(frechet(wide_a, wide_b)), logits=logits,
                        inception_score=inception_score(logits, 10),
                        kernel_distance=np.array(kernel_distance(a[:40], b[:40])))

    x = np.arange(6, dtype=np.float64).reshape(2, 3) + 0.5
    members = {"c": (x, None), "fortran": (np.asfortranarray(x), None), "f4": (x.astype("<f4"), None),
               "big": (x.astype(">f8"), None), "big_fortran_f4": (np.asfortranarray(x.astype(">f4")), None),
               "version2": (x, (2, 0)), "version3": (x, (3, 0)), "scalar": (np.array(2.5), None),
               "empty": (np.zeros((0, 3)), None), "cube": (np.asfortranarray(np.arange(24.0).reshape(2, 3, 4)), None),
               "text": (np.array(b'{"a": 1}'), None), "integers": (np.arange(3), None),
               "objects": (np.array([None, 1], dtype=object), None)}
    path = os.path.join(FOLDER, "variants.npz")
    with zipfile.ZipFile(path, "w") as archive:
        for i, (name, (array, version)) in enumerate(members.items()):
            data = io.BytesIO()
            np.lib.format.write_array(data, array, version=version)
            info = zipfile.ZipInfo(name + ".npy", (1980, 1, 1, 0, 0, 0))
            info.compress_type = zipfile.ZIP_DEFLATED if i % 2 else zipfile.ZIP_STORED
            archive.writestr(info, data.getvalue())


    write_statistics()


def write_statistics():
    folder = os.path.join(FOLDER, "statistics")
    os.makedirs(folder, exist_ok=True)
    mu, sigma = moments(np.random.default_rng(7).normal(size=(50, 5)).astype(np.float32))
    save = lambda name, write, **arrays: write(os.path.join(folder, name + ".npz"), **arrays)
    save("pytorch_fid", np.savez_compressed, mu=mu, sigma=sigma)
    save("ttur", np.savez, mu=mu, sigma=sigma)
    save("torch_fidelity", np.savez, mu=mu.astype(np.float32), sigma=sigma.astype(np.float32))
    save("transposed", np.savez, sigma=sigma.T, mu=mu)
    save("big_endian", np.savez, mu=mu.astype(">f8"), sigma=sigma.astype(">f8"))
    images = np.arange(2 * 4 * 4 * 3, dtype=np.uint8).reshape(2, 4, 4, 3)
    save("guided_diffusion", np.savez, arr_0=images, mu=mu, sigma=sigma, mu_s=mu[:3], sigma_s=sigma[:3, :3])
    np.savetxt(os.path.join(folder, "moments.txt"), np.concatenate([mu[None], sigma]), fmt="%.17g")


if __name__ == "__main__":
    main()
