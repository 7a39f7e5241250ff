//! One model in several GGUF files, as `llama-gguf-split` writes them: `name-00001-of-00003.gguf` and so on.
//! The first has all the metadata; each has some of the tensors.

use std::path::Path;

use super::header;
use super::metadata::Metadata;
use crate::WeightsError;
use crate::bytes::FileBytes;

/// More files are rejected.
const MOST_FILES: u64 = 10_000;

const COUNT: &str = "split.count";
const NUMBER: &str = "split.no";
const TENSORS: &str = "split.tensors.count";

/// Opens the remaining files of the model whose first file is `first`, if there are any.
pub(crate) fn open_all(first: FileBytes) -> Result<Vec<FileBytes>, WeightsError> {
    let metadata = header::read_metadata(&first)?;
    let count = metadata.unsigned(COUNT)?.unwrap_or(0);
    if count <= 1 {
        return Ok(vec![first]);
    }
    let number = metadata.unsigned(NUMBER)?.unwrap_or(0);
    let wrong = |what: String, expected: String, found: String| WeightsError::Invalid {
        path: first.path.clone(),
        what,
        expected,
        found,
    };
    let file_name = first.path.file_name().unwrap_or_default().to_string_lossy().into_owned();
    let names = part_names(&file_name).filter(|names| names.len() as u64 == count);
    let Some(names) = names else {
        let expected = format!("a name that ends in -00001-of-{count:05}.gguf, as {COUNT} says");
        return Err(wrong("the file's name".to_owned(), expected, file_name));
    };
    if number != 0 || file_name != names[0] {
        let found = format!("part {} of {count}", number.saturating_add(1));
        return Err(wrong("the file".to_owned(), format!("{}, the first part", names[0]), found));
    }
    let folder = first.path.parent().unwrap_or(Path::new("")).to_path_buf();
    let mut files = vec![first];
    for (number, name) in names.iter().enumerate().skip(1) {
        let path = folder.join(name);
        if !path.is_file() {
            return Err(WeightsError::MissingFile {
                directory: folder,
                expected: format!("{name}, part {} of {count} of the model,", number + 1),
                found: format!("{} of its parts before it", files.len()),
            });
        }
        let file = FileBytes::map(&path)?;
        let metadata = header::read_metadata(&file)?;
        let (own, all) = (metadata.unsigned(NUMBER)?, metadata.unsigned(COUNT)?);
        if own != Some(number as u64) || all != Some(count) {
            return Err(WeightsError::Invalid {
                path,
                what: format!("{NUMBER} and {COUNT}"),
                expected: format!("{number} and {count}"),
                found: format!("{own:?} and {all:?}").replace("Some(", "").replace(')', ""),
            });
        }
        files.push(file);
    }
    Ok(files)
}

/// Rejects parts that do not contain all the tensors together.
pub(super) fn check_tensors(metadata: &Metadata, found: usize) -> Result<(), WeightsError> {
    match metadata.unsigned(TENSORS)? {
        Some(expected) if expected != found as u64 => Err(WeightsError::Invalid {
            path: metadata.path().to_path_buf(),
            what: "the tensors of all parts".to_owned(),
            expected: format!("{expected}, as {TENSORS} says"),
            found: found.to_string(),
        }),
        _ => Ok(()),
    }
}

/// The names of all files of a model in order, given one of them; `None` if the file stands alone.
pub(crate) fn part_names(name: &str) -> Option<Vec<String>> {
    let stem = name.strip_suffix(".gguf")?;
    let (rest, count) = stem.rsplit_once("-of-")?;
    let (stem, number) = rest.rsplit_once('-')?;
    let digits = |text: &str| text.len() == 5 && text.bytes().all(|byte| byte.is_ascii_digit());
    if !digits(count) || !digits(number) {
        return None;
    }
    let count: u64 = count.parse().ok().filter(|count| (1..=MOST_FILES).contains(count))?;
    Some((1..=count).map(|number| format!("{stem}-{number:05}-of-{count:05}.gguf")).collect())
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn parts_are_told_by_their_names() {
        let names = part_names("a-b-00002-of-00003.gguf").unwrap();
        assert_eq!(names.len(), 3);
        assert_eq!(names[0], "a-b-00001-of-00003.gguf");
        for name in ["a.gguf", "a-1-of-3.gguf", "a-00001-of-00000.gguf", "00001-of-00002.gguf"] {
            assert_eq!(part_names(name), None, "{name}");
        }
    }
}
