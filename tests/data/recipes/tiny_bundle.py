"""Makes tests/data/bundles/tiny: a bundle of two graphs whose numbers a person can check by hand.

    python3 -m pip install onnx==1.23.2
    python3 tests/data/recipes/tiny_bundle.py

text (per instruction):   word = ids as f32, [1, tokens, 1]
body (per observation):   actions[step][dim] = state[step] * mean(pixels of channel dim) + mean(word), [2, 3]
                          kept = channel 0 of each pixel > 0, [1, 6]
"""

import hashlib
import json
import pathlib

import onnx
from onnx import TensorProto, helper

OUT = pathlib.Path(__file__).parent.parent / "bundles" / "tiny"
FLOAT, INT64, BOOL = TensorProto.FLOAT, TensorProto.INT64, TensorProto.BOOL


def tensor(name, dtype, dims):
    return helper.make_tensor_value_info(name, dtype, dims)


def save(name, nodes, inputs, outputs, constants=()):
    constants = [helper.make_tensor(n, INT64, [len(v)], v) for n, v in constants]
    graph = helper.make_graph(nodes, name, inputs, outputs, constants)
    opsets = [helper.make_opsetid("", 23)]
    model = helper.make_model(graph, opset_imports=opsets, ir_version=11, producer_name="tiny_bundle.py")
    onnx.checker.check_model(model, full_check=True)
    (OUT / f"{name}.onnx").write_bytes(model.SerializeToString())


def node(op, inputs, output, **attributes):
    return helper.make_node(op, inputs, [output], name=f"{output}_{op}", **attributes)


def text():
    nodes = [node("Cast", ["ids"], "numbers", to=FLOAT), node("Unsqueeze", ["numbers", "last"], "word")]
    save("text", nodes, [tensor("ids", INT64, [1, "tokens"])], [tensor("word", FLOAT, [1, "tokens", 1])], [("last", [2])])


def body():
    nodes = [
        node("ReduceMean", ["pixels", "area"], "brightness", keepdims=0),
        node("Reshape", ["state", "column"], "scale"),
        node("MatMul", ["scale", "brightness"], "scaled"),
        node("ReduceMean", ["word", "all"], "offset", keepdims=0),
        node("Add", ["scaled", "offset"], "actions"),
        node("Split", ["pixels"], "red", axis=1, num_outputs=3),
        node("Reshape", ["red", "patches"], "flat"),
        node("Sub", ["flat", "flat"], "zero"),
        node("Greater", ["flat", "zero"], "kept"),
    ]
    nodes[5].output.extend(["green", "blue"])
    constants = [("area", [2, 3]), ("column", [2, 1]), ("all", [0, 1, 2]), ("patches", [1, 6])]
    inputs = [tensor("pixels", FLOAT, [1, 3, 2, 3]), tensor("state", FLOAT, [1, 2]), tensor("word", FLOAT, [1, "tokens", 1])]
    save("body", nodes, inputs, [tensor("actions", FLOAT, [2, 3]), tensor("kept", BOOL, [1, 6])], constants)


def tokenizer():
    words = ["<unk>", "do", "pick", "place", "now"]
    (OUT / "tokenizer.json").write_text(json.dumps({
        "version": "1.0", "truncation": None, "padding": None, "added_tokens": [], "normalizer": None,
        "pre_tokenizer": {"type": "Whitespace"}, "post_processor": None, "decoder": None,
        "model": {"type": "WordLevel", "vocab": {w: i for i, w in enumerate(words)}, "unk_token": "<unk>"},
    }, indent=1) + "\n")


def spec(name, dtype, dims):
    return {"name": name, "dtype": dtype, "dims": dims}


def manifest():
    files = {}
    for path in sorted(OUT.iterdir()):
        if path.name != "manifest.json":
            data = path.read_bytes()
            files[path.name] = {"bytes": len(data), "sha256": hashlib.sha256(data).hexdigest()}
    pixels = [
        {"op": "crop_pixels", "height": 2, "width": 3},
        {"op": "normalize", "mean": [0.5, 0.5, 0.5], "std": [0.5, 0.25, 0.125]},
    ]
    words = [
        {"op": "lowercase"},
        {"op": "prompt", "template": "do {task} now"},
        {"op": "tokenize", "file": "tokenizer.json", "special_tokens": False},
    ]
    limits = {"low": [-1.0, 0.0, 0.0], "high": [1.0, 4.0, 1.0], "eps": 0.0, "mask": [True, True, False]}
    word, ids = spec("word", "fp32", [1, "tokens", 1]), spec("ids", "int64", [1, "tokens"])
    body_in = [spec("pixels", "fp32", [1, 3, 2, 3]), spec("state", "fp32", [1, 2]), word]
    body_out = [spec("actions", "fp32", [2, 3]), spec("kept", "bool", [1, 6])]
    state_steps = [{"op": "normalize_range", "low": [0.0, -2.0], "high": [2.0, 2.0], "eps": 0.0}]
    return {
        "format_version": 1, "system": "tiny", "exporter": "tiny_bundle.py",
        "checkpoint": {"name": "none", "sha256": "0" * 64, "unnorm_key": None, "dropped": []},
        "precision": "fp32", "opset": 23, "files": files,
        "streams": {"cameras": [{"name": "front", "orientation": "as_trained"}], "state": {"dim": 2}},
        "inputs": [
            {"tensor": "pixels", "source": {"from": "cameras", "steps": pixels}},
            {"tensor": "state", "source": {"from": "state", "steps": state_steps}},
            {"tensor": "ids", "source": {"from": "task", "steps": words}},
        ],
        "graphs": {
            "text": {"file": "text.onnx", "weights": None, "inputs": [ids], "outputs": [word]},
            "body": {"file": "body.onnx", "weights": None, "inputs": body_in, "outputs": body_out},
        },
        "dims": {"tokens": {"min": 2, "opt": 3, "max": 20}},
        "plan": [
            {"stage": "run", "graph": "text", "every": "instruction"},
            {"stage": "run", "graph": "body", "every": "observation"},
        ],
        "actions": {
            "tensor": "actions", "chunk_size": 2, "action_dim": 3,
            "unnormalize": {"kind": "min_max", **limits}, "kept_tokens": "kept",
        },
        "io": None, "golden": None,
    }


OUT.mkdir(parents=True, exist_ok=True)
text()
body()
tokenizer()
(OUT / "manifest.json").write_text(json.dumps(manifest(), indent=1) + "\n")
