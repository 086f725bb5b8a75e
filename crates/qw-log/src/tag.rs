//! Docker's tag templates: `{{.ImageName}}/{{.Name}}/{{.ID}}` and a container become a text.
//!
//! The language is that of Go's `text/template` with the fields and functions that Docker's log drivers
//! offer: fields, pipelines, variables, `if`, `with`, `range`, comments, trimmed white space. Not there
//! are named templates (`define`, `template`, `block`), `break` and `continue`, which a tag has no use
//! for. Source: moby/moby, `daemon/logger/loginfo.go` and `daemon/logger/templates`; Go, `text/template`.

mod container;
mod evaluate;
mod functions;
mod lex;
mod parse;
mod value;

use parse::Node;

pub use container::{Container, extra_attributes};

/// The template that Docker uses unless told otherwise.
pub const DEFAULT: &str = "{{.ID}}";

/// Longest template, in bytes.
const MAX_TEMPLATE: usize = 4096;
/// Longest text that comes of it, in bytes.
const MAX_OUTPUT: usize = 64 << 10;

/// A template that was read; rendered as often as wanted.
#[derive(Debug, Clone)]
pub struct Template {
    nodes: Vec<Node>,
    text: String,
}

impl Template {
    /// Reads a template.
    ///
    /// # Errors
    /// When it is not valid, or names a field or function that does not exist.
    pub fn parse(text: &str) -> Result<Self, TagError> {
        if text.len() > MAX_TEMPLATE {
            return Err(TagError::new(
                MAX_TEMPLATE,
                format!("the template is longer than {MAX_TEMPLATE} bytes"),
            ));
        }
        Ok(Self {
            nodes: parse::parse(text)?,
            text: text.to_owned(),
        })
    }

    /// The text for `container`.
    ///
    /// # Errors
    /// When a value is not of the kind that a function takes, or the text becomes too long.
    pub fn render(&self, container: &Container<'_>) -> Result<String, TagError> {
        evaluate::render(&self.nodes, container)
    }

    /// The template as it was written.
    pub fn as_str(&self) -> &str {
        &self.text
    }
}

/// What is wrong with a template, and where.
#[derive(Debug, Clone, PartialEq, Eq, thiserror::Error)]
#[error("tag template, byte {position}: {message}")]
pub struct TagError {
    /// The byte of the template, counted from 0, at which it was noticed.
    pub position: usize,
    /// What is wrong.
    pub message: String,
}

impl TagError {
    fn new(position: usize, message: impl Into<String>) -> Self {
        Self {
            position,
            message: message.into(),
        }
    }
}

#[cfg(test)]
mod tests;
