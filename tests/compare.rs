//! Results, comparison, reports.
