//! Against bytes that CycloneDDS wrote, and against any bytes.

mod samples;

use std::sync::Arc;

use proptest::prelude::*;

use super::*;
use crate::time::{Span, Stamp};
use crate::types::{Arrives, Encoding, Frame, JointSample, Lens, Optics, Pinhole};

fn bytes(hex: &str) -> Vec<u8> {
    let pairs = hex.as_bytes().chunks_exact(2);
    pairs.map(|pair| u8::from_str_radix(std::str::from_utf8(pair).unwrap(), 16).unwrap()).collect()
}

fn header() -> Header {
    Header { stamp: Time { sec: 1_700_000_001, nanosec: 250_000_007 }, frame_id: "camera_optical".into() }
}

fn image(data: &[u8]) -> Image<'_> {
    let encoding = "bgr8".into();
    Image { header: header(), height: 2, width: 3, encoding, is_bigendian: 0, step: 10, data }
}

fn joints() -> JointState {
    let name = vec!["shoulder".into(), "élbow".into()];
    JointState { header: header(), name, position: vec![0.5, -2.25], velocity: vec![1.0, 2.0], effort: vec![] }
}

fn camera_info() -> CameraInfo {
    CameraInfo {
        header: header(),
        height: 480,
        width: 640,
        distortion_model: "plumb_bob".into(),
        d: vec![0.1, -0.2, 0.3],
        k: [1.0, 2.0, 3.0, 4.0, 5.0, 6.0, 7.0, 8.0, 9.0],
        r: [0.5, 0.5, 0.5, 0.5, 0.5, 0.5, 0.5, 0.5, 2.5],
        p: [0.0, 0.25, 0.5, 0.75, 1.0, 1.25, 1.5, 1.75, 2.0, 2.25, 2.5, 2.75],
        binning_x: 1,
        binning_y: 2,
        roi: RegionOfInterest { x_offset: 1, y_offset: 2, height: 3, width: 4, do_rectify: true },
    }
}

/// The numbers of tests/data/pictures/plumb_bob.yaml.
fn calibrated() -> CameraInfo {
    CameraInfo {
        header: header(),
        height: 29,
        width: 37,
        distortion_model: "plumb_bob".into(),
        d: vec![-0.28, 0.09, 0.003, -0.002, -0.01],
        k: [30.5, 0.0, 17.25, 0.0, 31.25, 13.75, 0.0, 0.0, 1.0],
        r: [
            0.999_437_6,
            -0.015_295_6,
            -0.029_838,
            0.014_695_4,
            0.999_686_7,
            -0.020_232,
            0.030_138_1,
            0.019_782_1,
            0.99935,
        ],
        p: [21.0, 0.0, 18.5, 0.0, 0.0, 23.5, 14.25, 0.0, 0.0, 0.0, 1.0, 0.0],
        ..CameraInfo::default()
    }
}

fn array() -> Float64MultiArray {
    let dim = vec![MultiArrayDimension { label: "step".into(), size: 2, stride: 2 }];
    Float64MultiArray { layout: MultiArrayLayout { dim, data_offset: 3 }, data: vec![1.5, -2.5] }
}

fn pose() -> PoseStamped {
    let pose = PoseMessage { position: [0.25, -1.5, 3.0].into(), orientation: [0.1, -0.2, 0.3, 0.9].into() };
    PoseStamped { header: header(), pose }
}

fn transforms() -> TFMessage {
    let link = |child: &str, x| TransformStamped {
        header: header(),
        child_frame_id: child.into(),
        transform: Transform { translation: [x, 2.0, -3.0].into(), rotation: [0.0, 0.0, 0.6, -0.8].into() },
    };
    TFMessage { transforms: vec![link("link", 1.0), link("tool0", -1.0)] }
}

fn trajectory() -> JointTrajectory {
    let point = JointTrajectoryPoint {
        positions: vec![0.25, -1.5],
        velocities: vec![0.5],
        time_from_start: Duration { sec: 2, nanosec: 500_000_000 },
        ..JointTrajectoryPoint::default()
    };
    JointTrajectory { header: header(), joint_names: vec!["a".into(), "bc".into()], points: vec![point] }
}

