//! From TOML text to a checked [`Experiment`].

use std::path::Path;

use toml::de::DeTable;

use super::check::check_table;
use super::lines::Lines;
use super::validate::validate;
use crate::json_schema::json_schema_experiment;
use crate::{Experiment, SchemaError};

impl Experiment {
    /// Reads and checks an experiment file.
    ///
    /// # Errors
    /// If the file cannot be read, or for the reasons of [`Experiment::parse`].
    pub fn load(path: impl AsRef<Path>) -> Result<Self, SchemaError> {
        let path = path.as_ref();
        let text = std::fs::read_to_string(path)
            .map_err(|source| SchemaError::Read { path: path.to_owned(), source })?;
        Self::parse(&text, &path.display().to_string())
    }

    /// Checks the text of an experiment file; `file` is its name in errors.
    ///
    /// # Errors
    /// If the text is not TOML, a key is unknown or missing, a value has the wrong type or range,
    /// or two keys contradict each other. Of several mistakes the first in the file is reported.
    pub fn parse(text: &str, file: &str) -> Result<Self, SchemaError> {
        let document = DeTable::parse(text).map_err(|error| syntax(text, file, &error))?;
        let lines = Lines::of(file, text, document.get_ref());
        let mistakes = check_table(document.get_ref(), &json_schema_experiment(), &lines);
        first(mistakes)?;
        let mut experiment: Self =
            toml::from_str(text).map_err(|error| syntax(text, file, &error))?;
        experiment.lines = lines;
        first(validate(&experiment))?;
        experiment.cells()?;
        Ok(experiment)
    }
}

fn first(mistakes: Vec<SchemaError>) -> Result<(), SchemaError> {
    mistakes.into_iter().min_by_key(SchemaError::line).map_or(Ok(()), Err)
}

fn syntax(text: &str, file: &str, error: &toml::de::Error) -> SchemaError {
    let offset = error.span().map_or(0, |span| span.start.min(text.len()));
    let line_start = text[..offset].rfind('\n').map_or(0, |newline| newline + 1);
    SchemaError::Syntax {
        file: file.to_owned(),
        line: Lines::line_of(text, offset),
        column: 1 + text[line_start..offset].chars().count(),
        message: error.message().to_owned(),
    }
}
