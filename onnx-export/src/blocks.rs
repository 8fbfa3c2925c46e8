//! Network blocks: weights in, values out. No model names; what differs between models is an argument.

mod cached_llama;
mod decoder;
mod dit;
mod linear;
mod llama;
mod mlp;
mod mlp_resnet;
mod norm;
mod ray_vit;
mod routed_llama;
mod siglip;
mod vit;

pub use cached_llama::{Read, llama_read, llama_read_on};
pub use decoder::{Decoder, DecoderConfig, DecoderNorm, GateActivation, LayerOutput, Sees};
pub use dit::{DitBlock, DitConfig, DitContext, dit_memory};
pub use linear::{linear, linear_unbiased};
pub use llama::{LlamaConfig, llama};
pub use mlp::{gelu_mlp, sequential_mlp};
pub use mlp_resnet::{MlpResnetConfig, mlp_resnet};
pub use norm::{layer_norm, rms_norm};
pub use ray_vit::{RayVitConfig, ray_vit, rays};
pub use routed_llama::{Condition, Routed, Routing, routed_llama};
pub use siglip::{SiglipConfig, siglip};
pub use vit::{VitConfig, VitInput, vit};
