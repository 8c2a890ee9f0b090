//! Requests with holes: constant bytes, and places filled from a virtual user's values.

use std::sync::Arc;

/// Index of a variable in its script.
#[derive(Clone, Copy, Debug, PartialEq, Eq, Hash)]
pub struct VariableId(pub u32);

/// Index of a column in the data table.
#[derive(Clone, Copy, Debug, PartialEq, Eq, Hash)]
pub struct ColumnId(pub u32);

/// Values that the client makes anew.
#[derive(Clone, Copy, Debug, PartialEq, Eq, Hash)]
pub enum Generator {
    /// Random UUID (version 4), lower case.
    Uuid4,
    /// Seconds since the Unix epoch.
    UnixSeconds,
    /// Milliseconds since the Unix epoch.
    UnixMillis,
}

/// How a value is written where it stands; applied in order, innermost first.
#[derive(Clone, Copy, Debug, PartialEq, Eq, Hash)]
pub enum Encoding {
    /// Percent-encoding of a path segment.
    UrlPath,
    /// Percent-encoding of a query or form value, space as `%20`.
    UrlQuery,
    /// Percent-encoding of a form value, space as `+`.
    UrlForm,
    /// Inside a JSON string.
    JsonString,
    /// Inside HTML text or a quoted attribute.
    Html,
    /// Base64, standard alphabet, padded.
    Base64,
    /// Base64, URL alphabet, no padding.
    Base64Url,
    /// Lower case.
    Lower,
    /// Upper case.
    Upper,
    /// First letter in upper case, the rest as it is.
    Capital,
    /// Spaces become `_`.
    Underscore,
    /// The first so many characters.
    Prefix(u16),
}

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
    pub fn render(&self, _values: &mut dyn Values, _out: &mut Vec<u8>) -> bool {
        todo!()
    }
}
