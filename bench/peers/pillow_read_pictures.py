"""Pillow on the work of bench/pictures_bench_main.cpp: python3 pillow_read_pictures.py FOLDER SIZE (python3-pil)."""
import os
import sys
import time

from PIL import Image

folder, size = sys.argv[1], int(sys.argv[2])
names = sorted(os.listdir(folder))
start = time.process_time()
for name in names:
    image = Image.open(os.path.join(folder, name)).convert("RGB")
    side = min(image.size)
    left, top = (image.width - side) // 2, (image.height - side) // 2
    if image.size != (side, side):
        image = image.crop((left, top, left + side, top + side))
    if side != size:
        image = image.resize((size, size), Image.BILINEAR)
    image.tobytes()
seconds = time.process_time() - start
print(f"{len(names)} pictures to {size}x{size} in {seconds:.2f} s of CPU time: {len(names) / seconds:.0f} per second")
