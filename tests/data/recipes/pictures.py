"""What OpenCV makes of our pictures: tests/data/pictures/expected.safetensors.

    pip install numpy==2.2.6 opencv-python-headless==4.10.0.84 safetensors==0.5.3
    python3 tests/data/recipes/pictures.py

`<encoding>.frame` [rows, step] is a camera's frame with padded rows, `<encoding>.rgb` [height, width, 3] what it shows.
"""

import pathlib

import cv2
import numpy as np
from safetensors.numpy import save_file

FOLDER = pathlib.Path(__file__).parent.parent / "pictures"
PADDING = 3

# ROS names a mosaic by its first row, OpenCV by the second and third pixel of its second row.
BAYER = {
    "bayer_rggb8": cv2.COLOR_BayerBG2RGB,
    "bayer_bggr8": cv2.COLOR_BayerRG2RGB,
    "bayer_gbrg8": cv2.COLOR_BayerGR2RGB,
    "bayer_grbg8": cv2.COLOR_BayerGB2RGB,
}


def encodings(random):
    """Pairs of a frame without padding and its colours."""
    pixels = random.integers(0, 256, (5, 7), np.uint8)
    made = {name: (pixels, cv2.cvtColor(pixels, code)) for name, code in BAYER.items()}
    made["mono8"] = (pixels, cv2.cvtColor(pixels, cv2.COLOR_GRAY2RGB))
    four = random.integers(0, 256, (5, 7, 4), np.uint8)
    made["rgba8"] = (four, cv2.cvtColor(four, cv2.COLOR_RGBA2RGB))
    made["bgra8"] = (four, cv2.cvtColor(four, cv2.COLOR_BGRA2RGB))
    two = random.integers(0, 256, (5, 12, 2), np.uint8)
    made["uyvy"] = (two, cv2.cvtColor(two, cv2.COLOR_YUV2RGB_UYVY))
    made["yuyv"] = (two, cv2.cvtColor(two, cv2.COLOR_YUV2RGB_YUYV))
    planes = random.integers(0, 256, (9, 10), np.uint8)
    made["nv12"] = (planes, cv2.cvtColor(planes, cv2.COLOR_YUV2RGB_NV12))
    return made


def main():
    random = np.random.default_rng(3)
    tensors = {}
    for name, (frame, rgb) in encodings(random).items():
        rows = frame.reshape(frame.shape[0], -1)
        tensors[f"{name}.frame"] = np.pad(rows, ((0, 0), (0, PADDING)), constant_values=77)
        tensors[f"{name}.rgb"] = rgb
    FOLDER.mkdir(exist_ok=True)
    save_file(tensors, FOLDER / "expected.safetensors")


if __name__ == "__main__":
    main()
