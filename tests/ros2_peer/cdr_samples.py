"""Prints messages as CDR in hex, serialised by CycloneDDS:

    third_party/peers/bin/python tests/ros2_peer/cdr_samples.py > src/msg/tests/samples.rs; cargo fmt
"""

import messages as m

header = m.Header(m.Time(1700000001, 250000007), "camera_optical")
roi = m.RegionOfInterest(1, 2, 3, 4, True)
point = m.JointTrajectoryPoint([0.25, -1.5], [0.5], [], [], m.Duration(2, 500000000))
SAMPLES = {
    "IMAGE": m.Image(header, 2, 3, "bgr8", 0, 10, list(range(20, 40))),
    "COMPRESSED": m.CompressedImage(header, "bgr8; jpeg compressed bgr8", [255, 216, 7]),
    "JOINTS": m.JointState(header, ["shoulder", "élbow"], [0.5, -2.25], [1.0, 2.0], []),
    "CAMERA": m.CameraInfo(header, 480, 640, "plumb_bob", [0.1, -0.2, 0.3], list(map(float, range(1, 10))),
                           [0.5] * 8 + [2.5], [float(i) / 4 for i in range(12)], 1, 2, roi),
    "ARRAY": m.Float64MultiArray(m.MultiArrayLayout([m.MultiArrayDimension("step", 2, 2)], 3), [1.5, -2.5]),
    "NUMBER": m.Float64(-0.75),
    "POSE": m.PoseStamped(header, m.Pose(m.Point(0.25, -1.5, 3.0), m.Quaternion(0.1, -0.2, 0.3, 0.9))),
    "TWIST": m.TwistStamped(header, m.Twist(m.Vector3(0.5, -0.25, 2.0), m.Vector3(-4.0, 8.0, 0.125))),
    "TRANSFORMS": m.TFMessage([
        m.TransformStamped(header, child, m.Transform(m.Vector3(x, 2.0, -3.0), m.Quaternion(0.0, 0.0, 0.6, -0.8)))
        for child, x in (("link", 1.0), ("tool0", -1.0))]),
    "TRAJECTORY": m.JointTrajectory(header, ["a", "bc"], [point]),
    "DIAGNOSTICS": m.DiagnosticArray(header, [m.DiagnosticStatus(2, "input", "late", "", [m.KeyValue("age_ms", "12")])]),
    "CHUNK": m.ActionChunk(header, "pick up", "ab12", 2**40 + 5, "live", ["x", "grip"], 2, m.Duration(0, 50000000),
                           [0.5, 1.0, 0.75, -1.0], m.Duration(0, 81000000), 17, ["images.front", "state"],
                           [m.Duration(0, 31000000), m.Duration(-1, 990000000)], "rejected: joint x"),
}

print("//! Messages as CycloneDDS serialises them; tests/ros2_peer/cdr_samples.py prints this file.\n")
for name, sample in SAMPLES.items():
    print(f'pub const {name}: &str = "{sample.serialize().hex()}";')
