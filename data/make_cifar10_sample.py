#!/usr/bin/env python3
"""Makes the bundled sample of CIFAR-10: make_cifar10_sample.py CIFAR_10_BATCHES_BIN [OUTPUT]

Takes the first 200 training images of each class, in the order of data_batch_1.bin .. data_batch_5.bin, and keeps that
order. Same input, same bytes: 2,000 records of 3,073 bytes, md5 as in README.md beside this file."""
import hashlib
import os
import sys

RECORD = 1 + 3 * 32 * 32  # label, then the red, green and blue planes
PER_CLASS = 200
CLASSES = 10
MD5 = {
    "data_batch_1.bin": "5dd7e06a14cb22eb9f671a540d1b7c25",
    "data_batch_2.bin": "5ea93a67294ea407fff1d09f752e9692",
    "data_batch_3.bin": "942cd6a4bcdd0dd3c604fbe906cb4421",
    "data_batch_4.bin": "ae636b3ba5c66a11e91e8cb52e771fcb",
    "data_batch_5.bin": "53f37980c15c3d472c316c40844f3f0d",
}


def main():
    if len(sys.argv) not in (2, 3) or sys.argv[1].startswith("-"):
        sys.exit(__doc__)
    folder = sys.argv[1]
    here = os.path.dirname(os.path.abspath(__file__))
    output = sys.argv[2] if len(sys.argv) == 3 else os.path.join(here, "cifar10_sample", "cifar10_sample.bin")

    taken = [0] * CLASSES
    sample = bytearray()
    for name, md5 in MD5.items():
        with open(os.path.join(folder, name), "rb") as file:
            batch = file.read()
        if hashlib.md5(batch).hexdigest() != md5:
            sys.exit(f"{name}: not the official file (md5 differs from {md5}); download the set again")
        for begin in range(0, len(batch), RECORD):
            label = batch[begin]
            if taken[label] < PER_CLASS:
                taken[label] += 1
                sample += batch[begin:begin + RECORD]
    if taken != [PER_CLASS] * CLASSES:
        sys.exit(f"found only {taken} images per class, expected {PER_CLASS} of each")

    os.makedirs(os.path.dirname(os.path.abspath(output)), exist_ok=True)
    with open(output, "wb") as file:
        file.write(sample)
    print(f"{output}: {len(sample) // RECORD} images, {len(sample)} bytes, md5 {hashlib.md5(sample).hexdigest()}")


if __name__ == "__main__":
    main()
