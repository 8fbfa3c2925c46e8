"""Renders the bags under tests/data/bags: our six-joint arm reaching over a table, seen by one camera.

    python -m venv VENV && VENV/bin/pip install mujoco==4.0.0 rosbags==0.11.9 numpy==2.4.6 pillow==13.0.0 PyOpenGL
    MUJOCO_GL=egl VENV/bin/python tests/data/recipes/render_bag.py        # Debian: libegl1 libgl1-mesa-dri

Everything but the pictures is the same on every machine; another rasteriser changes those by a few levels.
The last lines printed are the facts that the reader's tests expect.
"""
import io
import shutil
from pathlib import Path

import mujoco
import numpy as np
from PIL import Image
from rosbags.rosbag2 import CompressionFormat, CompressionMode, StoragePlugin, Writer
from rosbags.typesys import Stores, get_typestore

HERE = Path(__file__).resolve().parent
BAGS = HERE.parent / "bags"
TYPES = get_typestore(Stores.ROS2_JAZZY)
T = TYPES.types
START_NS = 1_763_640_000_000_000_000
TASK = "put the red block on the plate"
# Not the order of the policy: a reader must go by name.
NAMES = ["gripper", "joint_1", "joint_2", "joint_3", "joint_4", "joint_5", "joint_6"]
HOME = np.array([0.03, *np.deg2rad([6.0, 38.0, 80.0, 0.0, 58.0, 10.0])])
SWING = np.array([0.012, 0.12, 0.08, 0.10, 0.09, 0.11, 0.12])
CYCLES_HZ = np.array([0.31, 0.25, 0.42, 0.36, 0.47, 0.29, 0.38])
PHASE = np.array([0.4, 0.0, 0.9, 1.7, 2.6, 0.5, 1.2])
LAG_S = 0.06
COMMAND_AHEAD_S = 0.1


def commanded(t):
    """Joint positions (rad; gripper opening in m) wanted at `t` seconds; the first half second eases in."""
    ease = np.clip(t / 0.5, 0.0, 1.0) ** 2 * (3.0 - 2.0 * np.clip(t / 0.5, 0.0, 1.0))
    return HOME + ease * SWING * (np.sin(2.0 * np.pi * CYCLES_HZ * t + PHASE) - np.sin(PHASE) * (1.0 - ease))


def measured(t, rng):
    return commanded(t - LAG_S) + rng.normal(0.0, 2e-4, len(NAMES)) * np.where(np.array(NAMES) == "gripper", 0.05, 1.0)


