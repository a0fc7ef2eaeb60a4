//! The application as a process.

use super::config::Application;
use crate::node::process::Input;
use crate::proto::{Cx, Msg};

/// An application.
#[derive(Clone, Debug)]
pub struct App {
    config: Application,
}
impl App {
    /// An application with this configuration.
    pub fn new(config: Application) -> Self {
        App { config }
    }
    /// What it was before it was started.
    pub fn reset(&mut self) {
        *self = App::new(self.config.clone());
    }
    /// What it believes, in words.
    pub fn beliefs(&self) -> Vec<String> {
        Vec::new()
    }
    /// Handles one input.
    pub fn on(&mut self, _: Input<Msg>, _: &mut Cx<'_>) {}
}
