//! Sessions + rules + workload become a plan: what every virtual user sends, and when.
//!
//! Pure and seeded: same input, same plan. Knows no sockets and no wall clock.

mod build;
mod compile;
mod page;
mod random;
mod resolve;
mod script;
mod template;
#[cfg(test)]
mod tests;
mod users;
mod workload;

pub use crate::model::DataTable;
pub use crate::rules::fold_path;
pub use build::{PlanError, endpoint_name, path_fits, plan};
pub use page::page_kind;
pub use random::SplitMix;
pub use script::{Expectation, Extraction, PageKind, Plan, PlannedUser, Script, Skipped, Step};
pub use template::{BodyTemplate, ColumnId, Encoding, Generator, Piece, Template, Values, VariableId, render_all};
pub use workload::{Speed, Target, Users, Workload};
