//! Where the end effector is and how it is turned, and the conventions in which policies write a rotation.
//!
//! A rotation is a unit quaternion x, y, z, w (Hamilton); `q` and `-q` turn the same way and are kept apart, because
//! a policy that was trained without making the sign positive sees two different states.

use serde::{Deserialize, Serialize};
use vla_bundle::RotationConvention;

/// A position and a rotation, both finite, the rotation of length 1.
#[derive(Clone, Copy, Debug, PartialEq, Serialize, Deserialize)]
pub struct Pose {
    /// x, y, z in m.
    pub position: [f64; 3],
    /// How it is turned.
    pub rotation: Rotation,
}

/// A unit quaternion.
#[derive(Clone, Copy, Debug, PartialEq, Serialize, Deserialize)]
pub struct Rotation([f64; 4]);

/// Why numbers are no pose.
#[derive(Clone, Copy, Debug, PartialEq, thiserror::Error)]
pub enum PoseError {
    /// NaN or infinite.
    #[error("the position or the rotation is not finite")]
    NotFinite,
    /// Not a rotation; all zeros are what a message holds that nobody filled.
    #[error("the quaternion's length is {length}, wanted 1")]
    Length {
        /// Its length.
        length: f64,
    },
}

/// Quaternions this far from length 1 are noise of their sender and are normalised; beyond, they are no rotations.
const LENGTH_TOLERANCE: f64 = 1e-2;

/// Vectors and quaternions that are shorter have no direction.
const SHORTEST: f64 = 1e-6;

impl Pose {
    /// A pose of these numbers, the quaternion as x, y, z, w.
    ///
    /// # Errors
    /// Numbers that are not finite, or a quaternion whose length is not about 1.
    pub fn new(position: [f64; 3], xyzw: [f64; 4]) -> Result<Self, PoseError> {
        if !position.iter().chain(&xyzw).all(|value| value.is_finite()) {
            return Err(PoseError::NotFinite);
        }
        let length = xyzw.iter().map(|value| value * value).sum::<f64>().sqrt();
        if (length - 1.0).abs() > LENGTH_TOLERANCE {
            return Err(PoseError::Length { length });
        }
        Ok(Self { position, rotation: Rotation::normalized(xyzw) })
    }

    /// What `inner`, seen from this pose, is where this pose is seen from.
    pub fn then(&self, inner: &Pose) -> Pose {
        let moved = self.rotation.turn(inner.position);
        Pose { position: sum(self.position, moved), rotation: self.rotation.then(inner.rotation) }
    }

    /// The pose from which this one's frame is seen at its origin.
    pub fn inverse(&self) -> Pose {
        let rotation = self.rotation.inverse();
        Pose { position: rotation.turn(self.position.map(|value| -value)), rotation }
    }
}

impl Rotation {
    /// No turn.
    pub const NONE: Rotation = Rotation([0.0, 0.0, 0.0, 1.0]);

    /// x, y, z, w.
    pub fn xyzw(self) -> [f64; 4] {
        self.0
    }

    /// How many numbers a convention takes.
    pub fn width(convention: RotationConvention) -> usize {
        match convention {
            RotationConvention::AxisAngle | RotationConvention::EulerXyz => 3,
            RotationConvention::QuaternionXyzw => 4,
            RotationConvention::Rotation6d => 6,
        }
    }

    /// The rotation that `values` mean; `None` where they are too few, not finite or no rotation.
    ///
    /// Axis-angle: axis times angle in rad. Euler: roll, pitch, yaw about the fixed axes x, y, z in this order, rad.
    /// Rotation6d: the first two columns of the matrix, made orthonormal (Zhou et al. 2019, equation 15).
    /// Quaternions are made as long as 1: networks give them longer or shorter.
    pub fn read(convention: RotationConvention, values: &[f64]) -> Option<Self> {
        let rotation = match (convention, values) {
            (RotationConvention::AxisAngle, &[x, y, z]) => Self::from_vector([x, y, z]),
            (RotationConvention::EulerXyz, &[roll, pitch, yaw]) => {
                let about = |axis: usize, angle: f64| {
                    let mut vector = [0.0; 3];
                    vector[axis] = angle;
                    Self::from_vector(vector)
                };
                about(2, yaw).then(about(1, pitch)).then(about(0, roll))
            }
            (RotationConvention::QuaternionXyzw, &[x, y, z, w]) => {
                let length = (x * x + y * y + z * z + w * w).sqrt();
                (length > SHORTEST).then(|| Self::normalized([x, y, z, w]))?
            }
            (RotationConvention::Rotation6d, &[a, b, c, d, e, f]) => Self::from_columns([a, b, c], [d, e, f])?,
            _ => return None,
        };
        rotation.0.iter().all(|value| value.is_finite()).then_some(rotation)
    }