fn diagnostics() -> DiagnosticArray {
    let status = DiagnosticStatus {
        level: Level::Error as u8,
        name: "input".into(),
        message: "late".into(),
        hardware_id: String::new(),
        values: vec![KeyValue { key: "age_ms".into(), value: "12".into() }],
    };
    DiagnosticArray { header: header(), status: vec![status] }
}

fn chunk() -> ActionChunk {
    ActionChunk {
        header: header(),
        task: "pick up".into(),
        bundle_digest: "ab12".into(),
        chunk_id: (1 << 40) + 5,
        source: "live".into(),
        names: vec!["x".into(), "grip".into()],
        chunk_size: 2,
        action_dt: Duration { sec: 0, nanosec: 50_000_000 },
        actions: vec![0.5, 1.0, 0.75, -1.0],
        inference_delay: Duration { sec: 0, nanosec: 81_000_000 },
        kept_tokens: 17,
        inputs: vec!["images.front".into(), "state".into()],
        input_ages: vec![Duration { sec: 0, nanosec: 31_000_000 }, Duration { sec: -1, nanosec: 990_000_000 }],
        verdict: "rejected: joint x".into(),
    }
}

#[test]
fn messages_read_and_write_the_bytes_of_another_implementation() {
    macro_rules! both_ways {
        ($sample:expr, $value:expr, $type:ty) => {
            let sample = bytes($sample);
            assert_eq!(from_cdr::<$type>(&sample).unwrap(), $value);
            assert_eq!(to_cdr(&$value), sample);
        };
    }
    let pixels: Vec<u8> = (20..40).collect();
    both_ways!(samples::IMAGE, image(&pixels), Image);
    let format = "bgr8; jpeg compressed bgr8".to_owned();
    let jpeg = CompressedImage { header: header(), format, data: &[255, 216, 7] };
    both_ways!(samples::COMPRESSED, jpeg, CompressedImage);
    both_ways!(samples::JOINTS, joints(), JointState);
    both_ways!(samples::CAMERA, camera_info(), CameraInfo);
    both_ways!(samples::ARRAY, array(), Float64MultiArray);
    both_ways!(samples::NUMBER, Float64 { data: -0.75 }, Float64);
    both_ways!(samples::POSE, pose(), PoseStamped);
    let twist = Twist { linear: [0.5, -0.25, 2.0].into(), angular: [-4.0, 8.0, 0.125].into() };
    both_ways!(samples::TWIST, TwistStamped { header: header(), twist }, TwistStamped);
    both_ways!(samples::TRANSFORMS, transforms(), TFMessage);
    both_ways!(samples::TRAJECTORY, trajectory(), JointTrajectory);
    both_ways!(samples::DIAGNOSTICS, diagnostics(), DiagnosticArray);
    both_ways!(samples::CHUNK, chunk(), ActionChunk);
}

#[test]
fn big_endian_messages_are_read() {
    let clock = [0, 0, 0, 0, 0, 0, 1, 2, 0, 3, 0, 4];
    let time = Time { sec: 0x0102, nanosec: 0x0003_0004 };
    assert_eq!(from_cdr::<Clock>(&clock).unwrap(), Clock { clock: time });
    let text = [0, 0, 0, 0, 0, 0, 0, 3, b'u', b'p', 0];
    assert_eq!(from_cdr::<StringMessage>(&text).unwrap(), StringMessage { data: "up".into() });
}

#[test]
fn pixels_are_borrowed_from_the_payload() {
    let payload = bytes(samples::IMAGE);
    let image = from_cdr::<Image>(&payload).unwrap();
    assert!(payload.as_ptr_range().contains(&image.data.as_ptr()));
}

