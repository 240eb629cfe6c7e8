//! What people and programs are told.

pub mod charts;
pub mod compare;
pub mod html;
pub mod model;
pub mod text;
