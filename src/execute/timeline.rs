//! What is to be executed, over executed time: the rows of the chunks that are in force, and the path between them.

use serde::{Deserialize, Serialize};

use crate::time::Span;

/// How the values of an output go from one row to the next.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum Form {
    /// They stay until the next row.
    Held,
    /// Along the natural cubic spline through the rows: position, velocity and acceleration go on without a jump.
    Path,
    /// x, y and z as a path, then the quaternion x, y, z, w straight from row to row.
    Pose,
}

/// Form and number of values of every output; a row holds all their values, one output after the other.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct Layout(pub Vec<(Form, usize)>);

/// Rows in order of their time, and what they were made of.
#[derive(Debug)]
pub struct Timeline {
    layout: Layout,
    width: usize,
    action_dt: Span,
    /// Rising.
    times: Vec<Span>,
    /// Row-major.
    values: Vec<f64>,
    /// Second derivative of every value that is on a path, per second squared; row-major.
    bends: Vec<f64>,
    /// Predictions that were merged into each row.
    predictions: Vec<u32>,
}

/// The rows of a timeline; how they are laid out is not in it.
#[derive(Clone, Debug, Default, PartialEq, Serialize, Deserialize)]
pub struct TimelineState {
    times: Vec<Span>,
    values: Vec<f64>,
    predictions: Vec<u32>,
}

impl Timeline {
    /// Nothing to do, in rows of this layout.
    pub fn new(layout: Layout, action_dt: Span) -> Self {
        let width = layout.0.iter().map(|(_, width)| width).sum();
        let (times, values, bends, predictions) = (Vec::new(), Vec::new(), Vec::new(), Vec::new());
        Self { layout, width, action_dt, times, values, bends, predictions }
    }

    /// What is to be executed, as a value.
    pub fn state(&self) -> TimelineState {
        let Self { times, values, predictions, .. } = self;
        TimelineState { times: times.clone(), values: values.clone(), predictions: predictions.clone() }
    }

    /// Goes on from a state; false where its rows are not of this layout, and then nothing is to be done.
    pub fn resume(&mut self, state: TimelineState) -> bool {
        self.clear();
        let rows = state.times.len();
        if state.values.len() != rows * self.width || state.predictions.len() != rows {
            return false;
        }
        (self.times, self.values, self.predictions) = (state.times, state.values, state.predictions);
        self.bend();
        true
    }

    /// Values in a row.
    pub fn width(&self) -> usize {
        self.width
    }

    /// When there is nothing more to do: an action's length behind the last row.
    pub fn end(&self) -> Option<Span> {
        self.times.last().map(|last| *last + self.action_dt)
    }

    /// The last row, and when it is due.
    pub fn last(&self) -> Option<(Span, &[f64])> {
        Some((*self.times.last()?, self.values.get(self.values.len() - self.width..)?))
    }

    /// Rows that are still to come at `now`, parts of rows included.
    pub fn left(&self, now: Span) -> f64 {
        self.end().map_or(0.0, |end| (end - now).max(Span::ZERO).secs() / self.action_dt.secs())
    }

    /// Forgets everything.
    pub fn clear(&mut self) {
        self.times.clear();
        self.values.clear();
        self.bends.clear();
        self.predictions.clear();
    }

    /// Puts fresh rows (`fresh` holds their values, row-major; they are an action's length apart) in the place of what
    /// there is from the first of them on. `blend` says how much the old prediction of a row and the fresh one weigh.
    ///
    /// Where the first fresh row is past at `now`, what is held stays as it is until the next one.
    pub fn splice(&mut self, now: Span, first: Span, fresh: &[f64], blend: impl Fn(u32) -> [f64; 2]) {
        let rows = fresh.len() / self.width.max(1);
        let times: Vec<Span> = (0..rows).map(|row| first + self.action_dt.times(row as i64)).collect();
        let (mut values, mut predictions) = (fresh.to_vec(), vec![1; rows]);
        for ((time, row), count) in times.iter().zip(values.chunks_exact_mut(self.width)).zip(&mut predictions) {
            self.merge(*time, row, count, &blend);
        }
        if first < now
            && let Some(row) = values.get_mut(..self.width)
        {
            self.keep_held(now, row);
        }
        // Of the past only the row in force is needed, and only where no fresh one takes its place.
        let past = self.times.partition_point(|time| *time <= now).saturating_sub(1);
        let kept = past..self.times.partition_point(|time| *time < first).max(past);
        let cells = kept.start * self.width..kept.end * self.width;
        self.times = self.times.get(kept.clone()).unwrap_or_default().iter().copied().chain(times).collect();
        self.values = self.values.get(cells).unwrap_or_default().iter().copied().chain(values).collect();
        self.predictions = self.predictions.get(kept).unwrap_or_default().iter().copied().chain(predictions).collect();
        self.bend();
    }

