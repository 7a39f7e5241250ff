//! Addresses on the hub: a repository at a revision, and how both are written.

use std::fmt;

/// The kind of content a repository holds.
#[derive(Clone, Copy, Debug, PartialEq, Eq, Hash)]
pub enum Kind {
    /// A model.
    Model,
    /// A data set.
    Dataset,
}

/// A repository of the hub at one revision.
#[derive(Clone, Debug, PartialEq, Eq, Hash)]
pub struct Repository {
    /// Whether it is a model or a data set.
    pub kind: Kind,
    /// Owner and name, written `owner/name`.
    pub name: String,
    /// Branch, tag or commit.
    pub revision: String,
}

/// The parts of `owner/name[/path/of/file][@revision]`.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct Address {
    /// Owner and name, written `owner/name`.
    pub name: String,
    /// Path of a file within the repository, if the address names one.
    pub file: Option<String>,
    /// Branch, tag or commit; `main` if the address names none.
    pub revision: String,
}

impl Address {
    /// Parses `owner/name[/path/of/file][@revision]`.
    ///
    /// # Errors
    /// Returns a phrase that completes a sentence when the text is malformed: owner and name are
    /// required, and every part may contain only letters, digits, `-`, `_` and `.`.
    pub fn parse(text: &str) -> Result<Self, String> {
        let (path, revision) = text.rsplit_once('@').unwrap_or((text, "main"));
        let parts: Vec<_> = path.split('/').collect();
        for part in parts.iter().copied().chain(revision.split('/')) {
            if !is_plain(part) {
                return Err(format!(
                    "\"{part}\" is not a name of letters, digits, '-', '_' and '.'"
                ));
            }
        }
        let [owner, name, file @ ..] = parts.as_slice() else {
            return Err("the owner or the name is missing".to_owned());
        };
        Ok(Self {
            name: format!("{owner}/{name}"),
            file: (!file.is_empty()).then(|| file.join("/")),
            revision: revision.to_owned(),
        })
    }

    /// The repository that this address names, as one of the given kind.
    #[must_use]
    pub fn repository(&self, kind: Kind) -> Repository {
        Repository { kind, name: self.name.clone(), revision: self.revision.clone() }
    }
}

/// Whether `text` can be a single path component, both on the hub and on disk.
pub(crate) fn is_plain(part: &str) -> bool {
    let plain = |byte: u8| byte.is_ascii_alphanumeric() || b"-_.".contains(&byte);
    !part.is_empty() && part != "." && part != ".." && part.bytes().all(plain)
}

impl Repository {
    /// The same repository in hf-hub's types.
    pub(crate) fn repo(&self) -> hf_hub::Repo {
        let kind = match self.kind {
            Kind::Model => hf_hub::RepoType::Model,
            Kind::Dataset => hf_hub::RepoType::Dataset,
        };
        hf_hub::Repo::with_revision(self.name.clone(), kind, self.revision.clone())
    }
}

/// Prints `hf:owner/name@revision`, or `hf:datasets/owner/name@revision` for a data set.
impl fmt::Display for Repository {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        let folder = match self.kind {
            Kind::Model => "",
            Kind::Dataset => "datasets/",
        };
        write!(f, "hf:{folder}{}@{}", self.name, self.revision)
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn addresses_are_taken_apart() {
        let address = |name: &str, file: Option<&str>, revision: &str| Address {
            name: name.to_owned(),
            file: file.map(str::to_owned),
            revision: revision.to_owned(),
        };
        assert_eq!(Address::parse("a/b").unwrap(), address("a/b", None, "main"));
        let pull = Address::parse("a/b.c@refs/pr/1").unwrap();
        assert_eq!(pull, address("a/b.c", None, "refs/pr/1"));
        assert_eq!(pull.repository(Kind::Dataset).to_string(), "hf:datasets/a/b.c@refs/pr/1");
        assert_eq!(Address::parse("a/b/c/d.x@v1").unwrap(), address("a/b", Some("c/d.x"), "v1"));
        for text in ["", "a", "a/", "a/b@", "a/../b", "a /b", "a/b//c", "a/b@x y", "/a/b"] {
            assert!(Address::parse(text).is_err(), "{text}");
        }
    }
}
