//! A program that sends nothing.

use std::sync::Arc;

use opentelemetry_sdk::metrics::MeterProviderBuilder;
use waxwing_engine::port::Observe;
use waxwing_event::AppName;

use super::OtlpError;
use crate::assemble::Showing;

/// There is none.
pub enum Otlp {}

impl Otlp {
    /// An error.
    pub fn new(address: &str, _: &AppName, _: &str) -> Result<Otlp, OtlpError> {
        Err(OtlpError::Without(address.to_owned()))
    }

    /// Never asked.
    pub fn observer(&self) -> Arc<dyn Observe> {
        match *self {}
    }

    /// Never asked.
    pub fn reads(&self, _: MeterProviderBuilder) -> Result<MeterProviderBuilder, OtlpError> {
        match *self {}
    }

    /// Never asked.
    pub fn of(&self, _: Showing) {
        match *self {}
    }

    /// Never asked.
    pub fn end(&self) {
        match *self {}
    }
}