#[test]
fn bytes_that_are_no_message_are_errors_that_say_so() {
    let error = |payload: &[u8]| from_cdr::<JointState>(payload).unwrap_err().to_string();
    assert_eq!(error(&[0, 1, 0]), "sensor_msgs/msg/JointState: got 3 bytes, a CDR payload has at least 4");
    assert_eq!(
        error(&[0, 7, 0, 0, 0, 0, 0, 0]),
        "sensor_msgs/msg/JointState: encapsulation 0x0007 is not plain CDR, big-endian 0x0000 or little-endian 0x0001"
    );
    assert_eq!(
        error(&bytes(samples::JOINTS)[..90]),
        "sensor_msgs/msg/JointState: 90 bytes of CDR do not decode: unexpected end of input"
    );
}

#[test]
fn a_length_beyond_the_payload_is_an_error_and_no_allocation() {
    let mut names = bytes(samples::JOINTS);
    names[32..36].copy_from_slice(&u32::MAX.to_le_bytes());
    assert!(from_cdr::<JointState>(&names).is_err());
    let mut pixels = bytes(samples::IMAGE);
    let length_at = pixels.len() - 24;
    pixels[length_at..length_at + 4].copy_from_slice(&u32::MAX.to_le_bytes());
    assert_eq!(
        from_cdr::<Image>(&pixels).unwrap_err().to_string(),
        "sensor_msgs/msg/Image: 80 bytes of CDR do not decode: unexpected end of input"
    );
}

proptest! {
    #[test]
    fn any_bytes_are_a_message_or_an_error(mut payload in proptest::collection::vec(any::<u8>(), 0..400)) {
        for kind in [0, 1] {
            if let [high, low, ..] = &mut payload[..] { (*high, *low) = (0, kind); }
            let _ = (from_cdr::<Image>(&payload).map(|image| image.to_frame().is_ok()), from_cdr::<CameraInfo>(&payload));
            let _ = (from_cdr::<JointState>(&payload).map(|j| j.to_joints().is_ok()), from_cdr::<ActionChunk>(&payload));
            let _ = (from_cdr::<DiagnosticArray>(&payload), from_cdr::<JointTrajectory>(&payload));
            let _ = (from_cdr::<TFMessage>(&payload).map(|tf| tf.moving()), from_cdr::<TwistStamped>(&payload));
            let _ = (from_cdr::<PoseStamped>(&payload).map(|pose| pose.to_pose().is_ok()), from_cdr::<Float64>(&payload));
            let _ = (from_cdr::<Float64MultiArray>(&payload), from_cdr::<CompressedImage>(&payload));
        }
    }

    #[test]
    fn a_message_with_one_byte_changed_is_a_message_or_an_error(at in 0usize..1000, byte in any::<u8>()) {
        for (hex, decode) in [
            (samples::CAMERA, (|p| from_cdr::<CameraInfo>(p).is_ok()) as fn(&[u8]) -> bool),
            (samples::CHUNK, |p| from_cdr::<ActionChunk>(p).is_ok()),
            (samples::DIAGNOSTICS, |p| from_cdr::<DiagnosticArray>(p).is_ok()),
            (samples::IMAGE, |p| from_cdr::<Image>(p).is_ok_and(|image| image.to_frame().is_ok())),
        ] {
            let mut payload = bytes(hex);
            let at = at % payload.len();
            payload[at] = byte;
            decode(&payload);
        }
    }
}

#[test]
fn a_picture_becomes_a_frame_without_the_bytes_behind_its_last_row() {
    let pixels: Vec<u8> = (20..45).collect();
    let frame = image(&pixels).to_frame().unwrap();
    let want = Frame {
        frame_id: "camera_optical".into(),
        encoding: Encoding::Bgr8,
        width: 3,
        height: 2,
        step: 10,
        data: Arc::from(&pixels[..20]),
    };
    assert_eq!(frame, want);
}

