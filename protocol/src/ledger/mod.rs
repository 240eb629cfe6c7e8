//! The ledger's rules: which answer a request gets, and what it moves (DESIGN section 6). Pure: state in, decision out.

pub mod account;
pub mod decision;
pub mod instrument;
pub mod posting;
