"""Writes and reads safetensors without a dependency: 8 bytes header length, a JSON header, the bytes of the tensors."""
import json
import struct

import numpy as np

NAME_OF_DTYPE = {"float64": "F64", "float32": "F32", "uint8": "U8", "int32": "I32", "uint64": "U64"}


def write(path, tensors, metadata=None):
    """tensors: name -> numpy array. Same input, same bytes: names keep their order and nothing else enters the file."""
    header, blobs, offset = {}, [], 0
    if metadata:
        header["__metadata__"] = {key: str(value) for key, value in metadata.items()}
    for name, array in tensors.items():
        blob = np.ascontiguousarray(array).tobytes()
        header[name] = {"dtype": NAME_OF_DTYPE[str(array.dtype)], "shape": list(array.shape),
                        "data_offsets": [offset, offset + len(blob)]}
        blobs.append(blob)
        offset += len(blob)
    text = json.dumps(header, separators=(",", ":")).encode()
    text += b" " * (-len(text) % 8)  # the data starts on a multiple of 8, so that a reader may map it
    with open(path, "wb") as file:
        file.write(struct.pack("<Q", len(text)) + text)
        file.writelines(blobs)


def read(path):
    with open(path, "rb") as file:
        raw = file.read()
    length = struct.unpack("<Q", raw[:8])[0]
    header, data = json.loads(raw[8:8 + length]), raw[8 + length:]
    header.pop("__metadata__", None)
    dtype_of = {tag: dtype for dtype, tag in NAME_OF_DTYPE.items()}
    return {name: np.frombuffer(data[slice(*entry["data_offsets"])], dtype_of[entry["dtype"]]).reshape(entry["shape"])
            for name, entry in header.items()}
