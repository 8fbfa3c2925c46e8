//! Expected poses are products of Denavit-Hartenberg matrices with the makers' published parameters (Franka: modified
//! convention, with the flange; Universal Robots: classic convention), computed without this code and without a URDF.

use std::f64::consts::{FRAC_PI_2, PI};

use super::*;

/// The arm of Franka's `panda_arm.xacro` and its hand's fingers; limits of the first joint are the published ones.
const PANDA: &str = r#"<?xml version="1.0"?>
<robot name="panda">
  <link name="panda_link0"><visual><geometry><mesh filename="package://a/b.dae"/></geometry></visual></link>
  <link name="panda_link1"/><link name="panda_link2"/><link name="panda_link3"/><link name="panda_link4"/>
  <link name="panda_link5"/><link name="panda_link6"/><link name="panda_link7"/><link name="panda_link8"/>
  <link name="hand"/><link name="left"/><link name="right"/>
  <joint name="panda_joint1" type="revolute">
    <origin rpy="0 0 0" xyz="0 0 0.333"/><parent link="panda_link0"/><child link="panda_link1"/><axis xyz="0 0 1"/>
    <limit effort="87" lower="-2.8973" upper="2.8973" velocity="2.175"/>
  </joint>
  <joint name="panda_joint2" type="revolute">
    <origin rpy="-1.57079632679 0 0" xyz="0 0 0"/><parent link="panda_link1"/><child link="panda_link2"/><axis xyz="0 0 1"/>
    <limit effort="87" lower="-1.7628" upper="1.7628" velocity="2.175"/>
  </joint>
  <joint name="panda_joint3" type="revolute">
    <origin rpy="1.57079632679 0 0" xyz="0 -0.316 0"/><parent link="panda_link2"/><child link="panda_link3"/><axis xyz="0 0 1"/>
    <limit effort="87" lower="-2.8973" upper="2.8973" velocity="2.175"/>
  </joint>
  <joint name="panda_joint4" type="revolute">
    <origin rpy="1.57079632679 0 0" xyz="0.0825 0 0"/><parent link="panda_link3"/><child link="panda_link4"/><axis xyz="0 0 1"/>
    <limit effort="87" lower="-3.0718" upper="-0.0698" velocity="2.175"/>
  </joint>
  <joint name="panda_joint5" type="revolute">
    <origin rpy="-1.57079632679 0 0" xyz="-0.0825 0.384 0"/><parent link="panda_link4"/><child link="panda_link5"/><axis xyz="0 0 1"/>
    <limit effort="12" lower="-2.8973" upper="2.8973" velocity="2.61"/>
  </joint>
  <joint name="panda_joint6" type="revolute">
    <origin rpy="1.57079632679 0 0" xyz="0 0 0"/><parent link="panda_link5"/><child link="panda_link6"/><axis xyz="0 0 1"/>
    <limit effort="12" lower="-0.0175" upper="3.7525" velocity="2.61"/>
  </joint>
  <joint name="panda_joint7" type="revolute">
    <origin rpy="1.57079632679 0 0" xyz="0.088 0 0"/><parent link="panda_link6"/><child link="panda_link7"/><axis xyz="0 0 1"/>
    <limit effort="12" lower="-2.8973" upper="2.8973" velocity="2.61"/>
  </joint>
  <joint name="panda_joint8" type="fixed">
    <origin xyz="0 0 0.107"/><parent link="panda_link7"/><child link="panda_link8"/>
  </joint>
  <joint name="hand_joint" type="fixed"><parent link="panda_link8"/><child link="hand"/></joint>
  <joint name="finger1" type="prismatic">
    <origin xyz="0 0 0.0584"/><parent link="hand"/><child link="left"/><axis xyz="0 2 0"/>
    <limit effort="20" lower="0.0" upper="0.04" velocity="0.2"/>
  </joint>
  <joint name="finger2" type="prismatic">
    <origin xyz="0 0 0.0584"/><parent link="hand"/><child link="right"/><axis xyz="0 -1 0"/>
    <limit effort="20" lower="0.0" upper="0.04" velocity="0.2"/>
    <mimic joint="finger1" multiplier="0.5" offset="0.001"/>
  </joint>
  <transmission name="t"><joint name="panda_joint1"><hardwareInterface>x</hardwareInterface></joint></transmission>
