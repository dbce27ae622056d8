# Makes pictures/ and resized.bin with Pillow (Debian: python3-pil). The tests need neither Python nor Pillow.
#
# resized.bin: for each case of RESIZED in turn the bytes [side, side, 3] that Pillow makes of noise(height, width).
# pictures/: one small picture in many formats: 24x16 with red, green, blue and white quadrants (upper left, upper right,
# lower left, lower right) and a black pixel at (x 1, y 2).
import os
import struct
import zlib

from PIL import Image

HERE = os.path.dirname(os.path.abspath(__file__))
RESIZED = [(96, 96, 48), (64, 64, 32), (96, 96, 32), (75, 101, 16), (101, 75, 24), (33, 33, 48), (7, 9, 5), (1, 1, 4),
           (300, 300, 7)]


def noise(height, width):
    """Bytes of a linear congruential generator: as tests/data/picture_test.cpp makes them."""
    state, data = height * 1000 + width, bytearray()
    for _ in range(height * width * 3):
        state = (state * 1664525 + 1013904223) % 2**32
        data.append(state >> 24)
    return Image.frombytes("RGB", (width, height), bytes(data))


def resized():
    with open(os.path.join(HERE, "resized.bin"), "wb") as out:
        for height, width, side in RESIZED:
            square = min(height, width)
            left, top = (width - square) // 2, (height - square) // 2
            image = noise(height, width).crop((left, top, left + square, top + square))
            out.write(image.resize((side, side), Image.BILINEAR).tobytes())


def picture():
    image = Image.new("RGB", (24, 16), "white")
    for colour, x, y in [("red", 0, 0), ((0, 255, 0), 12, 0), ("blue", 0, 8)]:
        image.paste(colour, (x, y, x + 12, y + 8))
    image.putpixel((1, 2), (0, 0, 0))
    return image


def png_of_16_bits(path, image):
    """Pillow writes none with colours. The lower byte of each value is noise that the reader drops."""
    rows = b""
    for y in range(image.height):
        rows += b"\0"
        for x in range(image.width):
            rows += b"".join(bytes([value, 0x5a]) for value in image.getpixel((x, y)))
    def chunk(kind, data):
        return struct.pack(">I", len(data)) + kind + data + struct.pack(">I", zlib.crc32(kind + data))
    header = struct.pack(">IIBBBBB", image.width, image.height, 16, 2, 0, 0, 0)
    with open(path, "wb") as out:
        out.write(b"\x89PNG\r\n\x1a\n" + chunk(b"IHDR", header) + chunk(b"IDAT", zlib.compress(rows)) + chunk(b"IEND", b""))


def pictures():
    folder = os.path.join(HERE, "pictures")
    os.makedirs(folder, exist_ok=True)
    image = picture()
    def save(name, picture, **options):
        picture.save(os.path.join(folder, name), **options)
    save("rgb.png", image)
    save("grey.png", image.convert("L"))
    save("palette.png", image.convert("P", palette=Image.ADAPTIVE))
    save("rgba.png", image.convert("RGBA"))
    png_of_16_bits(os.path.join(folder, "rgb16.png"), image)
    save("animated.png", image, save_all=True, append_images=[image.rotate(180)])
    save("rgb.jpg", image, quality=95, subsampling=0)
    save("subsampled.jpg", image, quality=95, subsampling=2)
    save("progressive.jpg", image, quality=95, subsampling=0, progressive=True)
    save("grey.jpg", image.convert("L"), quality=95)
    save("cmyk.jpg", image.convert("CMYK"), quality=95, subsampling=0)
    save("rgb.bmp", image)
    save("palette.bmp", image.convert("P", palette=Image.ADAPTIVE))
    save("rgba.bmp", image.convert("RGBA"))
    save("animated.gif", image, save_all=True, append_images=[image.rotate(180)])
    save("rgb.tiff", image)
    save("rgb.webp", image, lossless=True)


resized()
pictures()
