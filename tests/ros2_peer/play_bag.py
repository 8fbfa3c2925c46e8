"""A scripted robot on CycloneDDS: plays a bag's camera, joints and instruction with fresh stamps, prints what answers.

    play_bag.py DOMAIN BAG.mcap CHUNK_TOPIC [SECONDS]      the bag starts again until SECONDS (default 8) are over

Prints one line per action chunk: first step, verdict, how long the inference took, and the time from the picture's stamp to the chunk's arrival.
"""

import statistics
import sys
import time

from cyclonedds.core import Policy, Qos
from cyclonedds.domain import DomainParticipant
from cyclonedds.pub import DataWriter
from cyclonedds.sub import DataReader
from cyclonedds.topic import Topic
from cyclonedds.util import duration
from mcap.reader import make_reader

import messages

RELIABLE = Policy.Reliability.Reliable(duration(seconds=1))
LATCHED = Qos(RELIABLE, Policy.Durability.TransientLocal, Policy.History.KeepLast(1))
SENSOR = Qos(Policy.Reliability.BestEffort, Policy.History.KeepLast(5))
COMMAND = Qos(RELIABLE, Policy.History.KeepLast(50))
PLAYED = {"sensor_msgs/msg/CompressedImage": (messages.CompressedImage, SENSOR),
          "sensor_msgs/msg/Image": (messages.Image, SENSOR),
          "sensor_msgs/msg/JointState": (messages.JointState, SENSOR),
          "std_msgs/msg/String": (messages.String, LATCHED)}


def recorded(path):
    """(seconds since the first message, topic, type name, message) of everything a robot sends."""
    with open(path, "rb") as file:
        rows = [(message.log_time, channel.topic, schema.name, message.data)
                for schema, channel, message in make_reader(file).iter_messages() if schema.name in PLAYED]
    first = rows[0][0]
    return [((at - first) / 1e9, topic, kind, PLAYED[kind][0].deserialize(data)) for at, topic, kind, data in rows]


def answers(reader, latencies):
    for chunk in reader.take(50):
        if not isinstance(chunk, messages.ActionChunk):
            continue
        stamp = chunk.header.stamp.sec * 10**9 + chunk.header.stamp.nanosec
        latencies.append((time.time_ns() - stamp) / 1e6)
        width = len(chunk.names)
        first = ", ".join(f"{value:.3f}" for value in chunk.actions[:width])
        inference = chunk.inference_delay.sec * 1e3 + chunk.inference_delay.nanosec / 1e6
        print(f"chunk {chunk.chunk_id}: {chunk.chunk_size} steps of [{first}], {chunk.verdict}, "
              f"inference {inference:.1f} ms, picture to chunk {latencies[-1]:.1f} ms", flush=True)


def main():
    participant = DomainParticipant(int(sys.argv[1]))
    rows = recorded(sys.argv[2])
    seconds = float(sys.argv[4]) if len(sys.argv) > 4 else 8.0
    writers = {}
    for _, topic, kind, message in rows:
        if topic not in writers:
            writers[topic] = DataWriter(participant, Topic(participant, "rt" + topic, type(message)), qos=PLAYED[kind][1])
    reader = DataReader(participant, Topic(participant, "rt" + sys.argv[3], messages.ActionChunk), qos=COMMAND)
    latencies, end = [], time.monotonic() + seconds
    while time.monotonic() < end:
        start = time.monotonic()
        for at, topic, _, message in rows:
            while time.monotonic() < min(start + at, end):
                answers(reader, latencies)
                time.sleep(0.001)
            if hasattr(message, "header"):
                nanos = time.time_ns()
                message.header.stamp = messages.Time(nanos // 10**9, nanos % 10**9)
            writers[topic].write(message)
    if not latencies:
        sys.exit("no chunk arrived")
    print(f"{len(latencies)} chunks; picture to chunk: median {statistics.median(latencies):.1f} ms, max {max(latencies):.1f} ms")


main()