    /// The values at `now`; false before the first row and after the end, where nothing is to be done.
    pub fn sample(&self, now: Span, values: &mut [f64]) -> bool {
        let is_over = self.end().is_none_or(|end| now >= end);
        let Some(row) = self.times.partition_point(|time| *time <= now).checked_sub(1) else { return false };
        if is_over {
            return false;
        }
        let mut column = 0;
        for (form, width) in &self.layout.0 {
            let (paths, straights) = match form {
                Form::Held => (0, 0),
                Form::Path => (*width, 0),
                Form::Pose => (3, width.saturating_sub(3)),
            };
            for (place, value) in values.iter_mut().enumerate().skip(column).take(*width) {
                *value = if place < column + paths {
                    self.on_path(row, place, now)
                } else if straights > 0 {
                    self.straight(row, place, now)
                } else {
                    self.cell(&self.values, row, place)
                };
            }
            if straights > 0
                && let Some(quaternion) = values.get_mut(column + paths..column + width)
            {
                normalize(quaternion);
            }
            column += width;
        }
        true
    }

    /// Time and values of the rows that are due from `from` on and before `until`.
    pub fn rows(&self, from: Span, until: Span) -> impl Iterator<Item = (Span, &[f64])> {
        let rows = self.times.iter().copied().zip(self.values.chunks_exact(self.width.max(1)));
        rows.filter(move |(time, _)| from <= *time && *time < until)
    }

    /// Merges what is predicted already for `time` into a fresh row.
    fn merge(&self, time: Span, row: &mut [f64], count: &mut u32, blend: &impl Fn(u32) -> [f64; 2]) {
        let mut old = vec![0.0; self.width];
        if !self.sample(time, &mut old) {
            return;
        }
        let merged = self.times.partition_point(|known| *known <= time).saturating_sub(1);
        let before = self.predictions.get(merged).copied().unwrap_or(1);
        let [weight, fresh] = blend(before);
        if weight == 0.0 {
            return;
        }
        *count = before + 1;
        let mut column = 0;
        for (form, width) in &self.layout.0 {
            let end = column + width;
            let (Some(old), Some(row)) = (old.get_mut(column..end), row.get_mut(column..end)) else { return };
            if *form == Form::Pose
                && let (Some(old), Some(row)) = (old.get_mut(3..), row.get(3..))
            {
                nearer(old, row);
            }
            row.iter_mut().zip(&*old).for_each(|(value, old)| *value = weight * old + fresh * *value);
            if *form == Form::Pose
                && let Some(quaternion) = row.get_mut(3..)
            {
                normalize(quaternion);
            }
            column = end;
        }
    }

    /// A row that is past does not begin what is held.
    fn keep_held(&self, now: Span, row: &mut [f64]) {
        let mut old = vec![0.0; self.width];
        if !self.sample(now, &mut old) {
            return;
        }
        let mut column = 0;
        for (form, width) in &self.layout.0 {
            if *form == Form::Held
                && let (Some(row), Some(old)) = (row.get_mut(column..column + width), old.get(column..column + width))
            {
                row.copy_from_slice(old);
            }
            column += width;
        }
    }

    fn cell(&self, of: &[f64], row: usize, column: usize) -> f64 {
        of.get(row * self.width + column).copied().unwrap_or(f64::NAN)
    }

    /// Share of the way from `row` to the next one, and its length in seconds; `None` behind the last row.
    fn share(&self, row: usize, now: Span) -> Option<(f64, f64)> {
        let (from, to) = (self.times.get(row)?, self.times.get(row + 1)?);
        let length = (*to - *from).secs();
        Some(((now - *from).secs() / length, length))
    }

