//! Messages to and from CDR bytes with their four-byte encapsulation header (OMG RTPS 2.5, section 10.2).

use byteorder::{BigEndian, LittleEndian};
use serde::{Deserialize, Serialize};

use super::{Message, TypeName};

/// Why bytes are not the message that they should be.
#[derive(Debug, thiserror::Error)]
pub enum CdrError {
    /// Not even a header.
    #[error("{message}: got {len} bytes, a CDR payload has at least 4")]
    NoHeader {
        /// What the bytes should have been.
        message: TypeName,
        /// How many there were.
        len: usize,
    },
    /// Another encoding.
    #[error("{message}: encapsulation {got:#06x} is not plain CDR, big-endian 0x0000 or little-endian 0x0001")]
    Encapsulation {
        /// What the bytes should have been.
        message: TypeName,
        /// The header's first two bytes.
        got: u16,
    },
    /// The fields do not fit the bytes.
    #[error("{message}: {len} bytes of CDR do not decode: {source}")]
    Decode {
        /// What the bytes should have been.
        message: TypeName,
        /// How many there were, header included.
        len: usize,
        /// What the decoder met.
        source: cdr_encoding::Error,
    },
}

/// Reads one message; bytes behind its last field are ignored, because writers pad.
///
/// Memory stays proportional to `payload`: a length field that promises more than there is ends in an error.
pub fn from_cdr<'a, M: Message + Deserialize<'a>>(payload: &'a [u8]) -> Result<M, CdrError> {
    let message = M::TYPE;
    let [kind_high, kind_low, _, _, body @ ..] = payload else {
        return Err(CdrError::NoHeader { message, len: payload.len() });
    };
    let decoded = match (kind_high, kind_low) {
        (0, 0) => cdr_encoding::from_bytes::<M, BigEndian>(body),
        (0, 1) => cdr_encoding::from_bytes::<M, LittleEndian>(body),
        _ => return Err(CdrError::Encapsulation { message, got: u16::from_be_bytes([*kind_high, *kind_low]) }),
    };
    decoded.map(|(value, _)| value).map_err(|source| CdrError::Decode { message, len: payload.len(), source })
}

/// Writes one message, little-endian.
///
/// # Panics
/// Never for the messages of this module.
pub fn to_cdr<M: Message + Serialize>(message: &M) -> Vec<u8> {
    let mut bytes = vec![0, 1, 0, 0];
    let body = cdr_encoding::to_vec::<M, LittleEndian>(message).expect("every sequence here knows its length");
    bytes.extend_from_slice(&body);
    bytes
}