</robot>"#;

/// The default kinematics of Universal Robots' description of the UR5e.
const UR5E: &str = r#"<robot name="ur5e">
  <link name="base"/><link name="base_link"/><link name="base_link_inertia"/><link name="shoulder_link"/>
  <link name="upper_arm_link"/><link name="forearm_link"/><link name="wrist_1_link"/><link name="wrist_2_link"/>
  <link name="wrist_3_link"/><link name="flange"/><link name="tool0"/>
  <joint name="base_joint" type="fixed">
    <origin rpy="0 0 3.141592653589793"/><parent link="base_link"/><child link="base"/></joint>
  <joint name="inertia" type="fixed">
    <origin rpy="0 0 3.141592653589793"/><parent link="base_link"/><child link="base_link_inertia"/></joint>
  <joint name="shoulder_pan_joint" type="revolute"><origin xyz="0 0 0.1625"/>
    <parent link="base_link_inertia"/><child link="shoulder_link"/><axis xyz="0 0 1"/><limit lower="-6.28" upper="6.28" velocity="3.14"/></joint>
  <joint name="shoulder_lift_joint" type="revolute"><origin rpy="1.570796326794897 0 0"/>
    <parent link="shoulder_link"/><child link="upper_arm_link"/><axis xyz="0 0 1"/><limit lower="-6.28" upper="6.28" velocity="3.14"/></joint>
  <joint name="elbow_joint" type="revolute"><origin xyz="-0.425 0 0"/>
    <parent link="upper_arm_link"/><child link="forearm_link"/><axis xyz="0 0 1"/><limit lower="-3.14" upper="3.14" velocity="2.9"/></joint>
  <joint name="wrist_1_joint" type="revolute"><origin xyz="-0.3922 0 0.1333"/>
    <parent link="forearm_link"/><child link="wrist_1_link"/><axis xyz="0 0 1"/><limit lower="-6.28" upper="6.28" velocity="3.14"/></joint>
  <joint name="wrist_2_joint" type="revolute"><origin xyz="0 -0.0997 0" rpy="1.570796326794897 0 0"/>
    <parent link="wrist_1_link"/><child link="wrist_2_link"/><axis xyz="0 0 1"/><limit lower="-6.28" upper="6.28" velocity="3.14"/></joint>
  <joint name="wrist_3_joint" type="continuous"><origin xyz="0 0.0996 0" rpy="1.570796326794897 3.141592653589793 3.141592653589793"/>
    <parent link="wrist_2_link"/><child link="wrist_3_link"/><axis xyz="0 0 1"/><limit effort="28" velocity="3.15"/></joint>
  <joint name="wrist_3_flange" type="fixed"><origin rpy="0 -1.570796326794897 -1.570796326794897"/>
    <parent link="wrist_3_link"/><child link="flange"/></joint>
  <joint name="flange_tool0" type="fixed"><origin rpy="1.570796326794897 0 1.570796326794897"/>
    <parent link="flange"/><child link="tool0"/></joint>
</robot>"#;

fn assert_near(got: [f64; 3], want: [f64; 3]) {
    got.iter().zip(want).for_each(|(got, want)| assert!((got - want).abs() < 1e-9, "{got:?} instead of {want:?}"));
}

const PANDA_AT: [f64; 7] = [0.3, -0.7, 0.4, -2.1, 0.2, 1.6, 0.9];

#[test]
fn a_panda_is_where_its_published_parameters_put_it() {
    let chain = Robot::parse(PANDA).unwrap().chain("panda_link0", "panda_link8").unwrap();
    let names: Vec<_> = chain.joints().iter().map(|name| &**name).collect();
    let wanted = (1..=7).map(|index| format!("panda_joint{index}")).collect::<Vec<_>>();
    assert_eq!(names, wanted);
    let flange = chain.pose(&PANDA_AT).unwrap();
    assert_near(flange.position, [0.221_360_395_850_789_5, 0.285_188_858_804_191_87, 0.659_326_598_377_387_5]);
    assert_near(
        flange.rotation.turn([1.0, 0.0, 0.0]),
        [0.956_117_327_271_042_4, -0.257_618_412_812_963_05, 0.139_543_576_963_640_78],
    );
    assert_near(
        flange.rotation.turn([0.0, 1.0, 0.0]),
        [-0.247_310_296_479_542_95, -0.965_017_258_712_732_6, -0.087_059_219_165_826_21],
    );
}

