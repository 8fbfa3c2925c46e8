"""Prints what `*_checkpoint.pt` here hold, by Python's own pickle and zipfile: `python3 expect_torch.py > expect_torch.txt`.

One line per tensor: file, name, dtype, shape, the first three values and the sha256 of all values as little-endian f32.
The .pt files are small components in the layout of a released checkpoint, with random weights, saved by `torch.save`.
"""

import collections
import hashlib
import math
import pathlib
import pickle
import struct
import zipfile

WIDEN = {
    "FloatStorage": ("f32", 4, lambda b: struct.unpack("<f", b)[0]),
    "BFloat16Storage": ("bf16", 2, lambda b: struct.unpack("<f", b"\0\0" + b)[0]),
}


class Reader(pickle.Unpickler):
    def find_class(self, module, name):
        if name == "OrderedDict":
            return collections.OrderedDict
        if name == "_rebuild_tensor_v2":
            return lambda storage, offset, shape, stride, *_: (storage, offset, shape, stride)
        return WIDEN[name]

    def persistent_load(self, pid):
        return pid


for path in sorted(pathlib.Path(__file__).parent.glob("*_checkpoint.pt")):
    archive = zipfile.ZipFile(path)
    folder = archive.namelist()[0].split("/")[0]
    for name, (pid, offset, shape, _) in Reader(archive.open(f"{folder}/data.pkl")).load().items():
        dtype, size, widen = pid[1]
        data = archive.read(f"{folder}/data/{pid[2]}")
        count = math.prod(shape)
        values = [widen(data[i * size : (i + 1) * size]) for i in range(offset, offset + count)]
        digest = hashlib.sha256(struct.pack(f"<{count}f", *values)).hexdigest()
        print(path.name, name, dtype, "x".join(map(str, shape)), *(f"{v:.9e}" for v in values[:3]), digest)
