"""Writes `views_protocol{2,5}.pt`: a state dict as torch lays it out, with the views that real ones contain.

`python3 make_views.py`; needs no torch, because the pickle only names torch's functions. Element i of the storage is
i + 0.25, so a tensor's value tells its place.
"""

import collections
import io
import pathlib
import pickle
import struct
import sys
import types
import zipfile


def module(name, **members):
    made = types.ModuleType(name)
    for key, member in members.items():
        member.__module__, member.__qualname__ = name, key
        setattr(made, key, member)
    sys.modules[name] = made


def rebuild_tensor(*_):
    pass


def rebuild_parameter(*_):
    pass


class FloatStorage:
    pass


class LongStorage:
    pass


module("torch", FloatStorage=FloatStorage, LongStorage=LongStorage)
module("torch._utils", _rebuild_tensor_v2=rebuild_tensor, _rebuild_parameter=rebuild_parameter)


class Storage:
    def __init__(self, kind, key, location, elements):
        self.pid = ("storage", kind, key, location, elements)


class Call:
    def __init__(self, function, *arguments):
        self.call = (function, arguments)

    def __reduce__(self):
        return self.call


class Writer(pickle.Pickler):
    def persistent_id(self, value):
        return value.pid if isinstance(value, Storage) else None


FLOATS = Storage(FloatStorage, "0", "cuda:0", 12)
IDS = Storage(LongStorage, "1", "cpu", 2)


def tensor(storage, offset, shape, stride):
    return Call(rebuild_tensor, storage, offset, shape, stride, False, collections.OrderedDict())


STATE = collections.OrderedDict(
    whole=tensor(FLOATS, 0, (3, 4), (4, 1)),
    transposed=tensor(FLOATS, 0, (4, 3), (1, 4)),
    tail=tensor(FLOATS, 5, (2, 3), (3, 1)),
    columns=tensor(FLOATS, 1, (3, 2), (4, 1)),
    parameter=Call(rebuild_parameter, tensor(FLOATS, 11, (1,), (1,)), True, collections.OrderedDict()),
    scalar=tensor(FLOATS, 7, (), ()),
    ids=tensor(IDS, 0, (2,), (1,)),
)

for protocol in (2, 5):
    text = io.BytesIO()
    Writer(text, protocol).dump(STATE)
    path = pathlib.Path(__file__).with_name(f"views_protocol{protocol}.pt")
    with zipfile.ZipFile(path, "w") as archive:
        for name, data in [
            ("data.pkl", text.getvalue()),
            ("byteorder", b"little"),
            ("data/0", struct.pack("<12f", *(i + 0.25 for i in range(12)))),
            ("data/1", struct.pack("<2q", 3, -5)),
        ]:
            archive.writestr(zipfile.ZipInfo(f"archive/{name}"), data)
