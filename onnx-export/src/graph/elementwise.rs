//! Operators from number to number beside those that every network has.

use super::{Builder, GraphError, Node, Value};

impl Builder<'_, '_> {
    /// `a / b`, shapes broadcast as in numpy.
    ///
    /// # Errors
    /// Shapes that do not broadcast.
    pub fn div(&mut self, label: &str, a: &Value, b: &Value) -> Result<Value, GraphError> {
        self.elementwise(label, "Div", a, b)
    }

    /// Square root.
    ///
    /// # Errors
    /// A name that is taken.
    pub fn sqrt(&mut self, label: &str, x: &Value) -> Result<Value, GraphError> {
        self.unary(label, "Sqrt", x)
    }

    /// Numbers kept between two bounds.
    ///
    /// # Errors
    /// A name that is taken.
    pub fn clip(&mut self, label: &str, x: &Value, [low, high]: [f32; 2]) -> Result<Value, GraphError> {
        let low = self.float(&format!("{label}.low"), low)?;
        let high = self.float(&format!("{label}.high"), high)?;
        self.emit(label, Node::plain("Clip", &[x, &low, &high]), x.dtype, x.dims.clone())
    }
}