    fn straight(&self, row: usize, column: usize, now: Span) -> f64 {
        let from = self.cell(&self.values, row, column);
        let Some((share, _)) = self.share(row, now) else { return from };
        from + share * (self.cell(&self.values, row + 1, column) - from)
    }

    /// The cubic between two rows, by the values and second derivatives at both.
    fn on_path(&self, row: usize, column: usize, now: Span) -> f64 {
        let from = self.cell(&self.values, row, column);
        let Some((share, length)) = self.share(row, now) else { return from };
        let to = self.cell(&self.values, row + 1, column);
        let (bend, bend_to) = (self.cell(&self.bends, row, column), self.cell(&self.bends, row + 1, column));
        let rest = 1.0 - share;
        let bent = (rest.powi(3) - rest) * bend + (share.powi(3) - share) * bend_to;
        rest * from + share * to + bent * length * length / 6.0
    }

    /// The second derivatives of the natural spline (0 at both ends): Thomas' algorithm, all columns at once.
    fn bend(&mut self) {
        let rows = self.times.len();
        self.bends.clear();
        self.bends.resize(self.values.len(), 0.0);
        if rows < 3 {
            return;
        }
        let lengths: Vec<f64> = self.times.windows(2).map(|pair| (pair[1] - pair[0]).secs()).collect();
        let (values, width) = (&self.values, self.width);
        let slope = |row: usize, column: usize| {
            (values[(row + 1) * width + column] - values[row * width + column]) / lengths[row]
        };
        let mut factors = vec![0.0; rows];
        for row in 1..rows - 1 {
            let (before, after) = (lengths[row - 1], lengths[row]);
            let pivot = 2.0 * (before + after) - before * factors[row - 1];
            factors[row] = after / pivot;
            for column in 0..self.width {
                let bend = 6.0 * (slope(row, column) - slope(row - 1, column));
                let above = self.bends[(row - 1) * self.width + column];
                self.bends[row * self.width + column] = (bend - before * above) / pivot;
            }
        }
        for row in (1..rows - 1).rev() {
            for column in 0..self.width {
                let below = self.bends[(row + 1) * self.width + column];
                self.bends[row * self.width + column] -= factors[row] * below;
            }
        }
    }
}

/// Of the two quaternions of a rotation the one that is nearer to `other`.
fn nearer(quaternion: &mut [f64], other: &[f64]) {
    let product: f64 = quaternion.iter().zip(other).map(|(a, b)| a * b).sum();
    if product < 0.0 {
        for value in quaternion {
            *value = -*value;
        }
    }
}

