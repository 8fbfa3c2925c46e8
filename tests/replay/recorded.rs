//! A bag that was recorded beside an arm of joints.

use vla_runtime::bag::BagWriter;
use vla_runtime::msg::{Header, Image, JointState};

use super::arm::Arm;
use super::*;

/// Writes the pictures of the raw bag with the arm's joints beside them; gives the file's path.
pub fn recorded(arm: &Arm, dir: &Path) -> String {
    let path = dir.join("bag.mcap");
    let source = BagReader::open(&Path::new(ROOT).join("tests/data/bags/arm6_raw")).unwrap();
    let mut bag = BagWriter::create(&path).unwrap();
    for message in source.messages().map(Result::unwrap).filter(|message| message.topic == "/images/front") {
        let picture: Image = message.decode().unwrap();
        let stamp = picture.header.stamp;
        bag.write("/images/front", message.log_time, &picture).unwrap();
        let name = arm.joints().map(|i| format!("j{i}")).collect();
        let position = arm.joints().map(|i| 0.01 * i as f64).collect();
        let joints = JointState { header: Header::new(stamp.into(), ""), name, position, ..JointState::default() };
        bag.write("/joint_states", message.log_time, &joints).unwrap();
    }
    bag.finish().unwrap();
    path.to_str().unwrap().to_owned()
}
