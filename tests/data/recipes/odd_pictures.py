"""What TensorFlow and Pillow make of pictures of odd sizes: tests/data/preprocess/odd_sizes.safetensors.

    pip install "numpy<2" pillow==13.0.0 safetensors tensorflow-cpu==2.15.0
    python3 tests/data/recipes/odd_pictures.py

`<width>x<height>.<step>` [height, width, 3] is what a step makes of the picture `picture(width, height)`, which
src/preprocess/odd_sizes.rs draws by the same formula. Of the largest picture's JPEG round trip the lower right corner
is kept.
"""

import pathlib

import numpy as np
import tensorflow as tf
from PIL import Image, ImageOps
from safetensors.numpy import save_file

FILE = pathlib.Path(__file__).parent.parent / "preprocess" / "odd_sizes.safetensors"
# Width and height of a picture and of what it is scaled to: smaller, stretched one way only, larger, and on both sides
# of where Pillow 13 turns to the rows first.
SIZES = {
    (101, 37): (53, 29),
    (38, 101): (45, 31),
    (333, 217): (71, 55),
    (17, 13): (43, 51),
    (41, 63): (29, 39),
    (41, 64): (29, 39),
}
CORNER = 65
SHORT_SIDE = 15
AREA = 0.9


def picture(width, height):
    y, x, c = np.meshgrid(np.arange(height), np.arange(width), np.arange(3), indexing="ij")
    texture = (x * x * 7 + y * 31 + c * 53 + x * y * 11) * (1 + (x + y + c) % 3)
    return (texture % 97 + x * 150 // width).astype(np.uint8)


def jpeg_roundtrip(pixels):
    file = tf.io.encode_jpeg(pixels, quality=95)
    return tf.io.decode_image(file, expand_animations=False, dtype=tf.uint8).numpy()


def lanczos3(pixels, width, height):
    made = tf.image.resize(pixels, (height, width), method="lanczos3", antialias=True)
    return tf.cast(tf.clip_by_value(tf.round(made), 0, 255), tf.uint8).numpy()


def center_crop(pixels):
    """OpenVLA-OFT's crop, to the picture's own size."""
    height, width, _ = pixels.shape
    side = tf.clip_by_value(tf.sqrt(tf.constant(AREA)), 0, 1)
    offset = (1 - side) / 2
    unit = tf.image.convert_image_dtype(pixels, tf.float32)
    box = tf.stack([offset, offset, offset + side, offset + side])[None]
    cut = tf.image.crop_and_resize(unit[None], box, tf.range(1), (height, width))[0]
    return tf.image.convert_image_dtype(tf.clip_by_value(cut, 0, 1), tf.uint8, saturate=True).numpy()


def short_side(image):
    """torchvision's `resize(image, SHORT_SIDE)` on a PIL image."""
    short, long = sorted(image.size)
    longer = int(SHORT_SIDE * long / short)
    size = (SHORT_SIDE, longer) if image.width <= image.height else (longer, SHORT_SIDE)
    return image.resize(size, Image.BICUBIC)


def letterbox(image):
    """OpenVLA's `letterbox_pad_transform`."""
    side = max(image.size)
    pad = [int((side - length) / 2) for length in image.size]
    return ImageOps.expand(image, (pad[0], pad[1], pad[0], pad[1]), fill=(124, 116, 104))


made = {}
for size, target in SIZES.items():
    pixels = picture(*size)
    image = Image.fromarray(pixels)
    steps = {
        "jpeg_roundtrip": jpeg_roundtrip(pixels),
        "lanczos3_tf": lanczos3(pixels, *target),
        "bilinear_pil": image.resize(target, Image.BILINEAR),
        "bicubic_pil": image.resize(target, Image.BICUBIC),
        "lanczos_pil": image.resize(target, Image.LANCZOS),
        "short_side": short_side(image),
    }
    if size[0] < 200:
        steps |= {"center_crop": center_crop(pixels), "letterbox": letterbox(image)}
    else:
        steps["jpeg_roundtrip"] = steps["jpeg_roundtrip"][-CORNER:, -CORNER:]
    for step, result in steps.items():
        made[f"{size[0]}x{size[1]}.{step}"] = np.ascontiguousarray(result)
save_file(made, FILE)
print({name: value.shape for name, value in made.items()})
