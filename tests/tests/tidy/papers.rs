//! The papers and the code: a path or a name that a paper gives in backticks exists, and code that
//! it quotes stands in the file that it names.
//!
//! A quotation is a block of code with a path behind its language. A line `// …` stands for what is
//! left out.

use std::collections::BTreeMap;
use std::iter;

use super::{Source, assert_none, code_before_tests, files, is_word, root};

/// The papers about the code.
const PAPERS: [&str; 3] = [
    "ARCHITECTURE.md",
    "CONTRIBUTING.md",
    "docs/add-an-endpoint.md",
];

/// The words before a name that is defined.
const DEFINING: [&str; 9] = [
    "const",
    "enum",
    "fn",
    "macro_rules",
    "mod",
    "static",
    "struct",
    "trait",
    "type",
];

#[test]
fn every_path_that_a_paper_names_exists() {
    assert_none(missing(|files, token| {
        is_path(token) && !is_there(files, token)
    }));
}

#[test]
fn every_link_to_a_file_leads_there() {
    let files = files();
    let texts = files.iter().filter(|file| file.path.ends_with(".md"));
    let broken = texts.flat_map(|paper| {
        let folder = root().join(&paper.path);
        let links = paper.text.lines().zip(1..).flat_map(links);
        let broken = links.filter(move |(_, link)| {
            let path = link.split('#').next().unwrap_or_default();
            !link.contains("://") && !folder.with_file_name(path).exists()
        });
        broken.map(|(line, link)| format!("{}:{line}: {link} leads nowhere", paper.path))
    });
    assert_none(broken.collect());
}

#[test]
fn every_name_of_the_code_that_a_paper_gives_is_defined() {
    let defined = definitions(&files());
    assert_none(missing(|_, token| {
        is_name(token) && !is_defined(&defined, token)
    }));
}

#[test]
fn every_quotation_stands_in_the_file_that_it_names() {
    let files = files();
    let mut wrong = Vec::new();
    for paper in papers(&files) {
        for (line, (head, quotation)) in blocks(&paper.text) {
            let Some((_, path)) = head.split_once(' ') else {
                continue;
            };
            let quoted = files.iter().find(|file| file.path == path);
            let mut rest = quoted.map_or("", |file| &file.text);
            for piece in quotation.split("// …\n") {
                let piece = piece.trim_matches('\n');
                match rest.split_once(piece) {
                    Some((_, behind)) => rest = behind,
                    None => wrong.push(format!("{}:{line}: not in {path}:\n{piece}", paper.path)),
                }
            }
        }
    }
    assert_none(wrong);
}

/// The places of what a paper has in backticks and `is_missing` says of that it is not there.
fn missing(is_missing: impl Fn(&[Source], &str) -> bool) -> Vec<String> {
    let files = files();
    let found = papers(&files).flat_map(|paper| {
        let tokens = tokens(&paper.text).filter(|(_, token)| is_missing(&files, token));
        tokens.map(|(line, token)| format!("{}:{line}: there is no `{token}`", paper.path))
    });
    found.collect()
}

fn papers(files: &[Source]) -> impl Iterator<Item = &Source> {
    let of_path = |path| files.iter().find(move |file| file.path == path);
    PAPERS
        .into_iter()
        .map(move |path| of_path(path).unwrap_or_else(|| panic!("there is no {path}")))
}

/// The targets of the links in a line.
fn links((line, number): (&str, usize)) -> impl Iterator<Item = (usize, &str)> {
    let behind = line.split("](").skip(1);
    behind.filter_map(move |behind| Some((number, behind.split_once(')')?.0)))
}

/// All that stands in backticks outside of blocks of code, with the number of its line.
fn tokens(text: &str) -> impl Iterator<Item = (usize, &str)> {
    let mut is_block = false;
    let prose = text.lines().zip(1..).filter(move |(line, _)| {
        is_block ^= line.starts_with("```");
        !is_block
    });
    prose.flat_map(|(line, number)| {
        line.split('`')
            .skip(1)
            .step_by(2)
            .map(move |token| (number, token))
    })
}

/// The blocks of code, each with its first line and the number of that.
fn blocks(text: &str) -> impl Iterator<Item = (usize, (&str, String))> {
    let mut lines = text.lines().zip(1..);
    iter::from_fn(move || {
        let (head, number) = lines.find(|(line, _)| line.starts_with("```"))?;
        let inside = lines
            .by_ref()
            .take_while(|(line, _)| !line.starts_with("```"));
        let inside = inside.map(|(line, _)| format!("{line}\n")).collect();
        Some((number, (head.trim_start_matches('`'), inside)))
    })
}

/// Tells whether the text is a path below the root, or as ARCHITECTURE.md writes them.
fn is_path(token: &str) -> bool {
    let allowed = |c: char| is_word(c) || "./-".contains(c);
    let is_file = || {
        [".rs", ".sql", ".wit", ".toml"]
            .iter()
            .any(|end| token.ends_with(end))
    };
    token.starts_with(|c: char| c.is_ascii_lowercase())
        && token.chars().all(allowed)
        && (token.contains('/') || is_file())
}

fn is_there(files: &[Source], token: &str) -> bool {
    let token = token.trim_end_matches('/');
    let in_crate = token.split_once('/').map_or_else(
        || format!("host/{token}"),
        |(name, rest)| format!("host/{name}/src/{rest}"),
    );
    let is_found = |path: &str| root().join(path).exists();
    is_found(token)
        || is_found(&in_crate)
        || is_found(&format!("{in_crate}.rs"))
        || files
            .iter()
            .any(|file| file.path.ends_with(&format!("/{token}")))
}

/// Tells whether the text is a name of the code: a type, or several names with `::` between them.
fn is_name(token: &str) -> bool {
    let token = token.split('(').next().unwrap_or_default();
    let is_type = token.starts_with(|c: char| c.is_ascii_uppercase())
        && token.contains(|c: char| c.is_ascii_lowercase());
    token.chars().all(|c| is_word(c) || c == ':') && (is_type || token.contains("::"))
}

/// The names that the code defines, each with the paths of the files in which it does.
fn definitions(files: &[Source]) -> BTreeMap<String, Vec<String>> {
    let mut defined: BTreeMap<String, Vec<String>> = BTreeMap::new();
    for file in files.iter().filter(|file| file.path.ends_with(".rs")) {
        for line in code_before_tests(&file.text).lines() {
            let mut words = line.split(|c| !is_word(c)).filter(|word| !word.is_empty());
            let first = words.clone().next().unwrap_or_default();
            let is_variant = line.starts_with("    ") && !line.starts_with("     ");
            let after = words.by_ref().find(|word| DEFINING.contains(word));
            let name = match after {
                Some(_) => words.next(),
                None => Some(first).filter(|_| is_variant),
            };
            if let Some(name) = name {
                let paths = defined.entry(name.to_owned()).or_default();
                paths.push(format!("/{}", file.path));
            }
        }
    }
    defined
}

/// Tells whether each part of a name is defined, where the part before it is.
fn is_defined(defined: &BTreeMap<String, Vec<String>>, token: &str) -> bool {
    let token = token.split('(').next().unwrap_or_default();
    let names: Vec<_> = token.split("::").collect();
    let Some((last, before)) = names.split_last() else {
        return false;
    };
    let Some(paths) = defined.get(*last) else {
        return false;
    };
    before
        .iter()
        .all(|owner| match owner.starts_with(char::is_uppercase) {
            true => defined.contains_key(*owner),
            false => paths.iter().any(|path| {
                path.contains(&format!("/{owner}/")) || path.ends_with(&format!("/{owner}.rs"))
            }),
        })
}
