"""A scripted robot on CycloneDDS: sends what it is told, prints what it hears as one JSON object per line.

    robot.py DOMAIN SCRIPT.json      ends when its standard input closes

SCRIPT: {"send": [{"topic", "type", "rate_hz", "message": {fields}} ...], "hear": [{"topic", "type"} ...]}
A topic that starts with `/` is a ROS topic, any other is DDS's own name (`rq/node/get_parametersRequest`).
A rate of 0 sends once and latches; a hearer with `latched` wants the same of its publishers. Where `stamp_now` is true the header's stamp is the time of sending,
`behind_s` earlier where that is given; a Clock says the same.
A server in `"serve": [{"name", "request", "response", "message": {fields}} ...]` answers each request with its identity and
these fields, and prints the request as one on the topic `name`.
Sequences of messages are given as {"sequence": "Type", "values": [{fields} ...]}.
Byte sequences are given as {"pattern": N}: N bytes that count up from 0 and wrap at 251.
"""

import dataclasses
import json
import sys
import threading
import time

from cyclonedds.core import Policy, Qos
from cyclonedds.domain import DomainParticipant
from cyclonedds.pub import DataWriter
from cyclonedds.sub import DataReader
from cyclonedds.topic import Topic
from cyclonedds.util import duration

import messages

RELIABLE = Policy.Reliability.Reliable(duration(seconds=1))
LATCHED = Qos(RELIABLE, Policy.Durability.TransientLocal, Policy.History.KeepLast(1))
SENSOR = Qos(Policy.Reliability.BestEffort, Policy.History.KeepLast(5))
# One topic without keys carries the graph of every participant: a short history would lose all but the last.
FROM_BEFORE = Qos(RELIABLE, Policy.Durability.TransientLocal, Policy.History.KeepLast(50))
COMMAND = Qos(RELIABLE, Policy.History.KeepLast(50))


def dds_name(topic):
    return "rt" + topic if topic.startswith("/") else topic


def fill(kind, fields):
    """An instance of dataclass `kind` from plain JSON values."""
    values = {}
    for field in dataclasses.fields(kind):
        if field.name not in fields:
            continue
        value = fields[field.name]
        if isinstance(value, dict) and "pattern" in value:
            value = [index % 251 for index in range(value["pattern"])]
        elif isinstance(value, dict) and "sequence" in value:
            value = [fill(getattr(messages, value["sequence"]), each) for each in value["values"]]
        elif isinstance(value, dict):
            value = fill(getattr(messages, field.type.__name__), value)
        values[field.name] = value
    return kind(**values)


class Sender:
    def __init__(self, participant, send):
        self.message = fill(getattr(messages, send["type"]), send["message"])
        self.period = 1.0 / send["rate_hz"] if send["rate_hz"] else None
        self.stamp_now = send.get("stamp_now", False)
        self.behind_ns = round(send.get("behind_s", 0) * 10**9)
        is_command = send["type"] == "String" or not send["topic"].startswith("/")
        qos = LATCHED if self.period is None else COMMAND if is_command else SENSOR
        self.writer = DataWriter(participant, Topic(participant, dds_name(send["topic"]), type(self.message)), qos=qos)
        self.due = 0.0

    def poll(self, now):
        if now < self.due:
            return
        self.due = now + self.period if self.period else float("inf")
        if self.stamp_now:
            nanos = time.time_ns() - self.behind_ns
            stamp = messages.Time(nanos // 10**9, nanos % 10**9)
            if isinstance(self.message, messages.Clock):
                self.message.clock = stamp
            else:
                self.message.header.stamp = stamp
        self.writer.write(self.message)


class Hearer:
    def __init__(self, participant, hear):
        self.topic = hear["topic"]
        kind = getattr(messages, hear["type"])
        latched = self.topic == "ros_discovery_info" or hear.get("latched", False)
        qos = FROM_BEFORE if latched else COMMAND
        self.kind = kind
        self.reader = DataReader(participant, Topic(participant, dds_name(self.topic), kind), qos=qos)

    def poll(self):
        for sample in self.reader.take(50):
            # A writer that goes away leaves samples without data.
            if isinstance(sample, self.kind):
                heard = {"topic": self.topic, "at_ns": time.time_ns(), "message": dataclasses.asdict(sample)}
                print(json.dumps(heard, default=list), flush=True)


class Server:
    def __init__(self, participant, serve):
        self.name = serve["name"]
        self.request, self.response = (getattr(messages, serve[side]) for side in ("request", "response"))
        self.fields = serve["message"]
        requests = Topic(participant, f"rq{self.name}Request", self.request)
        self.reader = DataReader(participant, requests, qos=COMMAND)
        self.writer = DataWriter(participant, Topic(participant, f"rr{self.name}Reply", self.response), qos=COMMAND)

    def poll(self):
        for request in self.reader.take(50):
            if isinstance(request, self.request):
                heard = {"topic": self.name, "at_ns": time.time_ns(), "message": dataclasses.asdict(request)}
                print(json.dumps(heard, default=list), flush=True)
                self.writer.write(fill(self.response, {"guid": request.guid, "seq": request.seq, **self.fields}))


def main():
    participant = DomainParticipant(int(sys.argv[1]))
    with open(sys.argv[2], encoding="utf-8") as file:
        script = json.load(file)
    hearers = [Hearer(participant, hear) for hear in script["hear"]]
    servers = [Server(participant, serve) for serve in script.get("serve", [])]
    senders = [Sender(participant, send) for send in script["send"]]
    ended = threading.Event()
    threading.Thread(target=lambda: (sys.stdin.read(), ended.set()), daemon=True).start()
    print(json.dumps({"topic": "ready", "message": {}}), flush=True)
    while not ended.wait(0.002):
        now = time.monotonic()
        for sender in senders:
            sender.poll(now)
        for listener in hearers + servers:
            listener.poll()


main()
