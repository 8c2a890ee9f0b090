//! Whoever has a say in what of the traffic goes into the capture, and under which names.

use crate::model::Exchange;

/// Whether an exchange goes into the capture.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum Verdict {
    /// It does.
    Keep,
    /// It does not; what still comes of it is read and forgotten.
    LeaveOut,
}

/// Curates exchanges on their way to the capture. An exchange that was left out is not asked about again.
pub trait Curator: std::fmt::Debug + Send {
    /// Its request's head is known.
    fn begun(&mut self, exchange: &mut Exchange) -> Verdict;
    /// Its final response's head is known.
    fn answered(&mut self, exchange: &mut Exchange) -> Verdict;
    /// It is over, as the capture has it if it took it.
    fn over(&mut self, exchange: &Exchange);
}