    /// Number `component` of the rotation in `convention`; `None` beyond its width.
    ///
    /// Axis-angle is `q_xyz * 2 acos(w) / sqrt(1 - w^2)` with `w` clamped to [-1, 1] and zeros where the root is exactly
    /// 0, as robosuite's `quat2axisangle` has it: the sign of the quaternion decides whether the angle is beyond pi.
    pub fn component(self, convention: RotationConvention, component: usize) -> Option<f64> {
        match convention {
            RotationConvention::AxisAngle => self.axis_angle().get(component).copied(),
            RotationConvention::EulerXyz => self.euler_xyz().get(component).copied(),
            RotationConvention::QuaternionXyzw => self.0.get(component).copied(),
            RotationConvention::Rotation6d => {
                let column = self.turn(if component < 3 { [1.0, 0.0, 0.0] } else { [0.0, 1.0, 0.0] });
                (component < 6).then(|| column.get(component % 3).copied()).flatten()
            }
        }
    }

    /// First `inner`, then this one.
    pub fn then(self, inner: Rotation) -> Rotation {
        let ([ax, ay, az, aw], [bx, by, bz, bw]) = (self.0, inner.0);
        Self::normalized([
            aw * bx + ax * bw + ay * bz - az * by,
            aw * by - ax * bz + ay * bw + az * bx,
            aw * bz + ax * by - ay * bx + az * bw,
            aw * bw - ax * bx - ay * by - az * bz,
        ])
    }

    /// The way back.
    pub fn inverse(self) -> Rotation {
        let [x, y, z, w] = self.0;
        Rotation([-x, -y, -z, w])
    }

    /// `vector` after the turn.
    pub fn turn(self, vector: [f64; 3]) -> [f64; 3] {
        let [x, y, z, w] = self.0;
        // v + 2 w (q x v) + 2 q x (q x v)
        let once = cross([x, y, z], vector).map(|value| 2.0 * value);
        sum(sum(vector, once.map(|value| w * value)), cross([x, y, z], once))
    }

    /// The same rotation with the sign of its quaternion that is nearer to `other`'s.
    pub fn nearer_to(self, other: Rotation) -> Rotation {
        let along: f64 = self.0.iter().zip(other.0).map(|(a, b)| a * b).sum();
        if along < 0.0 { Rotation(self.0.map(|value| -value)) } else { self }
    }

    /// The angle between two rotations, 0 to pi rad, whatever the signs of their quaternions.
    pub fn angle_to(self, other: Rotation) -> f64 {
        let [x, y, z, w] = self.inverse().then(other).0;
        2.0 * norm([x, y, z]).atan2(w.abs())
    }

    /// The shortest turn as axis times angle, at most pi rad long.
    pub fn vector(self) -> [f64; 3] {
        let [x, y, z, w] = self.0;
        let (xyz, w) = if w < 0.0 { ([-x, -y, -z], -w) } else { ([x, y, z], w) };
        let length = norm(xyz);
        // Towards no turn the factor 2 atan2(s, w) / s tends to 2.
        let factor = if length > 0.0 { 2.0 * length.atan2(w) / length } else { 2.0 };
        xyz.map(|value| factor * value)
    }

    /// The turn about an axis by an angle, given as axis times angle in rad.
    pub fn from_vector(vector: [f64; 3]) -> Rotation {
        let half = norm(vector) / 2.0;
        let factor = if half > 0.0 { half.sin() / (2.0 * half) } else { 0.5 };
        let [x, y, z] = vector.map(|value| factor * value);
        Self::normalized([x, y, z, half.cos()])
    }

    fn from_columns(first: [f64; 3], second: [f64; 3]) -> Option<Rotation> {
        let unit = |vector: [f64; 3]| {
            let length = norm(vector);
            (length > SHORTEST).then(|| vector.map(|value| value / length))
        };
        let x = unit(first)?;
        let along = dot(x, second);
        let y = unit(sum(second, x.map(|value| -along * value)))?;
        let z = cross(x, y);
        // The largest of the four terms is taken, so that nothing is divided by almost 0 (Shepperd 1978).
        let ([m00, m10, m20], [m01, m11, m21], [m02, m12, m22]) = (x, y, z);
        let candidates = [
            [1.0 + m00 - m11 - m22, m10 + m01, m02 + m20, m21 - m12],
            [m10 + m01, 1.0 - m00 + m11 - m22, m21 + m12, m02 - m20],
            [m02 + m20, m21 + m12, 1.0 - m00 - m11 + m22, m10 - m01],
            [m21 - m12, m02 - m20, m10 - m01, 1.0 + m00 + m11 + m22],
        ];
        let squared = |candidate: &[f64; 4]| candidate.iter().map(|value| value * value).sum::<f64>();
        candidates.into_iter().max_by(|a, b| squared(a).total_cmp(&squared(b))).map(Self::normalized)
    }