#[test]
fn a_ur5e_is_where_its_published_parameters_put_it() {
    let chain = Robot::parse(UR5E).unwrap().chain("base", "tool0").unwrap();
    let tool = chain.pose(&[0.4, -1.2, 1.5, -0.6, -1.1, 0.7]).unwrap();
    assert_near(tool.position, [-0.366_480_304_840_871_3, -0.348_719_931_237_129_74, 0.321_234_908_108_614]);
    assert_near(
        tool.rotation.turn([1.0, 0.0, 0.0]),
        [0.215_181_863_468_053_37, 0.831_029_384_746_306, 0.512_920_000_899_352_9],
    );
    assert_near(
        tool.rotation.turn([0.0, 1.0, 0.0]),
        [0.174_634_944_433_136_9, -0.549_502_689_912_070_3, 0.817_036_982_004_018_2],
    );
}

#[test]
fn a_chain_up_the_tree_is_the_way_back() {
    let robot = Robot::parse(PANDA).unwrap();
    let down = robot.chain("panda_link0", "panda_link8").unwrap().pose(&PANDA_AT).unwrap();
    let up = robot.chain("panda_link8", "panda_link0").unwrap().pose(&PANDA_AT).unwrap();
    assert_near(down.then(&up).position, [0.0; 3]);
    assert!(down.rotation.then(up.rotation).angle_to(crate::geometry::Rotation::NONE) < 1e-9);
}

#[test]
fn fingers_slide_apart_and_one_mimics_the_other() {
    let robot = Robot::parse(PANDA).unwrap();
    // From one finger to the other nothing of the arm counts.
    let chain = robot.chain("right", "left").unwrap();
    assert_eq!(chain.joints().iter().map(|name| &**name).collect::<Vec<_>>(), ["finger1"]);
    // 0.03 along +y, and 0.03 / 2 + 0.001 along -y; an axis that is written 2 long is a direction.
    assert_near(chain.pose(&[0.03]).unwrap().position, [0.0, 0.03 + 0.016, 0.0]);
    assert_eq!(robot.chain("hand", "hand").unwrap().joints(), []);
    assert_near(robot.chain("panda_link7", "hand").unwrap().pose(&[]).unwrap().position, [0.0, 0.0, 0.107]);
}

#[test]
fn limits_are_read() {
    let robot = Robot::parse(PANDA).unwrap();
    let limits = |name: &str| robot.joint(name).unwrap().limits();
    assert_eq!(limits("panda_joint1"), Some(Limits { lower: -2.8973, upper: 2.8973, velocity: Some(2.175) }));
    assert_eq!(limits("finger2"), Some(Limits { lower: 0.0, upper: 0.04, velocity: Some(0.2) }));
    assert_eq!(limits("panda_joint8"), None);
    let ur5e = Robot::parse(UR5E).unwrap();
    let endless = ur5e.joint("wrist_3_joint").unwrap();
    assert_eq!((endless.limits(), endless.max_velocity()), (None, Some(3.15)));
    assert_eq!(ur5e.joint("elbow_joint").unwrap().max_velocity(), Some(2.9));
}

#[test]
fn positions_of_another_number_or_of_no_number_are_no_pose() {
    let chain = Robot::parse(PANDA).unwrap().chain("panda_link0", "panda_link2").unwrap();
    assert_eq!(chain.pose(&[0.1]), None);
    assert_eq!(chain.pose(&[0.1, f64::NAN]), None);
    assert!(chain.pose(&[0.1, 0.2]).is_some());
}

