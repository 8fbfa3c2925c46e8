//! forward_command_controller: the last values, for as long as nobody sends others.

use super::State;

/// Another number of values than the controller has interfaces; it drops the message.
#[derive(Clone, Copy, Debug, PartialEq, Eq, thiserror::Error)]
#[error("the command has {got} values, the controller takes {wanted}")]
pub struct WrongWidth {
    /// Values of the command.
    pub got: usize,
    /// Interfaces of the controller.
    pub wanted: usize,
}

/// A controller that commands what it is sent, at once, and goes on with it without end: it knows no timeout.
#[derive(Clone, Debug)]
pub struct ForwardController {
    values: Vec<f64>,
}

impl ForwardController {
    /// A controller whose interfaces hold `values`, one per joint.
    pub fn new(values: &[f64]) -> Self {
        Self { values: values.to_vec() }
    }

    /// Takes a message.
    ///
    /// # Errors
    /// A message of another width changes nothing.
    pub fn accept(&mut self, values: &[f64]) -> Result<(), WrongWidth> {
        let (got, wanted) = (values.len(), self.values.len());
        if got != wanted {
            return Err(WrongWidth { got, wanted });
        }
        self.values.copy_from_slice(values);
        Ok(())
    }

    /// What every control cycle commands; a step has no velocity that anybody could name, so the rest is 0.
    /// Does not allocate where `state` has the controller's size.
    pub fn sample(&self, state: &mut State) {
        state.resize(self.values.len());
        state.positions.copy_from_slice(&self.values);
        state.velocities.fill(0.0);
        state.accelerations.fill(0.0);
    }
}
