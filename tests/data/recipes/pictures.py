"""What OpenCV makes of our pictures: tests/data/pictures/expected.safetensors.

    pip install numpy==2.2.6 opencv-python-headless==4.10.0.84 safetensors==0.5.3 pyyaml==6.0.2
    python3 tests/data/recipes/pictures.py

`<encoding>.frame` [rows, step] is a camera's frame with padded rows, `<encoding>.rgb` [height, width, 3] what it shows.
`view.camera` [height, width, 3] is seen through the lens of `<model>.yaml`; `view.<model>` is the straight picture, and
`view.<model>.turned` a region of it, rotated by 90 degrees and mirrored.
"""

import pathlib

import cv2
import numpy as np
import yaml
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


def views(random):
    """Pictures by name."""
    camera = cv2.resize(random.integers(0, 256, (8, 9, 3), np.uint8), (37, 29), interpolation=cv2.INTER_CUBIC)
    made = {"camera": camera}
    for path in sorted(FOLDER.glob("*.yaml")):
        info = yaml.safe_load(path.read_text())
        matrix = lambda name, rows: np.array(info[name]["data"]).reshape(rows, -1)
        maps = cv2.initUndistortRectifyMap(
            matrix("camera_matrix", 3),
            matrix("distortion_coefficients", 1),
            matrix("rectification_matrix", 3),
            matrix("projection_matrix", 3)[:, :3],
            (info["image_width"], info["image_height"]),
            cv2.CV_16SC2,
        )
        straight = cv2.remap(camera, *maps, cv2.INTER_LINEAR)
        made[path.stem] = straight
        region = straight[1 : 1 + 11, 3 : 3 + 20]
        made[f"{path.stem}.turned"] = cv2.flip(cv2.rotate(region, cv2.ROTATE_90_CLOCKWISE), 0)
    return made


def main():
    random = np.random.default_rng(3)
    tensors = {}
    for name, (frame, rgb) in encodings(random).items():
        rows = frame.reshape(frame.shape[0], -1)
        tensors[f"{name}.frame"] = np.pad(rows, ((0, 0), (0, PADDING)), constant_values=77)
        tensors[f"{name}.rgb"] = rgb
    for name, picture in views(random).items():
        tensors[f"view.{name}"] = np.ascontiguousarray(picture)
    save_file(tensors, FOLDER / "expected.safetensors")


if __name__ == "__main__":
    main()