#[test]
fn a_mimic_of_a_mimic_follows_the_first() {
    let turning = |name: &str, parent: &str, child: &str, more: &str| {
        format!(
            "<joint name='{name}' type='continuous'><parent link='{parent}'/><child link='{child}'/>\
             <axis xyz='0 0 1'/>{more}</joint>"
        )
    };
    let text = format!(
        "<robot name='r'><link name='a'/><link name='b'/><link name='c'/><link name='d'/>{}{}{}</robot>",
        turning("one", "a", "b", ""),
        turning("two", "b", "c", "<mimic joint='one' multiplier='-2' offset='0.1'/>"),
        turning("three", "c", "d", "<mimic joint='two' multiplier='3'/>"),
    );
    let chain = Robot::parse(&text).unwrap().chain("b", "d").unwrap();
    assert_eq!(chain.joints().len(), 1);
    // two = -2 * 0.1 + 0.1 = -0.1, three = -0.3.
    let turned = chain.pose(&[0.1]).unwrap().rotation.turn([1.0, 0.0, 0.0]);
    assert_near(turned, [0.4_f64.cos(), -(0.4_f64.sin()), 0.0]);
}

#[test]
fn a_turn_about_any_axis_is_by_the_right_hand() {
    let text = "<robot name='r'><link name='a'/><link name='b'/><joint name='j' type='continuous'>\
        <origin xyz='1 2 3' rpy='0 0 1.5707963267948966'/><parent link='a'/><child link='b'/></joint></robot>";
    let chain = Robot::parse(text).unwrap().chain("a", "b").unwrap();
    // Without an axis it is x, which the origin turned to y: a quarter turn takes z to x.
    let pose = chain.pose(&[FRAC_PI_2]).unwrap();
    assert_near(pose.position, [1.0, 2.0, 3.0]);
    assert_near(pose.rotation.turn([0.0, 1.0, 0.0]), [0.0, 0.0, 1.0]);
    assert_near(chain.pose(&[PI]).unwrap().rotation.turn([0.0, 0.0, 1.0]), [0.0, 0.0, -1.0]);
}

/// What of `PANDA` becomes what, and what is said then.
const WRONG: &[(&str, &str, &str)] = &[
    (
        "<robot name=\"panda\">",
        "<robot name=\"panda\"><link name=\"hand\"/>",
        "robot description line 6: link: `hand` is there twice",
    ),
    (
        "xyz=\"0 0 0.333\"",
        "xyz=\"0 0 ${d1}\"",
        "robot description line 8: joint `panda_joint1` origin: `xyz` is `0 0 ${d1}`, wanted three numbers",
    ),
    (
        "xyz=\"0 0 0.333\"",
        "xyz=\"0 0\"",
        "robot description line 8: joint `panda_joint1` origin: `xyz` is `0 0`, wanted three numbers",
    ),
    (
        "lower=\"-2.8973\"",
        "lower=\"nan\"",
        "robot description line 9: joint `panda_joint1` limit: `lower` is `nan`, wanted a number",
    ),
    (
        "lower=\"-2.8973\"",
        "lower=\"3\"",
        "robot description line 9: joint `panda_joint1` limit: `lower` is 3 and `upper` is 2.8973, wanted two numbers in this order",
    ),
    (
        "type=\"revolute\"",
        "type=\"hinge\"",
        "robot description line 7: joint `panda_joint1`: `type` is `hinge`, wanted fixed, revolute, continuous, prismatic, planar or floating",
    ),
    ("<parent link=\"panda_link0\"/>", "", "robot description line 7: joint `panda_joint1`: no `parent`"),
    (
        "<parent link=\"panda_link0\"/>",
        "<parent link=\"world\"/>",
        "robot description line 7: joint `panda_joint1`: no link `world` to be its parent",
    ),
    (
        "<child link=\"panda_link1\"/>",
        "<child link=\"panda_link2\"/>",
        "robot description line 11: joint `panda_joint2`: link `panda_link2` has another parent already",
    ),
    (
        "<axis xyz=\"0 0 1\"/>",
        "<axis xyz=\"0 0 0\"/>",
        "robot description line 8: joint `panda_joint1` axis: `xyz` is 0 long, wanted a direction",
    ),
    (
        "name=\"panda_joint2\"",
        "name=\"panda_joint1\"",
        "robot description line 11: joint `panda_joint1`: it is there twice",
    ),
    (
        "    <limit effort=\"87\" lower=\"-2.8973\" upper=\"2.8973\" velocity=\"2.175\"/>",
        "",
        "robot description line 7: joint `panda_joint1`: no `limit`",
    ),
    (
        "<link name=\"hand\"/>",
        "<link name=\"hand\"/><link name=\"float\"/>",
        "robot description: links `float` and `panda_link0` both have no parent, wanted one root",
    ),
    (
        "mimic joint=\"finger1\"",
        "mimic joint=\"thumb\"",
        "robot description: joint `finger2` mimics a joint that is not there",
    ),
    (
        "mimic joint=\"finger1\"",
        "mimic joint=\"finger2\"",
        "robot description: joint `finger2` mimics itself in the end",
    ),
];

