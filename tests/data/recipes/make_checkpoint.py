"""Writes tests/data/checkpoints/arm6: a checkpoint with RANDOM weights in the layout of OpenVLA-OFT, for tests and the demo.

    python tests/data/recipes/make_checkpoint.py        # numpy 2.4.6; the tokenizer files stand there already
    python tests/data/recipes/make_checkpoint.py --out DIR --width 1024 --heads 16 --mlp 2816 --layers 4   # for benchmarks
    python tests/data/recipes/make_checkpoint.py --out DIR --head diffusion --film on --vision-scale 16 --vision-depth 12

Two tiny ViTs, a tiny Llama, an L1 action head and a proprio projector; 7 actions, 7 state values, chunks of 8.
The head's last layer is scaled down so that chunks stay near the middle of the statistics, which are those of the bag
arm6_reach (see render_bag.py). It has learnt nothing.
"""
import argparse
import io
import json
import pickle
import re
import shutil
import struct
import sys
import types
import zipfile
from collections import OrderedDict
from pathlib import Path

import numpy as np

ARM6 = Path(__file__).resolve().parent.parent / "checkpoints" / "arm6"
TOKENIZER = ["added_tokens.json", "special_tokens_map.json", "tokenizer.json", "tokenizer.model", "tokenizer_config.json"]


def arguments():
    parser = argparse.ArgumentParser()
    parser.add_argument("--out", type=Path, default=ARM6)
    for name, default in (("width", 32), ("layers", 3), ("heads", 4), ("mlp", 72), ("image-size", 56), ("vision-scale", 1),
                          ("vision-depth", 3)):
        parser.add_argument("--" + name, type=int, default=default)
    parser.add_argument("--head", choices=("l1", "diffusion"), default="l1")
    parser.add_argument("--film", choices=("on", "off"), default="off")
    return parser.parse_args()


ARGUMENTS = arguments()
OUT, WIDTH, LAYERS, HEADS, MLP, SIZE = (
    getattr(ARGUMENTS, name) for name in ("out", "width", "layers", "heads", "mlp", "image_size"))
SCALE, DEPTH = ARGUMENTS.vision_scale, ARGUMENTS.vision_depth
STEP, VOCAB, DIMS = 1000, 1088, 7
TOWERS = [
    ("featurizer", dict(act="gelu", class_token=True, depth=DEPTH, embed_dim=24 * SCALE, img_size=SIZE, layer_scale=True,
                        mlp_hidden_dim=96 * SCALE, norm_eps=1e-6, num_heads=3, patch_size=14, qkv_bias=True, reg_tokens=4)),
    ("fused_featurizer", dict(act="gelu", class_token=False, depth=DEPTH, embed_dim=40 * SCALE, img_size=SIZE, layer_scale=False,
                              mlp_hidden_dim=110 * SCALE, norm_eps=1e-6, num_heads=5, patch_size=14, qkv_bias=True, reg_tokens=0)),
]
# What render_bag.py prints for arm6_reach, in the policy's order: joint_1 .. joint_6 (rad), gripper (m between the fingers).
Q01 = [-0.015238, 0.583167, 1.296547, -0.089985, 0.902446, 0.054682, 0.018025]
Q99 = [0.224766, 0.742910, 1.495976, 0.089945, 1.122159, 0.294509, 0.041994]
RNG = np.random.default_rng(20261120)


def normal(*shape, scale):
    return (RNG.standard_normal(shape) * scale).astype(np.float32)


def linear(into, name, rows, columns, gain=1.0, bias=True):
    into[name + ".weight"] = normal(rows, columns, scale=gain / columns**0.5)
    if bias:
        into[name + ".bias"] = normal(rows, scale=0.05 * gain)


def norm(into, name, width):
    into[name + ".weight"] = 1.0 + normal(width, scale=0.1)
    into[name + ".bias"] = normal(width, scale=0.05)


