//! Requests with holes: constant bytes, and places filled from a virtual user's values.

use std::sync::Arc;

pub use crate::rules::{Encoding, GeneratorKind as Generator};

/// Index of a variable in its script.
#[derive(Clone, Copy, Debug, PartialEq, Eq, Hash)]
pub struct VariableId(pub u32);

/// Index of a column in the data table.
#[derive(Clone, Copy, Debug, PartialEq, Eq, Hash)]
pub struct ColumnId(pub u32);

/// A stretch of a request.
#[derive(Clone, Debug, PartialEq, Eq)]
pub enum Piece {
    /// As recorded.
    Literal(Arc<[u8]>),
    /// A variable's current value; `recorded` is sent when there is none yet (and the step counts as diverged).
    Variable {
        /// Which.
        id: VariableId,
        /// How it is written here.
        encode: Vec<Encoding>,
        /// What the recording had, not encoded.
        recorded: String,
    },
    /// A column of the user's data row.
    Column {
        /// Which.
        id: ColumnId,
        /// How it is written here.
        encode: Vec<Encoding>,
    },
    /// A value made anew.
    Generated {
        /// Which kind.
        generator: Generator,
        /// How it is written here.
        encode: Vec<Encoding>,
    },
    /// Pieces that are encoded together (base64).
    Group {
        /// The coding around them.
        encode: Encoding,
        /// What is inside.
        inner: Vec<Piece>,
    },
}

/// A request body.
#[derive(Clone, Debug, PartialEq, Eq)]
pub enum BodyTemplate {
    /// No body and no Content-Length.
    None,
    /// Pieces; Content-Length is what they come to.
    Pieces(Vec<Piece>),
}

/// A request with holes. `Host`, `Cookie` (of the jar), `Content-Length` and `Connection` are not in `headers`; the
/// engine writes them.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct Template {
    /// Method.
    pub method: String,
    /// Target in origin form.
    pub target: Vec<Piece>,
    /// Fields in recorded order and case: name and value. May hold a `Cookie` field with cookies that no response set;
    /// the jar's cookies are joined to it with `; `.
    pub headers: Vec<(Vec<u8>, Vec<Piece>)>,
    /// Body.
    pub body: BodyTemplate,
}

/// What fills the holes: one virtual user's values.
pub trait Values {
    /// The current value of a variable.
    fn variable(&self, id: VariableId) -> Option<&str>;
    /// The user's value in a data column.
    fn column(&self, id: ColumnId) -> &str;
    /// A new value.
    fn generate(&mut self, generator: Generator) -> String;
}

impl Piece {
    /// Appends the piece to `out`. Returns false when a variable had no value and the recorded one was written.
    pub fn render(&self, values: &mut dyn Values, out: &mut Vec<u8>) -> bool {
        match self {
            Self::Literal(bytes) => {
                out.extend_from_slice(bytes);
                true
            }
            Self::Variable { id, encode, recorded } => {
                let value = values.variable(*id);
                out.extend_from_slice(Encoding::encode_all(encode, value.unwrap_or(recorded)).as_bytes());
                value.is_some()
            }
            Self::Column { id, encode } => {
                out.extend_from_slice(Encoding::encode_all(encode, values.column(*id)).as_bytes());
                true
            }
            Self::Generated { generator, encode } => {
                let value = values.generate(*generator);
                out.extend_from_slice(Encoding::encode_all(encode, &value).as_bytes());
                true
            }
            Self::Group { encode, inner } => {
                let mut inside = Vec::new();
                let fresh = render_all(inner, values, &mut inside);
                out.extend_from_slice(encode.encode(&String::from_utf8_lossy(&inside)).as_bytes());
                fresh
            }
        }
    }

    /// The variables this piece is filled from.
    pub fn variables(&self) -> Vec<VariableId> {
        match self {
            Self::Variable { id, .. } => vec![*id],
            Self::Group { inner, .. } => inner.iter().flat_map(Piece::variables).collect(),
            Self::Literal(_) | Self::Column { .. } | Self::Generated { .. } => Vec::new(),
        }
    }
}

/// Appends all pieces to `out`. False when any of them wrote a recorded value for want of a new one.
pub fn render_all(pieces: &[Piece], values: &mut dyn Values, out: &mut Vec<u8>) -> bool {
    let mut fresh = true;
    for piece in pieces {
        fresh &= piece.render(values, out);
    }
    fresh
}

#[cfg(test)]
mod tests {
    use super::*;

    struct Fixed;

    impl Values for Fixed {
        fn variable(&self, id: VariableId) -> Option<&str> {
            (id.0 == 0).then_some("a b")
        }
        fn column(&self, _: ColumnId) -> &str {
            "user02"
        }
        fn generate(&mut self, _: Generator) -> String {
            "17".to_owned()
        }
    }

    #[test]
    fn pieces_are_filled_and_encoded() {
        let variable =
            |id| Piece::Variable { id: VariableId(id), encode: vec![Encoding::UrlForm], recorded: "old&".into() };
        let pieces = [
            Piece::Literal(b"x=".as_slice().into()),
            variable(0),
            Piece::Column { id: ColumnId(0), encode: vec![Encoding::Capital] },
            Piece::Generated { generator: Generator::UnixMillis, encode: vec![] },
            Piece::Group {
                encode: Encoding::Base64,
                inner: vec![Piece::Column { id: ColumnId(0), encode: vec![] }, Piece::Literal(b":p".as_slice().into())],
            },
        ];
        let mut out = Vec::new();
        assert!(render_all(&pieces, &mut Fixed, &mut out));
        assert_eq!(String::from_utf8(out).unwrap(), "x=a+bUser0217dXNlcjAyOnA=");
        let mut out = Vec::new();
        assert!(!variable(1).render(&mut Fixed, &mut out), "no value: the recorded one is written, and it is said");
        assert_eq!(out, b"old%26");
    }
}