    fn axis_angle(self) -> [f64; 3] {
        let [x, y, z, w] = self.0;
        let w = w.clamp(-1.0, 1.0);
        let root = (1.0 - w * w).sqrt();
        if root == 0.0 { [0.0; 3] } else { [x, y, z].map(|value| value * 2.0 * w.acos() / root) }
    }

    fn euler_xyz(self) -> [f64; 3] {
        let [x, y, z, w] = self.0;
        let roll = (2.0 * (w * x + y * z)).atan2(1.0 - 2.0 * (x * x + y * y));
        let pitch = (2.0 * (w * y - z * x)).clamp(-1.0, 1.0).asin();
        let yaw = (2.0 * (w * z + x * y)).atan2(1.0 - 2.0 * (y * y + z * z));
        [roll, pitch, yaw]
    }

    fn normalized(xyzw: [f64; 4]) -> Rotation {
        let length = xyzw.iter().map(|value| value * value).sum::<f64>().sqrt();
        // A product of unit quaternions is normalised again without changing one that is exact already.
        if (length - 1.0).abs() <= f64::EPSILON { Rotation(xyzw) } else { Rotation(xyzw.map(|value| value / length)) }
    }
}

/// Length of a vector.
pub fn norm(vector: [f64; 3]) -> f64 {
    dot(vector, vector).sqrt()
}

/// Sum of two vectors.
pub fn sum([ax, ay, az]: [f64; 3], [bx, by, bz]: [f64; 3]) -> [f64; 3] {
    [ax + bx, ay + by, az + bz]
}

fn dot([ax, ay, az]: [f64; 3], [bx, by, bz]: [f64; 3]) -> f64 {
    ax * bx + ay * by + az * bz
}

fn cross([ax, ay, az]: [f64; 3], [bx, by, bz]: [f64; 3]) -> [f64; 3] {
    [ay * bz - az * by, az * bx - ax * bz, ax * by - ay * bx]
}

#[cfg(test)]
mod tests {
    use std::f64::consts::{FRAC_1_SQRT_2, FRAC_PI_2, PI};

    use RotationConvention::{AxisAngle, EulerXyz, QuaternionXyzw, Rotation6d};

    use super::*;

    fn rotation(xyzw: [f64; 4]) -> Rotation {
        Pose::new([0.0; 3], xyzw).unwrap().rotation
    }

    fn written(rotation: Rotation, convention: RotationConvention) -> Vec<f64> {
        (0..Rotation::width(convention)).map(|index| rotation.component(convention, index).unwrap()).collect()
    }

    fn assert_near(got: &[f64], want: &[f64]) {
        assert_eq!(got.len(), want.len());
        got.iter().zip(want).for_each(|(got, want)| assert!((got - want).abs() < 1e-9, "{got} {want}"));
    }

    #[test]
    fn axis_angle_keeps_the_sign_of_the_quaternion() {
        // acos(0.01) = 1.5607961601207294, and the root of 1 - w^2 is the length of x: 2 acos(w) about x.
        let x = (1.0_f64 - 1e-4).sqrt();
        assert_near(&written(rotation([x, 0.0, 0.0, 0.01]), AxisAngle), &[3.121_592_320_241_459, 0.0, 0.0]);
        assert_near(&written(rotation([x, 0.0, 0.0, -0.01]), AxisAngle), &[3.161_592_986_938_127_5, 0.0, 0.0]);
        assert_near(&written(rotation([-x, 0.0, 0.0, -0.01]), AxisAngle), &[-3.161_592_986_938_127_5, 0.0, 0.0]);
    }

    #[test]
    fn axis_angle_is_zero_only_where_the_root_is_exactly_zero() {
        assert_eq!(written(Rotation::NONE, AxisAngle), [0.0; 3]);
        assert_eq!(written(rotation([0.0, 0.0, 0.0, -1.0]), AxisAngle), [0.0; 3]);
        // sin and cos of 1e-4 rad about y; the root has half the digits left.
        let tiny = rotation([0.0, 1e-4, 0.0, 0.999_999_995]);
        assert!((written(tiny, AxisAngle)[1] - 2e-4).abs() < 1e-11);
    }

    #[test]
    fn euler_angles_are_about_fixed_axes_x_first() {
        // A quarter turn about x, then one about z, takes y to z, then leaves it there; and x to y.
        let turned = Rotation::read(EulerXyz, &[FRAC_PI_2, 0.0, FRAC_PI_2]).unwrap();
        assert_near(&turned.turn([0.0, 1.0, 0.0]), &[0.0, 0.0, 1.0]);
        assert_near(&turned.turn([1.0, 0.0, 0.0]), &[0.0, 1.0, 0.0]);
        assert_near(&written(turned, Rotation6d), &[0.0, 1.0, 0.0, 0.0, 0.0, 1.0]);
        assert_near(&turned.xyzw(), &[0.5, 0.5, 0.5, 0.5]);
    }

