//! One joint between two points: the polynomial of lowest degree that has what both points say.

/// What a joint does at one end.
#[derive(Clone, Copy, Debug)]
pub(super) struct End {
    position: f64,
    velocity: f64,
    acceleration: f64,
}

impl From<[f64; 3]> for End {
    fn from([position, velocity, acceleration]: [f64; 3]) -> Self {
        Self { position, velocity, acceleration }
    }
}

/// A polynomial in time, lowest power first.
#[derive(Clone, Copy, Debug)]
pub(super) struct Curve([f64; 6]);

impl Curve {
    pub const ZERO: Curve = Curve([0.0; 6]);

    /// Positions at both ends of `duration` seconds.
    pub fn linear(start: End, end: End, duration: f64) -> Self {
        let slope = if duration > 0.0 { (end.position - start.position) / duration } else { 0.0 };
        Self([start.position, slope, 0.0, 0.0, 0.0, 0.0])
    }

    /// Positions and velocities at both ends: the cubic Hermite polynomial.
    pub fn cubic(start: End, end: End, duration: f64) -> Self {
        let (mut square, mut cube) = (0.0, 0.0);
        if duration > 0.0 {
            let way = (end.position - start.position) / duration;
            square = (3.0 * way - 2.0 * start.velocity - end.velocity) / duration;
            cube = (start.velocity + end.velocity - 2.0 * way) / (duration * duration);
        }
        Self([start.position, start.velocity, square, cube, 0.0, 0.0])
    }

    /// Positions, velocities and accelerations at both ends: the quintic Hermite polynomial.
    pub fn quintic(start: End, end: End, duration: f64) -> Self {
        let half = 0.5 * start.acceleration;
        let mut high = [0.0; 3];
        if duration > 0.0 {
            // What the quadratic through the start misses at the end, in units of position.
            let t = duration;
            let place = end.position - (start.position + start.velocity * t + half * t * t);
            let speed = (end.velocity - (start.velocity + start.acceleration * t)) * t;
            let bend = (end.acceleration - start.acceleration) * t * t;
            let cube = t * t * t;
            high = [
                (10.0 * place - 4.0 * speed + 0.5 * bend) / cube,
                (-15.0 * place + 7.0 * speed - bend) / (cube * t),
                (6.0 * place - 3.0 * speed + 0.5 * bend) / (cube * t * t),
            ];
        }
        Self([start.position, start.velocity, half, high[0], high[1], high[2]])
    }

    /// Position, velocity and acceleration after `t` seconds.
    pub fn at(self, t: f64) -> [f64; 3] {
        let [a, b, c, d, e, f] = self.0;
        [
            a + t * (b + t * (c + t * (d + t * (e + t * f)))),
            b + t * (2.0 * c + t * (3.0 * d + t * (4.0 * e + t * 5.0 * f))),
            2.0 * c + t * (6.0 * d + t * (12.0 * e + t * 20.0 * f)),
        ]
    }
}