def vit(into, prefix, arch):
    d, p = arch["embed_dim"], arch["patch_size"]
    into[prefix + ".patch_embed.proj.weight"] = normal(d, 3, p, p, scale=(3 * p * p) ** -0.5)
    into[prefix + ".patch_embed.proj.bias"] = normal(d, scale=0.05)
    into[prefix + ".pos_embed"] = normal(1, (arch["img_size"] // p) ** 2, d, scale=0.2)
    if arch["class_token"]:
        into[prefix + ".cls_token"] = normal(1, 1, d, scale=0.2)
    if arch["reg_tokens"]:
        into[prefix + ".reg_token"] = normal(1, arch["reg_tokens"], d, scale=0.2)
    for i in range(arch["depth"]):
        block = f"{prefix}.blocks.{i}"
        norm(into, block + ".norm1", d)
        linear(into, block + ".attn.qkv", 3 * d, d)
        linear(into, block + ".attn.proj", d, d)
        norm(into, block + ".norm2", d)
        linear(into, block + ".mlp.fc1", arch["mlp_hidden_dim"], d)
        linear(into, block + ".mlp.fc2", d, arch["mlp_hidden_dim"])
        if arch["layer_scale"]:
            into[block + ".ls1.scale_factor"] = 0.5 + normal(d, scale=0.1)
            into[block + ".ls2.scale_factor"] = 0.5 + normal(d, scale=0.1)
    norm(into, prefix + ".norm", d)
    if not arch["class_token"]:
        pooling(into, prefix + ".attn_pool", d, arch["mlp_hidden_dim"])


def pooling(into, prefix, d, hidden):
    """SigLIP checkpoints carry their pooling layer although nobody uses it here."""
    into[prefix + ".latent"] = normal(1, 1, d, scale=0.2)
    linear(into, prefix + ".q", d, d)
    linear(into, prefix + ".kv", 2 * d, d)
    linear(into, prefix + ".proj", d, d)
    norm(into, prefix + ".norm", d)
    linear(into, prefix + ".mlp.fc1", hidden, d)
    linear(into, prefix + ".mlp.fc2", d, hidden)


def language_model(into):
    prefix = "language_model.model."
    into[prefix + "embed_tokens.weight"] = normal(VOCAB, WIDTH, scale=0.5)
    for i in range(LAYERS):
        layer = f"{prefix}layers.{i}."
        for name in ("q_proj", "k_proj", "v_proj", "o_proj"):
            linear(into, f"{layer}self_attn.{name}", WIDTH, WIDTH, bias=False)
        linear(into, layer + "mlp.gate_proj", MLP, WIDTH, bias=False)
        linear(into, layer + "mlp.up_proj", MLP, WIDTH, bias=False)
        linear(into, layer + "mlp.down_proj", WIDTH, MLP, bias=False)
        into[layer + "input_layernorm.weight"] = 1.0 + normal(WIDTH, scale=0.1)
        into[layer + "post_attention_layernorm.weight"] = 1.0 + normal(WIDTH, scale=0.1)
    into[prefix + "norm.weight"] = 1.0 + normal(WIDTH, scale=0.1)
    linear(into, "language_model.lm_head", VOCAB, WIDTH, bias=False)


def merged_model():
    tensors = {}
    for name, arch in TOWERS:
        vit(tensors, "vision_backbone." + name, arch)
    both = sum(arch["embed_dim"] for _, arch in TOWERS)
    linear(tensors, "projector.fc1", 4 * both, both)
    linear(tensors, "projector.fc2", WIDTH, 4 * both)
    linear(tensors, "projector.fc3", WIDTH, WIDTH)
    language_model(tensors)
    return tensors


def action_head():
    head, net = {}, "module." + {"l1": "model", "diffusion": "noise_predictor.mlp_resnet"}[ARGUMENTS.head]
    norm(head, f"{net}.layer_norm1", WIDTH * DIMS)
    linear(head, f"{net}.fc1", WIDTH, WIDTH * DIMS)
    for i in range(2):
        norm(head, f"{net}.mlp_resnet_blocks.{i}.ffn.0", WIDTH)
        linear(head, f"{net}.mlp_resnet_blocks.{i}.ffn.1", WIDTH, WIDTH)
    norm(head, f"{net}.layer_norm2", WIDTH)
    linear(head, f"{net}.fc2", DIMS, WIDTH, gain=0.1)
    return head


def token_projector(values):
    projector = {}
    linear(projector, "module.fc1", WIDTH, values)
    linear(projector, "module.fc2", WIDTH, WIDTH)
    return projector


def film(model):
    """The towers as a FiLM training saves them: each block inside a wrapper with a scale and a shift."""
    wrapped = {re.sub(r"(\.blocks\.\d+)\.", r"\1.block.", name): tensor
               for name, tensor in model.items() if name.startswith("vision_backbone.")}
    for name, arch in TOWERS:
        for i in range(arch["depth"]):
            for part in ("scale", "shift"):
                linear(wrapped, f"vision_backbone.{name}.blocks.{i}.{part}", arch["embed_dim"], WIDTH, gain=0.1)
    return wrapped


def bf16(array):
    bits = np.ascontiguousarray(array, "<f4").view("<u4")
    return ((bits + 0x7FFF + ((bits >> 16) & 1)) >> 16).astype("<u2").tobytes()


def write_safetensors(path, tensors):
    header, end = {"__metadata__": {"format": "pt"}}, 0
    for name in sorted(tensors):
        start, end = end, end + 2 * tensors[name].size
        header[name] = {"dtype": "BF16", "shape": list(tensors[name].shape), "data_offsets": [start, end]}
    text = json.dumps(header).encode()
    text += b" " * (-len(text) % 8)
    with open(path, "wb") as file:
        file.write(struct.pack("<Q", len(text)) + text)
        for name in sorted(tensors):
            file.write(bf16(tensors[name]))


def write_pt(path, tensors, storage):
    """What torch.save writes for a state dict: a zip of one protocol 2 pickle and one file per storage."""
    torch, utils = types.ModuleType("torch"), types.ModuleType("torch._utils")
    sys.modules.update({"torch": torch, "torch._utils": utils})
    setattr(torch, storage, type(storage, (), {"__module__": "torch"}))

    def _rebuild_tensor_v2():
        raise NotImplementedError

    _rebuild_tensor_v2.__module__, _rebuild_tensor_v2.__qualname__ = "torch._utils", "_rebuild_tensor_v2"
    utils._rebuild_tensor_v2 = _rebuild_tensor_v2
    blobs = []

    class Storage:
        def __init__(self, array):
            self.key, self.size = str(len(blobs)), array.size
            blobs.append(bf16(array) if storage == "BFloat16Storage" else np.ascontiguousarray(array, "<f4").tobytes())

    class Tensor:
        def __init__(self, array):
            self.array, self.storage = array, Storage(array)

        def __reduce__(self):
            strides = tuple(int(s) // self.array.itemsize for s in self.array.strides)
            return _rebuild_tensor_v2, (self.storage, 0, self.array.shape, strides, False, OrderedDict())

    class Pickler(pickle.Pickler):
        def persistent_id(self, obj):
            return ("storage", getattr(torch, storage), obj.key, "cpu", obj.size) if isinstance(obj, Storage) else None

    out = io.BytesIO()
    Pickler(out, protocol=2).dump(OrderedDict((name, Tensor(array)) for name, array in tensors.items()))
    with zipfile.ZipFile(path, "w", zipfile.ZIP_STORED) as archive:
        files = {"data.pkl": out.getvalue(), "byteorder": b"little", "version": b"3\n"}
        files |= {f"data/{i}": blob for i, blob in enumerate(blobs)}
        for name, blob in files.items():
            archive.writestr(zipfile.ZipInfo(f"{path.stem}/{name}"), blob)


def config():
    return {
        "arch_specifier": "no-align+fused-gelu-mlp", "architectures": ["OpenVLAForActionPrediction"],
        "hf_llm_id": "meta-llama/Llama-2-7b-hf", "image_resize_strategy": "resize-naive", "image_sizes": [SIZE, SIZE],
        "llm_backbone_id": "llama2-7b-pure", "llm_max_length": 2048, "model_type": "openvla", "n_action_bins": 256,
        "norm_stats": {}, "output_projector_states": False, "pad_to_multiple_of": 64, "pad_token_id": 1024,
        "text_config": {"hidden_size": WIDTH, "intermediate_size": MLP, "model_type": "llama", "num_attention_heads": HEADS,
                        "num_hidden_layers": LAYERS, "num_key_value_heads": HEADS, "pad_token_id": 1024, "rms_norm_eps": 1e-5,
                        "torch_dtype": "bfloat16", "vocab_size": VOCAB},
        "timm_model_ids": [f"vit_arm6_d24x3h3_patch14_reg4_dinov2_{SIZE}", f"vit_arm6_d40x3h5_patch14_siglip_{SIZE}"],
        "timm_override_act_layers": [None, None], "torch_dtype": "bfloat16", "transformers_version": "4.40.1",
        "use_fused_vision_backbone": True, "vision_backbone_arch": [arch for _, arch in TOWERS],
        "vision_backbone_id": "dinosiglip-vit-so-224px",
    }


def preprocessor():
    resize = {"antialias": True, "interpolation": 3, "max_size": None, "size": [SIZE, SIZE]}
    means, stds = [[0.484375, 0.455078125, 0.40625], [0.5] * 3], [[0.228515625, 0.2236328125, 0.224609375], [0.5] * 3]
    return {
        "image_processor_type": "PrismaticImageProcessor", "image_resize_strategy": "resize-naive",
        "input_sizes": [[3, SIZE, SIZE]] * 2, "interpolations": ["bicubic"] * 2, "means": [[0.485, 0.456, 0.406], [0.5] * 3],
        "processor_class": "PrismaticProcessor", "stds": [[0.229, 0.224, 0.225], [0.5] * 3],
        "tvf_crop_params": [{"output_size": [SIZE, SIZE]}] * 2, "tvf_do_letterbox": False, "tvf_letterbox_fill": None,
        "tvf_normalize_params": [{"inplace": False, "mean": m, "std": s} for m, s in zip(means, stds)],
        "tvf_resize_params": [resize] * 2, "use_fused_vision_backbone": True,
    }


def statistics():
    low, high = np.array(Q01), np.array(Q99)
    margin = 0.02 * (high - low)
    one = {"mean": ((low + high) / 2).tolist(), "std": ((high - low) / 3).tolist(), "min": (low - margin).tolist(),
           "max": (high + margin).tolist(), "q01": Q01, "q99": Q99}
    return {"arm6_random": {"action": one | {"mask": [True] * DIMS}, "proprio": one, "num_transitions": 200, "num_trajectories": 1}}


def main():
    OUT.mkdir(parents=True, exist_ok=True)
    if OUT != ARM6:
        for name in TOKENIZER:
            shutil.copy(ARM6 / name, OUT)
    model = merged_model()
    write_safetensors(OUT / "model.safetensors", model)
    write_pt(OUT / f"action_head--{STEP}_checkpoint.pt", action_head(), "BFloat16Storage")
    write_pt(OUT / f"proprio_projector--{STEP}_checkpoint.pt", token_projector(DIMS), "FloatStorage")
    if ARGUMENTS.head == "diffusion":
        write_pt(OUT / f"noisy_action_projector--{STEP}_checkpoint.pt", token_projector(1), "FloatStorage")
    if ARGUMENTS.film == "on":
        write_pt(OUT / f"vision_backbone--{STEP}_checkpoint.pt", film(model), "BFloat16Storage")
    for name, value in (("config.json", config()), ("preprocessor_config.json", preprocessor()),
                        ("dataset_statistics.json", statistics())):
        (OUT / name).write_text(json.dumps(value, indent=1) + "\n")


if __name__ == "__main__":
    main()