    #[test]
    fn every_convention_reads_what_it_writes() {
        for xyzw in [[0.1, -0.5, 0.7, 0.5], [0.8, 0.2, -0.4, -0.4], [-0.1, 0.3, 0.9, 0.3], [0.6, -0.8, 0.0, 0.0]] {
            let length = xyzw.iter().map(|v: &f64| v * v).sum::<f64>().sqrt();
            let turned = rotation(xyzw.map(|value| value / length));
            for convention in [AxisAngle, EulerXyz, QuaternionXyzw, Rotation6d] {
                let read = Rotation::read(convention, &written(turned, convention)).unwrap();
                assert!(read.angle_to(turned) < 1e-7, "{convention:?} {xyzw:?}");
            }
            assert_near(
                &Rotation::read(AxisAngle, &turned.vector()).unwrap().turn([1.0, 2.0, 3.0]),
                &turned.turn([1.0, 2.0, 3.0]),
            );
        }
    }

    #[test]
    fn a_quaternion_of_a_network_is_made_as_long_as_one() {
        assert_near(&Rotation::read(QuaternionXyzw, &[0.0, -1.8, 0.0, 2.4]).unwrap().xyzw(), &[0.0, -0.6, 0.0, 0.8]);
    }

    #[test]
    fn the_sign_of_a_quaternion_is_the_nearer_one_and_turns_the_same_way() {
        let (one, other) = (rotation([0.6, 0.0, 0.0, 0.8]), rotation([0.8, 0.0, 0.0, 0.6]));
        assert_eq!(one.nearer_to(other), one);
        let back = rotation([-0.8, 0.0, 0.0, -0.6]);
        assert_eq!(one.nearer_to(back).xyzw(), [-0.6, 0.0, 0.0, -0.8]);
        assert_near(&one.nearer_to(back).turn([1.0, 2.0, 3.0]), &one.turn([1.0, 2.0, 3.0]));
    }

    #[test]
    fn numbers_that_are_no_rotation_are_none() {
        assert_eq!(Rotation::read(QuaternionXyzw, &[0.0; 4]), None);
        assert_eq!(Rotation::read(Rotation6d, &[1.0, 0.0, 0.0, 2.0, 0.0, 0.0]), None);
        assert_eq!(Rotation::read(AxisAngle, &[0.0, f64::INFINITY, 0.0]), None);
        assert_eq!(Rotation::read(AxisAngle, &[0.0; 4]), None);
        assert_eq!(Rotation::NONE.component(EulerXyz, 3), None);
    }

    #[test]
    fn a_pose_that_nobody_filled_is_refused() {
        assert_eq!(Pose::new([0.0; 3], [0.0; 4]).unwrap_err().to_string(), "the quaternion's length is 0, wanted 1");
        assert_eq!(Pose::new([f64::NAN, 0.0, 0.0], [0.0, 0.0, 0.0, 1.0]), Err(PoseError::NotFinite));
        assert_eq!(Pose::new([0.0; 3], [0.0, 0.0, 0.0, 1.005]).unwrap().rotation, Rotation::NONE);
    }

    #[test]
    fn poses_chain_and_undo_each_other() {
        // Half way round z at (1, 2, 3); 0.5 ahead of it is 0.5 behind.
        let base = Pose::new([1.0, 2.0, 3.0], [0.0, 0.0, 1.0, 0.0]).unwrap();
        let tool = Pose::new([0.5, 0.0, 0.25], [FRAC_1_SQRT_2, 0.0, 0.0, FRAC_1_SQRT_2]).unwrap();
        let chained = base.then(&tool);
        assert_near(&chained.position, &[0.5, 2.0, 3.25]);
        assert_near(&chained.rotation.xyzw(), &[0.0, FRAC_1_SQRT_2, FRAC_1_SQRT_2, 0.0]);
        let back = base.inverse().then(&chained);
        assert_near(&back.position, &tool.position);
        assert!(back.rotation.angle_to(tool.rotation) < 1e-9);
    }

    #[test]
    fn the_angle_between_rotations_ignores_the_sign_of_a_quaternion() {
        let (quarter, back) = (rotation([0.0, 0.0, FRAC_1_SQRT_2, FRAC_1_SQRT_2]), rotation([0.0, 0.0, 0.0, -1.0]));
        assert!((quarter.angle_to(back) - FRAC_PI_2).abs() < 1e-12);
        assert!((rotation([1.0, 0.0, 0.0, 0.0]).angle_to(Rotation::NONE) - PI).abs() < 1e-12);
        assert_near(&rotation([0.0, 0.0, -FRAC_1_SQRT_2, -FRAC_1_SQRT_2]).vector(), &[0.0, 0.0, FRAC_PI_2]);
    }
}
