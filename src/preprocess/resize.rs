//! Scaling to a size, with the filter and arithmetic that the manifest names.

use vla_bundle::ResizeKernel;

use super::lanczos3::Lanczos3;
use super::picture::Picture;
use super::pil::{self, PilResize};
use crate::types::Pinhole;

/// Scales pictures; a picture of the wanted size stays as it is.
pub struct Resize {
    target: Target,
    kernel: Kernel,
}

/// What size a picture gets.
#[derive(Clone, Copy)]
pub enum Target {
    /// This width and height.
    Exactly([u32; 2]),
    /// This many pixels on the shorter side, the aspect kept.
    ShortSide(u32),
}

enum Kernel {
    Lanczos3(Lanczos3),
    Pil(PilResize),
}

impl Resize {
    /// To `target` with `kernel`.
    pub fn new(target: Target, kernel: ResizeKernel) -> Self {
        let kernel = match kernel {
            ResizeKernel::Lanczos3Tf => Kernel::Lanczos3(Lanczos3::default()),
            ResizeKernel::BilinearPil => Kernel::Pil(PilResize::new(pil::BILINEAR)),
            ResizeKernel::BicubicPil => Kernel::Pil(PilResize::new(pil::BICUBIC)),
            ResizeKernel::LanczosPil => Kernel::Pil(PilResize::new(pil::LANCZOS)),
        };
        Self { target, kernel }
    }

    /// The camera of the scaled picture.
    pub fn pinhole(&self, from: Pinhole) -> Pinhole {
        from.scaled_to(self.target.size(from.size))
    }

    /// Writes the scaled `input` to `output`.
    pub fn apply(&mut self, input: &Picture, output: &mut Picture) {
        let [width, height] = self.target.size([input.width, input.height]);
        if [width, height] == [input.width, input.height] {
            output.clone_from(input);
            return;
        }
        output.resize(width, height);
        match &mut self.kernel {
            Kernel::Lanczos3(resize) => resize.apply(input, output),
            Kernel::Pil(resize) => resize.apply(input, output),
        }
    }
}

impl Target {
    /// Width and height that a picture of `width` x `height` gets. The longer side is rounded down, as torchvision does.
    pub fn size(self, [width, height]: [u32; 2]) -> [u32; 2] {
        let scale = |short: u32, size: u32, long: u32| (u64::from(size) * u64::from(long) / u64::from(short)) as u32;
        match self {
            Target::Exactly(size) => size,
            Target::ShortSide(size) if width <= height => [size, scale(width, size, height)],
            Target::ShortSide(size) => [scale(height, size, width), size],
        }
    }
}
