//! Whether `[speed]` fits the text and the model.

use strait_model::ModelConfig;
use strait_schema::Experiment;

use crate::error::RunnerError;

/// Checks that text and model are long enough for `[speed]`.
pub(super) fn check(
    experiment: &Experiment,
    config: &ModelConfig,
    tokens: usize,
) -> Result<(), RunnerError> {
    let Some(section) = &experiment.speed else { return Ok(()) };
    for (at, &context) in section.contexts.iter().enumerate() {
        let key = format!("speed.contexts[{at}]");
        let wrong = |expected: String| {
            Err(experiment.value_error(&key, expected, context.to_string(), None).into())
        };
        if context > tokens {
            return wrong(format!("at most {tokens}, the tokens of the text"));
        }
        let last = context + section.new_tokens - 1;
        if let Some(positions) = config.positions.filter(|&positions| last > positions) {
            let most = (positions + 1).saturating_sub(section.new_tokens);
            return wrong(format!(
                "at most {most}, because the model has {positions} positions for the context and {} new tokens",
                section.new_tokens
            ));
        }
    }
    Ok(())
}
