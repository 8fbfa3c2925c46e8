//! Texts of the message definitions that the writer puts into a bag, so that tools without our package can read it.

use crate::msg::TypeName;

/// `package/Name` and the fields of its `.msg` file.
const TEXTS: &[(&str, &str)] = &[
    ("builtin_interfaces/Duration", "int32 sec\nuint32 nanosec\n"),
    ("builtin_interfaces/Time", "int32 sec\nuint32 nanosec\n"),
    ("diagnostic_msgs/DiagnosticArray", "std_msgs/Header header\ndiagnostic_msgs/DiagnosticStatus[] status\n"),
    (
        "diagnostic_msgs/DiagnosticStatus",
        "byte level\nstring name\nstring message\nstring hardware_id\ndiagnostic_msgs/KeyValue[] values\n",
    ),
    ("diagnostic_msgs/KeyValue", "string key\nstring value\n"),
    ("geometry_msgs/Point", "float64 x\nfloat64 y\nfloat64 z\n"),
    ("geometry_msgs/Pose", "geometry_msgs/Point position\ngeometry_msgs/Quaternion orientation\n"),
    ("geometry_msgs/PoseStamped", "std_msgs/Header header\ngeometry_msgs/Pose pose\n"),
    ("geometry_msgs/Quaternion", "float64 x\nfloat64 y\nfloat64 z\nfloat64 w\n"),
    ("geometry_msgs/Transform", "geometry_msgs/Vector3 translation\ngeometry_msgs/Quaternion rotation\n"),
    (
        "geometry_msgs/TransformStamped",
        "std_msgs/Header header\nstring child_frame_id\ngeometry_msgs/Transform transform\n",
    ),
    ("geometry_msgs/Twist", "geometry_msgs/Vector3 linear\ngeometry_msgs/Vector3 angular\n"),
    ("geometry_msgs/TwistStamped", "std_msgs/Header header\ngeometry_msgs/Twist twist\n"),
    ("geometry_msgs/Vector3", "float64 x\nfloat64 y\nfloat64 z\n"),
    (
        "sensor_msgs/CameraInfo",
        "std_msgs/Header header\nuint32 height\nuint32 width\nstring distortion_model\nfloat64[] d\nfloat64[9] k\n\
         float64[9] r\nfloat64[12] p\nuint32 binning_x\nuint32 binning_y\nsensor_msgs/RegionOfInterest roi\n",
    ),
    ("sensor_msgs/CompressedImage", "std_msgs/Header header\nstring format\nuint8[] data\n"),
    (
        "sensor_msgs/Image",
        "std_msgs/Header header\nuint32 height\nuint32 width\nstring encoding\nuint8 is_bigendian\nuint32 step\n\
         uint8[] data\n",
    ),
    (
        "sensor_msgs/JointState",
        "std_msgs/Header header\nstring[] name\nfloat64[] position\nfloat64[] velocity\nfloat64[] effort\n",
    ),
    ("sensor_msgs/Joy", "std_msgs/Header header\nfloat32[] axes\nint32[] buttons\n"),
    (
        "sensor_msgs/RegionOfInterest",
        "uint32 x_offset\nuint32 y_offset\nuint32 height\nuint32 width\nbool do_rectify\n",
    ),
    ("std_msgs/Bool", "bool data\n"),
    ("std_msgs/Empty", ""),
    ("std_msgs/Float64", "float64 data\n"),
    ("std_msgs/Float64MultiArray", "std_msgs/MultiArrayLayout layout\nfloat64[] data\n"),
    ("std_msgs/Header", "builtin_interfaces/Time stamp\nstring frame_id\n"),
    ("std_msgs/MultiArrayDimension", "string label\nuint32 size\nuint32 stride\n"),
    ("std_msgs/MultiArrayLayout", "std_msgs/MultiArrayDimension[] dim\nuint32 data_offset\n"),
    ("std_msgs/String", "string data\n"),
    ("tf2_msgs/TFMessage", "geometry_msgs/TransformStamped[] transforms\n"),
    (
        "trajectory_msgs/JointTrajectory",
        "std_msgs/Header header\nstring[] joint_names\ntrajectory_msgs/JointTrajectoryPoint[] points\n",
    ),
    (
        "trajectory_msgs/JointTrajectoryPoint",
        "float64[] positions\nfloat64[] velocities\nfloat64[] accelerations\nfloat64[] effort\n\
         builtin_interfaces/Duration time_from_start\n",
    ),
    (
        "vla_msgs/ActionChunk",
        "std_msgs/Header header\nstring task\nstring bundle_digest\nuint64 chunk_id\nstring source\nstring[] names\n\
         uint32 chunk_size\nbuiltin_interfaces/Duration action_dt\nfloat64[] actions\n\
         builtin_interfaces/Duration inference_delay\nuint32 kept_tokens\nstring[] inputs\n\
         builtin_interfaces/Duration[] input_ages\nstring verdict\n",
    ),
];

/// The definition of a type followed by those of every type inside it, as the MCAP encoding `ros2msg` wants them;
/// `None` for types that we never write.
pub(super) fn ros2msg(type_name: TypeName) -> Option<String> {
    let root = format!("{}/{}", type_name.package, type_name.name);
    let mut text = text_of(&root)?.to_owned();
    let mut inside = vec![root];
    let mut next = 0;
    while next < inside.len() {
        for field in text_of(&inside[next])?.lines() {
            let kind = field.split([' ', '[']).next().unwrap_or_default();
            if kind.contains('/') && !inside.iter().any(|known| known == kind) {
                let line = "=".repeat(80);
                text.extend([&line, "\nMSG: ", kind, "\n", text_of(kind)?]);
                inside.push(kind.to_owned());
            }
        }
        next += 1;
    }
    Some(text)
}

fn text_of(name: &str) -> Option<&'static str> {
    TEXTS.iter().find(|(known, _)| *known == name).map(|(_, text)| *text)
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn a_definition_brings_those_of_the_types_inside_it_once() {
        let text = ros2msg(TypeName { package: "trajectory_msgs", name: "JointTrajectory" }).unwrap();
        let line = "=".repeat(80);
        let want = format!(
            "std_msgs/Header header\nstring[] joint_names\ntrajectory_msgs/JointTrajectoryPoint[] points\n\
             {line}\nMSG: std_msgs/Header\nbuiltin_interfaces/Time stamp\nstring frame_id\n\
             {line}\nMSG: trajectory_msgs/JointTrajectoryPoint\nfloat64[] positions\nfloat64[] velocities\n\
             float64[] accelerations\nfloat64[] effort\nbuiltin_interfaces/Duration time_from_start\n\
             {line}\nMSG: builtin_interfaces/Time\nint32 sec\nuint32 nanosec\n\
             {line}\nMSG: builtin_interfaces/Duration\nint32 sec\nuint32 nanosec\n"
        );
        assert_eq!(text, want);
    }

    #[test]
    fn every_type_inside_a_definition_is_known() {
        for (name, _) in TEXTS {
            let (package, name) = name.split_once('/').unwrap();
            assert!(ros2msg(TypeName { package, name }).is_some(), "{package}/{name}");
        }
    }

    #[test]
    fn our_own_message_is_the_one_of_the_package_that_ships() {
        let shipped = include_str!("../../launch/vla_msgs/msg/ActionChunk.msg");
        let fields = shipped.lines().map(|line| line.split('#').next().unwrap_or_default().trim());
        let fields: Vec<_> = fields.filter(|field| !field.is_empty()).collect();
        assert_eq!(text_of("vla_msgs/ActionChunk").unwrap().lines().collect::<Vec<_>>(), fields);
    }
}