#[test]
fn pictures_that_cannot_be_read_are_errors_with_both_sides() {
    let pixels = [7; 20];
    let error = |image: Image| image.to_frame().unwrap_err().to_string();
    assert_eq!(
        error(Image { encoding: "16UC1".into(), ..image(&pixels) }),
        "image encoding `16UC1` is not supported; supported are rgb8, bgr8, rgba8, bgra8, mono8, uyvy, yuv422, yuyv, \
         yuv422_yuy2, nv12, bayer_rggb8, bayer_bggr8, bayer_gbrg8, bayer_grbg8"
    );
    assert_eq!(error(image(&pixels[..19])), "image data has 19 bytes, 2 rows of 10 bytes need 20");
    assert_eq!(error(Image { step: 8, ..image(&pixels) }), "image step is 8 bytes, 3 pixels of bgr8 need 9");
    assert_eq!(error(Image { height: 0, ..image(&pixels) }), "image of 3 x 0 pixels has no pixel");
    assert_eq!(
        error(Image { height: u32::MAX, width: 1, step: u32::MAX, ..image(&pixels) }),
        "image data has 20 bytes, 4294967295 rows of 4294967295 bytes need 18446744065119617025"
    );
}

#[test]
fn compressed_formats_are_told_apart_by_name() {
    let frame = |format: &str| CompressedImage { header: header(), format: format.into(), data: &[1, 2] }.to_frame();
    let encoding = |format: &str| frame(format).map(|frame| frame.encoding);
    assert_eq!(encoding("jpeg"), Ok(Encoding::Jpeg));
    assert_eq!(encoding("rgb8; jpeg compressed bgr8"), Ok(Encoding::Jpeg));
    assert_eq!(encoding("bgr8; png compressed "), Ok(Encoding::Png));
    assert_eq!(
        encoding("16UC1; compressedDepth png").unwrap_err().to_string(),
        "compressed image format `16UC1; compressedDepth png` is not supported; supported are jpeg, png"
    );
    let empty = CompressedImage { header: header(), format: "jpeg".into(), data: &[] };
    assert_eq!(empty.to_frame().unwrap_err().to_string(), "compressed image has no data");
}

#[test]
fn a_camera_info_is_the_lens_of_the_file_with_the_same_numbers() {
    let file = "tests/data/pictures/plumb_bob.yaml";
    let profile = format!(
        "format: 1\nrobot: r\noutputs: []\ninputs:\n- {{kind: camera, camera: c, transport: raw, max_age_ms: 1, undistort: {file}}}\n"
    );
    let profile = crate::profile::Profile::parse(&profile, "p.yaml").unwrap();
    let of_file = profile.cameras()[0].view.optics.clone().unwrap();
    assert_eq!(calibrated().to_optics(Arrives::Bent).unwrap(), of_file);
    let whole = RegionOfInterest { width: 37, height: 29, ..RegionOfInterest::default() };
    let spelled_out = CameraInfo { roi: whole, binning_x: 1, ..calibrated() };
    assert_eq!(spelled_out.to_optics(Arrives::Bent).unwrap(), of_file);
    assert_eq!(calibrated().to_optics(Arrives::Rectified).unwrap(), Optics::Straight(*of_file.pinhole()));
}

/// By hand: 17.25 - 3, 13.75 / 2 and 18.5 - 3, 14.25 / 2 and 31.25 / 2, 23.5 / 2. The ray of a pixel of the part is that
/// of the pixels that it was read from.
#[test]
fn a_part_of_the_sensor_is_straightened_as_that_part_of_the_whole() {
    let roi = RegionOfInterest { x_offset: 3, height: 28, width: 30, ..RegionOfInterest::default() };
    let Optics::Bent(part) = CameraInfo { roi, binning_y: 2, ..calibrated() }.to_optics(Arrives::Bent).unwrap() else {
        panic!("a lens")
    };
    assert_eq!((part.size, part.intrinsics), ([30, 14], [30.5, 15.625, 14.25, 6.875]));
    assert_eq!(part.pinhole, Pinhole { size: [30, 14], focal: [21.0, 11.75], center: [15.5, 7.125] });
    let Optics::Bent(whole) = calibrated().to_optics(Arrives::Bent).unwrap() else { panic!("a lens") };
    let ray = |lens: &Lens, x: f64, y: f64| {
        let [a, b, c] = lens.ray_from_pixel.map(|[a, b, c]| a * x + b * y + c);
        [a / c, b / c]
    };
    let [got, wanted] = [ray(&part, 11.0, 4.0), ray(&whole, 14.0, 8.0)];
    assert!(got.iter().zip(wanted).all(|(got, wanted)| (got - wanted).abs() < 1e-12), "{got:?} {wanted:?}");
}