fn normalize(quaternion: &mut [f64]) {
    let length = quaternion.iter().map(|value| value * value).sum::<f64>().sqrt();
    for value in quaternion {
        *value /= length;
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    fn ms(millis: f64) -> Span {
        Span::from_millis(millis)
    }

    fn timeline(forms: &[(Form, usize)]) -> Timeline {
        Timeline::new(Layout(forms.to_vec()), ms(100.0))
    }

    fn latest(_: u32) -> [f64; 2] {
        [0.0, 1.0]
    }

    fn at(timeline: &Timeline, millis: f64) -> Option<Vec<f64>> {
        let mut values = vec![0.0; timeline.width];
        timeline.sample(ms(millis), &mut values).then_some(values)
    }

    fn near(got: Option<Vec<f64>>, want: &[f64]) {
        let got = got.expect("something to do");
        assert_eq!(got.len(), want.len());
        got.iter().zip(want).for_each(|(got, want)| assert!((got - want).abs() < 1e-9, "{got} {want}"));
    }

    #[test]
    fn a_path_is_the_natural_spline_through_its_rows() {
        let mut timeline = timeline(&[(Form::Path, 2)]);
        // By hand, per row: second derivatives 0, -6.8, 9.2, 0; the second value is a straight line.
        timeline.splice(ms(0.0), ms(0.0), &[0.0, 3.0, 1.0, 3.5, -1.0, 4.0, 2.0, 4.5], latest);
        near(at(&timeline, 0.0), &[0.0, 3.0]);
        near(at(&timeline, 50.0), &[0.925, 3.25]);
        near(at(&timeline, 150.0), &[-0.15, 3.75]);
        near(at(&timeline, 225.0), &[-0.753_125, 4.125]);
        near(at(&timeline, 300.0), &[2.0, 4.5]);
        // An action's length behind the last row it is over.
        near(at(&timeline, 399.0), &[2.0, 4.5]);
        assert_eq!((at(&timeline, 400.0), at(&timeline, -1.0)), (None, None));
        assert!((timeline.left(ms(225.0)) - 1.75).abs() < 1e-12);
    }

    #[test]
    fn what_is_held_stays_until_the_next_row_and_begins_with_none_of_the_past() {
        let mut timeline = timeline(&[(Form::Held, 1)]);
        timeline.splice(ms(0.0), ms(0.0), &[1.0, 2.0, 3.0], latest);
        near(at(&timeline, 199.0), &[2.0]);
        timeline.splice(ms(130.0), ms(110.0), &[7.0, 8.0], latest);
        near(at(&timeline, 130.0), &[2.0]);
        near(at(&timeline, 210.0), &[8.0]);
        assert_eq!(
            timeline.rows(ms(130.0), ms(400.0)).map(|(time, row)| (time, row[0])).collect::<Vec<_>>(),
            [(ms(210.0), 8.0)]
        );
    }

    #[test]
    fn old_rows_stay_until_the_first_fresh_one() {
        let mut timeline = timeline(&[(Form::Held, 1)]);
        timeline.splice(ms(0.0), ms(0.0), &[1.0, 2.0, 3.0], latest);
        timeline.splice(ms(20.0), ms(150.0), &[9.0, 10.0], latest);
        let rows: Vec<_> = timeline.rows(ms(-1e3), ms(1e3)).map(|(time, row)| (time.millis(), row[0])).collect();
        assert_eq!(rows, [(0.0, 1.0), (100.0, 2.0), (150.0, 9.0), (250.0, 10.0)]);
    }

    #[test]
    fn overlapping_predictions_are_weighed_and_counted() {
        let mut timeline = timeline(&[(Form::Held, 1)]);
        timeline.splice(ms(0.0), ms(0.0), &[1.0, 2.0, 4.0], latest);
        let seen = std::cell::RefCell::new(Vec::new());
        let blend = |count| {
            seen.borrow_mut().push(count);
            [0.25, 0.75]
        };
        timeline.splice(ms(100.0), ms(100.0), &[6.0, 8.0, 10.0], blend);
        let rows: Vec<_> = timeline.rows(ms(0.0), ms(1e3)).map(|(time, row)| (time.millis(), row[0])).collect();
        // The last fresh row meets no old one.
        assert_eq!(rows, [(100.0, 5.0), (200.0, 7.0), (300.0, 10.0)]);
        timeline.splice(ms(200.0), ms(200.0), &[1.0, 1.0], blend);
        assert_eq!(*seen.borrow(), [1, 1, 2, 1]);
    }

    #[test]
    fn a_turn_goes_the_short_way_and_stays_a_rotation() {
        let mut timeline = timeline(&[(Form::Pose, 7)]);
        let half = std::f64::consts::FRAC_1_SQRT_2;
        let (still, quarter) = ([0.1, 0.2, 0.3, 0.0, 0.0, 0.0, 1.0], [0.3, 0.2, 0.1, 0.0, 0.0, half, half]);
        timeline.splice(ms(0.0), ms(0.0), &[still, quarter].concat(), latest);
        let eighth = (std::f64::consts::PI / 8.0).sin_cos();
        near(at(&timeline, 50.0), &[0.2, 0.2, 0.2, 0.0, 0.0, eighth.0, eighth.1]);
        // The same rotation by its other quaternion.
        let other = [0.3, 0.2, 0.1, 0.0, 0.0, -half, -half];
        timeline.splice(ms(0.0), ms(100.0), &[other].concat(), |_| [0.5, 0.5]);
        let turned = at(&timeline, 100.0).unwrap();
        assert!((turned[5].abs() - half).abs() < 1e-12 && (turned[5] - turned[6]).abs() < 1e-12, "{turned:?}");
    }
}