def stamp(ns):
    return T["builtin_interfaces/msg/Time"](sec=ns // 1_000_000_000, nanosec=ns % 1_000_000_000)


def header(ns, frame):
    return T["std_msgs/msg/Header"](stamp=stamp(ns), frame_id=frame)


class Camera:
    def __init__(self, width, height):
        self.model = mujoco.MjModel.from_xml_path(str(HERE / "arm6_scene.xml"))
        self.data = mujoco.MjData(self.model)
        self.renderer = mujoco.Renderer(self.model, height, width)

    def picture(self, positions):
        for name, value in zip(NAMES, positions):
            if name == "gripper":
                for finger in ("fingerl", "fingerr"):
                    self.data.qpos[self.model.joint(finger).qposadr[0]] = value / 2.0 - 0.02
            else:
                self.data.qpos[self.model.joint(name).qposadr[0]] = value
        mujoco.mj_forward(self.model, self.data)
        self.renderer.update_scene(self.data, camera="front")
        return self.renderer.render()


def compressed(picture, ns):
    out = io.BytesIO()
    Image.fromarray(picture).save(out, "jpeg", quality=85)
    data = np.frombuffer(out.getvalue(), np.uint8)
    return T["sensor_msgs/msg/CompressedImage"](header=header(ns, "front_optical"), format="rgb8; jpeg compressed bgr8", data=data)


def raw(picture, ns):
    h, w, _ = picture.shape
    return T["sensor_msgs/msg/Image"](header=header(ns, "front_optical"), height=h, width=w, encoding="rgb8",
                                      is_bigendian=0, step=3 * w, data=picture.reshape(-1))


def joint_state(positions, ns):
    empty = np.zeros(0)
    return T["sensor_msgs/msg/JointState"](header=header(ns, ""), name=NAMES, position=positions, velocity=empty, effort=empty)


def trajectory(positions, ns):
    empty = np.zeros(0)
    ahead = T["builtin_interfaces/msg/Duration"](sec=0, nanosec=int(COMMAND_AHEAD_S * 1e9))
    point = T["trajectory_msgs/msg/JointTrajectoryPoint"](positions=positions, velocities=empty, accelerations=empty,
                                                          effort=empty, time_from_start=ahead)
    return T["trajectory_msgs/msg/JointTrajectory"](header=header(ns, ""), joint_names=NAMES, points=[point])


def record(name, length_s, camera, image):
    """`image` is (topic suffix, type, builder, frames per second)."""
    rng = np.random.default_rng(6)
    suffix, kind, build, fps = image
    joints, rows = [], []
    rows.append((5_000_000, "/vla/instruction", "std_msgs/msg/String", T["std_msgs/msg/String"](data=TASK)))
    for i in range(int(length_s * 50)):
        ns = i * 20_000_000
        joints.append(measured(ns / 1e9, rng))
        rows.append((ns + 1_000_000 + 100_000 * (i % 3), "/joint_states", "sensor_msgs/msg/JointState",
                     joint_state(joints[-1], START_NS + ns)))
    for i in range(int(length_s * fps)):
        ns = 60_000_000 + i * int(1e9 / fps)
        # The picture is taken at `ns` and arrives 9 to 13 ms later, after younger joint states.
        rows.append((ns + 9_000_000 + 2_000_000 * (i % 3), "/images/front" + suffix, kind,
                     build(camera.picture(commanded(ns / 1e9 - LAG_S)), START_NS + ns)))
    for i in range(int(length_s * 10)):
        ns = i * 100_000_000
        rows.append((ns + 2_500_000, "/joint_trajectory", "trajectory_msgs/msg/JointTrajectory",
                     trajectory(commanded(ns / 1e9 + COMMAND_AHEAD_S), START_NS + ns)))
    rows.sort(key=lambda row: row[0])
    write(BAGS / name, rows)
    return np.array(joints)


def write(path, rows):
    shutil.rmtree(path, ignore_errors=True)
    with_zstd = Writer(path, version=9, storage_plugin=StoragePlugin.MCAP)
    with_zstd.set_compression(CompressionMode.STORAGE, CompressionFormat.ZSTD)
    with with_zstd as bag:
        topics = {topic: kind for _, topic, kind, _ in rows}
        connections = {topic: bag.add_connection(topic, kind, typestore=TYPES) for topic, kind in sorted(topics.items())}
        for ns, topic, kind, message in rows:
            bag.write(connections[topic], START_NS + ns, TYPES.serialize_cdr(message, kind))
    print(path.name, sum(f.stat().st_size for f in path.iterdir()), "bytes")
    for topic in sorted(topics):
        times = [ns for ns, t, _, _ in rows if t == topic]
        print(f"  {topic} {topics[topic]} x{len(times)} first log time {START_NS + times[0]}")


def main():
    np.set_printoptions(precision=6, suppress=True)
    jpeg = ("/compressed", "sensor_msgs/msg/CompressedImage", compressed, 12.5)
    joints = record("arm6_reach", 4.0, Camera(320, 240), jpeg)
    record("arm6_raw", 1.0, Camera(128, 96), ("", "sensor_msgs/msg/Image", raw, 10.0))
    print("joint names", NAMES)
    print("q01", np.quantile(joints, 0.01, axis=0))
    print("q99", np.quantile(joints, 0.99, axis=0))
    print("largest step between commands 100 ms apart",
          np.abs(np.diff([commanded(i * 0.1) for i in range(41)], axis=0)).max(axis=0))


if __name__ == "__main__":
    main()