#[test]
fn a_camera_info_that_cannot_straighten_its_pictures_says_why() {
    let refused = |info: CameraInfo| info.to_optics(Arrives::Bent).unwrap_err().to_string();
    let mut uncalibrated = calibrated();
    uncalibrated.k[0] = 0.0;
    assert_eq!(refused(uncalibrated), "the camera is not calibrated: `k` of its camera info is zero");
    let part = RegionOfInterest { x_offset: 33, height: 5, width: 7, ..RegionOfInterest::default() };
    assert_eq!(
        refused(CameraInfo { roi: part, ..calibrated() }),
        "camera info: region of interest of 7 x 5 pixels at 33, 0 is not in 37 x 29"
    );
    let mut wild = calibrated();
    wild.k[4] = f64::NAN;
    assert_eq!(refused(wild), "camera info: `camera_matrix` has a number that is not finite");
    let fish = CameraInfo { distortion_model: "equidistant".into(), ..calibrated() };
    let supported = "supported are plumb_bob, rational_polynomial";
    assert_eq!(refused(fish), format!("camera info: distortion model `equidistant` is not supported; {supported}"));
}

#[test]
fn joints_keep_their_names() {
    let want = JointSample { names: vec!["shoulder".into(), "élbow".into()], positions: vec![0.5, -2.25] };
    assert_eq!(joints().to_joints(), Ok(want));
    let short = JointState { position: vec![0.5], ..joints() };
    assert_eq!(short.to_joints().unwrap_err().to_string(), "joint state has 2 names and 1 positions");
    let twice = JointState { name: vec!["a".into(), "a".into()], ..joints() };
    assert_eq!(twice.to_joints().unwrap_err().to_string(), "joint state names `a` twice");
}

#[test]
fn a_pose_keeps_its_frame_without_a_leading_slash_and_must_be_a_rotation() {
    let mut message = pose();
    message.header.frame_id = "/world".into();
    let refused = message.to_pose().unwrap_err().to_string();
    assert!(refused.starts_with("the quaternion's length is 0.97467"), "{refused}");
    message.pose.orientation = [0.0, 0.6, 0.0, -0.8].into();
    let sample = message.to_pose().unwrap();
    assert_eq!((sample.frame_id.as_str(), sample.pose.position), ("world", [0.25, -1.5, 3.0]));
    assert_eq!(sample.pose.rotation.xyzw(), [0.0, 0.6, 0.0, -0.8]);
}

#[test]
fn transforms_have_a_stamp_where_they_move_and_none_where_they_do_not() {
    let (moving, fixed) = (transforms().moving(), transforms().fixed());
    assert_eq!((moving[0].stamp, fixed[0].stamp), (Some(header().stamp.into()), None));
    assert_eq!((moving[1].parent.as_str(), moving[1].child.as_str()), ("camera_optical", "tool0"));
    assert_eq!(moving[1].pose.unwrap().position, [-1.0, 2.0, -3.0]);
}

#[test]
fn spans_before_zero_borrow_a_second() {
    let back = Duration::from(Span::from_nanos(-250_000_000));
    assert_eq!(back, Duration { sec: -1, nanosec: 750_000_000 });
    assert_eq!(Span::from(back), Span::from_nanos(-250_000_000));
    assert_eq!(Stamp::from(header().stamp), Stamp::from_nanos(1_700_000_001_250_000_007));
}

#[test]
fn a_type_is_known_by_its_new_and_its_old_name() {
    let image = <Image<'_> as Message>::TYPE;
    assert_eq!(image.to_string(), "sensor_msgs/msg/Image");
    assert!(image.matches("sensor_msgs/msg/Image") && image.matches("sensor_msgs/Image"));
    assert!(!image.matches("sensor_msgs/msg/CompressedImage") && !image.matches("Image"));
}
