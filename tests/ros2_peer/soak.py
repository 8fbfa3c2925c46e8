"""A robot on CycloneDDS that lasts: a VGA camera at 30 Hz, joints at 100 Hz, and an eye on the node's process.

    soak.py DOMAIN PID SECONDS NODE      NODE: the node's absolute name; PID: its process on this machine

Prints one line per sample and the summary last; ends with 1 where no chunk came, memory, threads or descriptors
grew after the first fifth of the time, or the node received fewer than 99 of 100 pictures that were sent. Of pictures
that wait for its engine the newest wins, so a busy machine takes in fewer than it receives.
"""

import os
import sys
import time
from dataclasses import dataclass

from cyclonedds.core import Policy, Qos
from cyclonedds.domain import DomainParticipant
from cyclonedds.idl import IdlStruct
from cyclonedds.idl.types import uint8, uint32
from cyclonedds.pub import DataWriter
from cyclonedds.sub import DataReader
from cyclonedds.topic import Topic
from cyclonedds.util import duration

import messages

RELIABLE = Policy.Reliability.Reliable(duration(seconds=1))
LATCHED = Qos(RELIABLE, Policy.Durability.TransientLocal, Policy.History.KeepLast(1))
SENSOR = Qos(Policy.Reliability.BestEffort, Policy.History.KeepLast(5))
COMMAND = Qos(RELIABLE, Policy.History.KeepLast(50))
JOINTS = ["joint_1", "joint_2", "joint_3", "joint_4", "joint_5", "joint_6", "gripper"]
WIDTH, HEIGHT = 640, 480
SAMPLE_S = 10.0
GROWTH_KIB = 4096


@dataclass
class TextImage(IdlStruct, typename="sensor_msgs::msg::dds_::Image_"):
    """An Image whose bytes are a string, whose closing zero is the last byte: the same on the wire, and written
    in one copy instead of 37 ms."""

    header: messages.Header
    height: uint32
    width: uint32
    encoding: str
    is_bigendian: uint8
    step: uint32
    data: str


def stamp():
    nanos = time.time_ns()
    return messages.Time(nanos // 10**9, nanos % 10**9)


class Process:
    def __init__(self, pid):
        self.folder = f"/proc/{pid}"

    def sample(self):
        """(resident memory in KiB, threads, descriptors, seconds on a processor)"""
        with open(f"{self.folder}/status", encoding="ascii") as file:
            status = dict(line.split(":", 1) for line in file)
        with open(f"{self.folder}/stat", encoding="ascii") as file:
            fields = file.read().rsplit(")", 1)[1].split()
        seconds = (int(fields[11]) + int(fields[12])) / os.sysconf("SC_CLK_TCK")
        return int(status["VmRSS"].split()[0]), int(status["Threads"]), len(os.listdir(f"{self.folder}/fd")), seconds


class Robot:
    def __init__(self, domain, node):
        participant = DomainParticipant(domain)

        def writer(topic, kind, qos):
            return DataWriter(participant, Topic(participant, "rt" + topic, kind), qos=qos)

        def reader(topic, kind):
            return DataReader(participant, Topic(participant, "rt" + topic, kind), qos=COMMAND)

        self.camera = writer("/images/front", TextImage, SENSOR)
        self.joints = writer("/joint_states", messages.JointState, SENSOR)
        self.task = writer(f"{node}/instruction", messages.String, LATCHED)
        self.chunks = reader(f"{node}/action_chunk", messages.ActionChunk)
        self.diagnostics = reader("/diagnostics", messages.DiagnosticArray)
        self.pictures = ["".join(chr(32 + (index + 7 * k) % 90) for index in range(251)) * 3672 for k in range(4)]
        self.pictures = [text[:WIDTH * HEIGHT * 3 - 1] for text in self.pictures]
        self.sent = self.heard = self.received = self.accepted = self.sent_at_report = 0

    def send_picture(self):
        header = messages.Header(stamp(), "front")
        text = self.pictures[self.sent % len(self.pictures)]
        self.camera.write(TextImage(header, HEIGHT, WIDTH, "rgb8", 0, WIDTH * 3, text))
        self.sent += 1

    def send_joints(self):
        header = messages.Header(stamp(), "")
        self.joints.write(messages.JointState(header, JOINTS, [0.1, -0.2, 0.3, 0.05, 0.2, -0.1, 0.03]))

    def hear(self):
        self.heard += sum(isinstance(chunk, messages.ActionChunk) for chunk in self.chunks.take(50))
        for array in self.diagnostics.take(50):
            if not isinstance(array, messages.DiagnosticArray):
                continue
            for status in array.status:
                if status.name.endswith("input images.front"):
                    counts = {pair.key: pair.value for pair in status.values}
                    self.received, self.accepted = (int(counts[f"{key}_count"]) for key in ("received", "accepted"))
                    self.sent_at_report = self.sent


def run(robot, process, seconds):
    start = time.monotonic()
    due = {robot.send_picture: (start, 1 / 30), robot.send_joints: (start, 0.01), robot.hear: (start, 0.05)}
    samples, next_sample = [], start + SAMPLE_S
    while (now := time.monotonic()) < start + seconds:
        for call, (at, period) in due.items():
            if now >= at:
                call()
                due[call] = (at + period, period)
        if now >= next_sample:
            next_sample += SAMPLE_S
            samples.append(process.sample())
            memory, threads, descriptors, cpu = samples[-1]
            print(f"{now - start:6.0f} s  VmRSS {memory} KiB  threads {threads}  descriptors {descriptors}  "
                  f"cpu {cpu:.1f} s  pictures {robot.received}/{robot.sent_at_report}  chunks {robot.heard}", flush=True)
        time.sleep(0.001)
    return samples


def main():
    robot, process, seconds = Robot(int(sys.argv[1]), sys.argv[4]), Process(int(sys.argv[2])), float(sys.argv[3])
    time.sleep(2.0)
    robot.task.write(messages.String("pick up the red block"))
    before = process.sample()
    samples = run(robot, process, seconds)
    settled = samples[len(samples) // 5:]
    memory, threads, descriptors = ([sample[column] for sample in settled] for column in range(3))
    cpu = 100 * (samples[-1][3] - before[3]) / seconds
    print(f"{seconds:.0f} s: {robot.sent} pictures and {seconds * 100:.0f} joint states sent; "
          f"pictures received by the node {robot.received} of {robot.sent_at_report}, taken in by its engine "
          f"{robot.accepted}; chunks {robot.heard}")
    print(f"after the first fifth: VmRSS {min(memory)} to {max(memory)} KiB, threads {min(threads)} to {max(threads)}, "
          f"descriptors {min(descriptors)} to {max(descriptors)}; processor {cpu:.0f} % of one core")
    flat = memory[-1] - memory[0] < GROWTH_KIB and threads[-1] <= threads[0] and descriptors[-1] <= descriptors[0]
    if not (flat and robot.heard and robot.received >= 0.99 * robot.sent_at_report):
        sys.exit("soak: failed")


main()
