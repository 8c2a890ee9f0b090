//! Header blocks of HTTP/2 as heads of the model: pseudo-header fields taken apart (RFC 9113 §8.3), fields that cannot be
//! known said.

use crate::model::{Headers, Remark, Side};
use crate::wire::http2::Field;

/// A header block taken apart.
#[derive(Debug, Default)]
pub(super) struct Head {
    pub(super) method: Option<Vec<u8>>,
    pub(super) path: Option<Vec<u8>>,
    pub(super) authority: Option<Vec<u8>>,
    pub(super) protocol: Option<Vec<u8>>,
    pub(super) status: Option<u16>,
    /// There is a `:status`, known or not.
    pub(super) has_status: bool,
    /// The fields that are no pseudo-header fields and wholly known.
    pub(super) headers: Headers,
    /// The fields that are not.
    pub(super) unknown: Vec<Remark>,
}

impl Head {
    /// The fields that `side` sent.
    pub(super) fn of(side: Side, fields: Vec<Field>) -> Self {
        let mut head = Self { headers: Headers(Vec::with_capacity(fields.len())), ..Self::default() };
        for (position, field) in (0..).zip(fields) {
            head.has_status |= field.name.as_deref() == Some(b":status");
            match field {
                Field { name: Some(name), value: Some(value) } => head.take(name, value),
                Field { name, .. } => head.unknown.push(Remark::UnknownField { side, position, name }),
            }
        }
        head
    }

    fn take(&mut self, name: Vec<u8>, value: Vec<u8>) {
        match name.as_slice() {
            b":method" => self.method = Some(value),
            b":path" => self.path = Some(value),
            b":authority" => self.authority = Some(value),
            b":protocol" => self.protocol = Some(value),
            b":status" => self.status = std::str::from_utf8(&value).ok().and_then(|text| text.parse().ok()),
            b":scheme" => {}
            _ => self.headers.0.push((name, value)),
        }
    }
}

/// Name of an error code (RFC 9113 §7).
pub(super) fn code_name(code: u32) -> String {
    const NAMES: [&str; 14] = [
        "NO_ERROR",
        "PROTOCOL_ERROR",
        "INTERNAL_ERROR",
        "FLOW_CONTROL_ERROR",
        "SETTINGS_TIMEOUT",
        "STREAM_CLOSED",
        "FRAME_SIZE_ERROR",
        "REFUSED_STREAM",
        "CANCEL",
        "COMPRESSION_ERROR",
        "CONNECT_ERROR",
        "ENHANCE_YOUR_CALM",
        "INADEQUATE_SECURITY",
        "HTTP_1_1_REQUIRED",
    ];
    let name = usize::try_from(code).ok().and_then(|at| NAMES.get(at));
    name.map_or_else(|| format!("error code {code:#x}"), |name| (*name).to_owned())
}
