//! Sessions + rules + workload become a plan: what every virtual user sends, and when.
//!
//! Pure and seeded: same input, same plan. Knows no sockets and no wall clock.

mod build;
mod script;
mod template;
mod workload;

pub use build::{PlanError, plan};
pub use script::{Expectation, Extraction, PageKind, Plan, PlannedUser, Script, Skipped, Step};
pub use template::{BodyTemplate, ColumnId, Encoding, Generator, Piece, Template, Values, VariableId};
pub use workload::{DataTable, Speed, Target, Users, Workload};
