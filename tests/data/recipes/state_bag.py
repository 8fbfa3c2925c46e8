"""Writes tests/data/bags/state: a robot that tells its state as a pose, as frames and as an array.

    python -m venv VENV && VENV/bin/pip install rosbags==0.11.9 numpy==2.4.6
    VENV/bin/python tests/data/recipes/state_bag.py

Pictures at 100, 600 and 1100 ms; what belongs to the first two lies around them, and nothing to the third.
`tests/replay/state.rs` works out by hand what the state is.
"""
import shutil
from pathlib import Path

import numpy as np
from rosbags.rosbag2 import StoragePlugin, Writer
from rosbags.typesys import Stores, get_typestore

OUT = Path(__file__).resolve().parent.parent / "bags" / "state"
TYPES = get_typestore(Stores.ROS2_JAZZY)
T = TYPES.types
START_NS = 1_763_640_000_000_000_000
HALF = 0.5**0.5


def header(ms, frame):
    sec, nanosec = divmod(START_NS + ms * 1_000_000, 10**9)
    stamp = T["builtin_interfaces/msg/Time"](sec=sec, nanosec=nanosec)
    return T["std_msgs/msg/Header"](stamp=stamp, frame_id=frame)


def quaternion(x, y, z, w):
    return T["geometry_msgs/msg/Quaternion"](x=x, y=y, z=z, w=w)


def picture(ms):
    """Two rows of three pixels, bytes 0 to 17."""
    data = np.arange(18, dtype=np.uint8)
    message = T["sensor_msgs/msg/Image"](
        header=header(ms, "front"), height=2, width=3, encoding="rgb8", is_bigendian=0, step=9, data=data
    )
    return ms, "/images/front", message


def pose(ms, position, rotation):
    point = T["geometry_msgs/msg/Point"](*position)
    made = T["geometry_msgs/msg/Pose"](position=point, orientation=quaternion(*rotation))
    return ms, "/eef_pose", T["geometry_msgs/msg/PoseStamped"](header=header(ms, "world"), pose=made)


def frames(ms, topic, links):
    made = []
    for parent, child, position, rotation in links:
        transform = T["geometry_msgs/msg/Transform"](T["geometry_msgs/msg/Vector3"](*position), quaternion(*rotation))
        made.append(T["geometry_msgs/msg/TransformStamped"](header(ms, parent), child, transform))
    return ms, topic, T["tf2_msgs/msg/TFMessage"](made)


def array(ms, values):
    layout = T["std_msgs/msg/MultiArrayLayout"](dim=[], data_offset=0)
    return ms, "/state", T["std_msgs/msg/Float64MultiArray"](layout=layout, data=np.array(values))


MESSAGES = [
    (1, "/vla/instruction", T["std_msgs/msg/String"](data="pick")),
    # The hand sits on the arm for good, a quarter turn about x.
    frames(2, "/tf_static", [("arm", "hand", (0.5, 0.0, 0.25), (HALF, 0.0, 0.0, HALF))]),
    pose(80, (9.0, 9.0, 9.0), (0.0, 0.0, 0.0, 1.0)),
    frames(85, "/tf", [("base", "arm", (1.0, 2.0, 3.0), (0.0, 0.0, HALF, HALF)),
                       ("base", "camera", (7.0, 7.0, 7.0), (0.0, 0.0, 0.0, 1.0))]),
    array(90, [0.5, 99.0, -3.0]),
    pose(95, (0.25, -0.5, 4.0), (0.48, 0.64, 0.0, -0.6)),
    picture(100),
    # Half a second later the arm is turned the other way and stands lower.
    frames(585, "/tf", [("base", "arm", (1.0, 2.0, 1.0), (0.0, 0.0, -HALF, HALF))]),
    array(590, [-0.25, 99.0, 2.0]),
    pose(595, (0.0, 1.5, 0.0), (0.0, 0.6, 0.0, 0.8)),
    picture(600),
    picture(1100),
]


def main():
    shutil.rmtree(OUT, ignore_errors=True)
    with Writer(OUT, version=9, storage_plugin=StoragePlugin.MCAP) as writer:
        topics = {}
        for ms, topic, message in MESSAGES:
            if topic not in topics:
                topics[topic] = writer.add_connection(topic, message.__msgtype__, typestore=TYPES)
            data = TYPES.serialize_cdr(message, message.__msgtype__)
            writer.write(topics[topic], START_NS + ms * 1_000_000, data)


if __name__ == "__main__":
    main()