#[test]
fn what_is_wrong_is_told_with_its_line() {
    let refusal = |from: &str, to: &str| {
        assert!(PANDA.contains(from), "{from}");
        Robot::parse(&PANDA.replacen(from, to, 1)).unwrap_err().to_string()
    };
    for (from, to, wanted) in WRONG {
        assert_eq!(refusal(from, to), *wanted);
    }
    let two_roots = refusal("<robot name=\"panda\">", "<robots/><robot>");
    assert!(two_roots.starts_with("robot description: not XML: "), "{two_roots}");
    assert_eq!(
        Robot::parse("<sdf/>").unwrap_err().to_string(),
        "robot description: the root element is `sdf`, wanted `robot`"
    );
}

#[test]
fn links_in_a_circle_are_no_tree() {
    let joint = |name: &str, parent: &str, child: &str| {
        format!("<joint name='{name}' type='fixed'><parent link='{parent}'/><child link='{child}'/></joint>")
    };
    let links = "<link name='a'/><link name='b'/><link name='c'/>";
    let circle = [joint("1", "b", "c"), joint("2", "c", "b")].concat();
    let error = Robot::parse(&format!("<robot>{links}{circle}</robot>")).unwrap_err();
    assert_eq!(error.to_string(), "robot description: 2 links are their own parents in the end");
    let all = [joint("0", "c", "a"), joint("1", "a", "b"), joint("2", "b", "c")].concat();
    let error = Robot::parse(&format!("<robot>{links}{all}</robot>")).unwrap_err();
    assert_eq!(error.to_string(), "robot description: no link is the root");
}

#[test]
fn a_chain_between_links_that_are_not_there_or_not_held_is_refused() {
    let floating = "<robot name='drone'><link name='world'/><link name='body'/><joint name='free' type='floating'>\
        <parent link='world'/><child link='body'/></joint></robot>";
    let robot = Robot::parse(floating).unwrap();
    assert_eq!(
        robot.chain("world", "tool").unwrap_err().to_string(),
        "robot description of `drone`: no link `tool`; it has body, world"
    );
    assert_eq!(
        robot.chain("world", "body").unwrap_err().to_string(),
        "robot description of `drone`: joint `free` between `world` and `body` is floating, wanted fixed, revolute, \
         continuous or prismatic"
    );
}

proptest::proptest! {
    #[test]
    fn a_damaged_urdf_is_read_or_refused(
        at in 0..PANDA.len(),
        length in 0..400_usize,
        put in "[-a-z0-9 <>/=\"'.&;]{0,12}",
        positions in proptest::collection::vec(-1e3..1e3_f64, 8),
    ) {
        let end = (at + length).min(PANDA.len());
        let Ok(robot) = Robot::parse(&format!("{}{put}{}", &PANDA[..at], &PANDA[end..])) else { return Ok(()) };
        for joint in robot.joints() {
            let Ok(chain) = robot.chain(&joint.child, "panda_link0") else { continue };
            let positions = &positions[..chain.joints().len().min(8)];
            if let Some(pose) = chain.pose(positions) {
                let length: f64 = pose.rotation.xyzw().iter().map(|value| value * value).sum();
                proptest::prop_assert!((length - 1.0).abs() < 1e-6);
            }
        }
    }
}
