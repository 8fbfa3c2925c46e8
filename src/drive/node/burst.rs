//! A picture arrives as one burst of its whole size; what the kernel cannot queue is lost, and nobody says so.

use crate::drive::ros::largest_receive_buffer;

/// A raw picture of 640x480, twice.
const ENOUGH_FOR_A_PICTURE: usize = 2 << 20;

/// What to do about it.
const REMEDY: &str = "sysctl -w net.core.rmem_max=16777216";

/// Where raw pictures are expected and the kernel queues little, says so before the first is lost.
pub(super) fn warn_before_the_first() {
    if let Some(bytes) = largest_receive_buffer().filter(|bytes| *bytes < ENOUGH_FOR_A_PICTURE) {
        tracing::warn!(net_core_rmem_max = bytes, remedy = REMEDY, "raw pictures above half of this size will be lost");
    }
}

/// Watches the sizes of one camera's pictures.
pub(super) struct Burst {
    stream: String,
    /// Bytes that the kernel queues at most; `None` once told, or where nobody knows.
    limit: Option<usize>,
}

impl Burst {
    pub fn new(stream: &str) -> Self {
        Self { stream: stream.to_owned(), limit: largest_receive_buffer() }
    }

    /// Takes note of a picture's size, and warns once where pictures like it get lost.
    pub fn note(&mut self, bytes: usize) {
        if let Some(limit) = self.too_large(bytes) {
            let input = &self.stream;
            tracing::warn!(
                input,
                bytes,
                net_core_rmem_max = limit,
                remedy = REMEDY,
                "many pictures of this size are lost"
            );
        }
    }

    /// The limit, at the first picture that exceeds half of it.
    fn too_large(&mut self, bytes: usize) -> Option<usize> {
        self.limit.take_if(|limit| bytes > *limit / 2)
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn the_first_picture_above_half_of_the_buffer_is_told_and_no_other() {
        let mut burst = Burst { stream: "images.front".to_owned(), limit: Some(212_992) };
        assert_eq!(burst.too_large(106_496), None);
        assert_eq!(burst.too_large(106_497), Some(212_992));
        assert_eq!(burst.too_large(921_600), None);
    }
}
