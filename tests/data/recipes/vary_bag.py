"""Writes six small messages in every way in which rosbag2 stores them, under tests/data/bags/variants.

    python -m venv VENV && VENV/bin/pip install rosbags==0.11.9 numpy==2.4.6
    VENV/bin/python tests/data/recipes/vary_bag.py

Databases are packed into pages of 512 bytes, so that pictures lie on several of them and the files stay small.
"""
import shutil
import sqlite3
from pathlib import Path

import numpy as np
from rosbags.rosbag2 import CompressionFormat, CompressionMode, StoragePlugin, Writer
from rosbags.typesys import Stores, get_typestore
from ruamel.yaml import YAML

OUT = Path(__file__).resolve().parent.parent / "bags" / "variants"
TYPES = get_typestore(Stores.ROS2_JAZZY)
T = TYPES.types
START_NS = 1_763_640_000_000_000_000
MCAP, SQLITE3 = StoragePlugin.MCAP, StoragePlugin.SQLITE3


def header(ns, frame):
    stamp = T["builtin_interfaces/msg/Time"](sec=ns // 1_000_000_000, nanosec=ns % 1_000_000_000)
    return T["std_msgs/msg/Header"](stamp=stamp, frame_id=frame)


def instruction(ns, text):
    return ns, "/vla/instruction", T["std_msgs/msg/String"](data=text)


def joints(ns, elbow):
    empty = np.zeros(0)
    message = T["sensor_msgs/msg/JointState"](
        header=header(ns, ""), name=["elbow", "wrist"], position=np.array([elbow, -1.5]), velocity=empty, effort=empty
    )
    return ns, "/joint_states", message


def picture(ns, first):
    """Thirty pixels wide and twenty high, every byte one more than the one before, modulo 251."""
    data = ((np.arange(30 * 20 * 3) + first) % 251).astype(np.uint8)
    message = T["sensor_msgs/msg/Image"](
        header=header(ns, "front"), height=20, width=30, encoding="rgb8", is_bigendian=0, step=90, data=data
    )
    return ns, "/images/front", message


MESSAGES = [
    instruction(START_NS + 1_000_000, "wipe the table"),
    joints(START_NS + 2_000_000, 0.5),
    picture(START_NS + 5_000_000, 3),
    joints(START_NS + 12_000_000, 0.75),
    picture(START_NS + 15_000_000, 7),
    joints(START_NS + 22_000_000, 1.0),
]


def write(name, storage, mode=None, version=9, messages=MESSAGES):
    folder = OUT / name
    writer = Writer(folder, version=version, storage_plugin=storage)
    if mode is not None:
        writer.set_compression(mode, CompressionFormat.ZSTD)
    with writer:
        topics = {}
        for ns, topic, message in messages:
            if topic not in topics:
                topics[topic] = writer.add_connection(topic, message.__msgtype__, typestore=TYPES)
            writer.write(topics[topic], ns, TYPES.serialize_cdr(message, message.__msgtype__))
    for path in folder.glob("*.db3"):
        change(path, "")
    return folder


def change(path, script):
    database = sqlite3.connect(path)
    database.executescript(f"{script} PRAGMA journal_mode = DELETE; PRAGMA page_size = 512; VACUUM;")
    database.close()


def rewrite(folder, edit):
    path = folder / "metadata.yaml"
    document = YAML(typ="safe").load(path.read_text())
    edit(document["rosbag2_bagfile_information"])
    with path.open("w") as file:
        YAML().dump(document, file)


def as_of_foxy(info):
    info["version"] = 4
    for newer in ("files", "custom_data", "ros_distro"):
        info.pop(newer, None)
    for topic in info["topics_with_message_count"]:
        topic["topic_metadata"].pop("type_description_hash", None)


def split(name, storage, extension):
    """The second file begins before the first one ends."""
    folder = write(name, storage, messages=[MESSAGES[i] for i in (1, 3, 4)])
    other = write(f"{name}_rest", storage, messages=[MESSAGES[i] for i in (0, 2, 5)])
    (folder / f"{name}.{extension}").rename(folder / f"{name}_0.{extension}")
    (other / f"{name}_rest.{extension}").rename(folder / f"{name}_1.{extension}")
    shutil.rmtree(other)

    def edit(info):
        info["relative_file_paths"] = [f"{name}_0.{extension}", f"{name}_1.{extension}"]
        info["message_count"] = 6
        del info["files"]

    rewrite(folder, edit)


def main():
    shutil.rmtree(OUT, ignore_errors=True)
    OUT.mkdir()
    for storage, name in ((MCAP, "mcap"), (SQLITE3, "db3")):
        write(f"{name}_plain", storage)
        write(f"{name}_file", storage, CompressionMode.FILE)
        write(f"{name}_message", storage, CompressionMode.MESSAGE)
        split(f"{name}_split", storage, name)
    write("mcap_chunk", MCAP, CompressionMode.STORAGE)
    write("db3_version_8", SQLITE3, version=8)
    # Schema 3 of the database, as Humble writes it, has neither definitions nor hashes of types.
    older = write("db3_version_4", SQLITE3, version=8)
    change(
        older / "db3_version_4.db3",
        "DROP TABLE message_definitions; UPDATE schema SET schema_version = 3;"
        "ALTER TABLE topics DROP COLUMN type_description_hash;",
    )
    rewrite(older, as_of_foxy)


if __name__ == "__main__":
    main()
