//! `cargo xtask circles`: no files that can only be read together.
//!
//! Two files that use each other, directly or around others, are one file in two places. Most such
//! circles end when one struct or one constant moves. A conversation that is meant has a line in
//! [`CONVERSATIONS`].
//!
//! A file uses another where it names one of its items by `crate`, `self`, `super` or the name of a
//! module, in a path, a `use` or a macro. What a module only passes on (`pub use`) counts for the
//! file in which it is. Methods do not count: what calls one has the value from elsewhere. Nor does
//! the use of a module by the files below it, which are its parts.

use std::collections::{BTreeMap, BTreeSet};
use std::fs;

use anyhow::{Context as _, Result, bail};
use proc_macro2::{TokenStream, TokenTree};
use syn::visit::{self, Visit};
use syn::{Attribute, Ident, Item, ItemMod, ItemUse, Macro, Meta, UseTree, Visibility};
use xshell::{Shell, cmd};

/// The files that use each other on purpose.
const CONVERSATIONS: [&[&str]; 2] = [
    // A shard is counted against the budget, which has it evict streams.
    &[
        "host/engine/src/command/hot/budget.rs",
        "host/engine/src/command/hot/shard.rs",
    ],
    // A module knows its kind, whose calls are calls of the module, compiled or native.
    &[
        "host/sandbox/src/kinds/decider.rs",
        "host/sandbox/src/kinds/mod.rs",
        "host/sandbox/src/kinds/process.rs",
        "host/sandbox/src/kinds/view.rs",
        "host/sandbox/src/module.rs",
        "host/sandbox/src/native.rs",
    ],
];

/// The most steps by which a name is followed through `use`.
const MAX_STEPS: usize = 16;

/// Checks all crates.
///
/// # Errors
///
/// With every circle that is no known conversation.
pub(crate) fn check(sh: &Shell) -> Result<()> {
    let files = cmd!(sh, "git ls-files --cached --others --exclude-standard *.rs")
        .quiet()
        .read()?;
    let mut crates: BTreeMap<&str, BTreeMap<&str, String>> = BTreeMap::new();
    for path in files.lines() {
        let Some((folder, within)) = path.split_once("/src/") else {
            continue;
        };
        if within.starts_with("tests") {
            continue;
        }
        // Git knows files that were deleted until that is committed.
        if let Ok(text) = fs::read_to_string(sh.current_dir().join(path)) {
            crates.entry(folder).or_default().insert(within, text);
        }
    }
    let mut faults = Vec::new();
    for (folder, files) in crates {
        let arrows = arrows(&files).with_context(|| format!("cannot read {folder}"))?;
        for circle in circles(&arrows) {
            let place = |file: &&str| format!("{folder}/src/{file}");
            let is_meant = |known: &&[&str]| {
                let is_known = |file| known.contains(&place(file).as_str());
                circle.iter().all(is_known)
            };
            if CONVERSATIONS.iter().any(is_meant) {
                continue;
            }
            let within = circle.iter().flat_map(|file| {
                let used = arrows[file]
                    .iter()
                    .filter(|(used, _)| circle.contains(used));
                used.map(move |(used, name)| format!("\n  {}: `{name}` of {used}", place(file)))
            });
            faults.push(format!(
                "{} files:{}",
                circle.len(),
                within.collect::<String>()
            ));
        }
    }
    if !faults.is_empty() {
        bail!("{} circles of files:\n{}", faults.len(), faults.join("\n"));
    }
    Ok(())
}

/// The files that each file uses, with one of the names by which it does so.
type Arrows<'a> = BTreeMap<&'a str, BTreeMap<&'a str, String>>;

/// Finds the arrows among the files of a crate, which are given with their texts.
fn arrows<'a>(files: &BTreeMap<&'a str, String>) -> Result<Arrows<'a>> {
    let mut modules: BTreeMap<Vec<String>, Module> = BTreeMap::new();
    for (path, text) in files {
        let mut module = Module::new(path);
        let file = syn::parse_file(text).with_context(|| format!("cannot read {path}"))?;
        module.visit_file(&file);
        modules.insert(module.at.clone(), module);
    }
    let mut arrows = Arrows::default();
    for module in modules.values() {
        let used = module.uses.iter().filter_map(|path| {
            let found = find(&modules, &module.at, path, MAX_STEPS)?;
            let is_above = module.at.starts_with(&found.at);
            (!is_above).then(|| (file_of(files, found), path.join("::")))
        });
        arrows.insert(file_of(files, module), used.collect());
    }
    Ok(arrows)
}

fn file_of<'a>(files: &BTreeMap<&'a str, String>, module: &Module) -> &'a str {
    let (file, _) = files
        .get_key_value(module.file.as_str())
        .expect("modules are made of these files");
    file
}

/// A file, and what is named in it.
#[derive(Debug, Default)]
struct Module {
    file: String,
    /// The names of the modules from the root of the crate down to this one.
    at: Vec<String>,
    /// The number of inline modules around the visit.
    depth: usize,
    /// The names that `use` brings in, each with its path.
    imports: BTreeMap<String, Vec<String>>,
    /// The paths of which all names are brought in.
    globs: Vec<Vec<String>>,
    defined: BTreeSet<String>,
    uses: BTreeSet<Vec<String>>,
}

impl Module {
    fn new(file: &str) -> Self {
        let mut at: Vec<_> = file.trim_end_matches(".rs").split('/').collect();
        if matches!(at.as_slice(), [.., "mod"] | ["lib" | "main"]) {
            at.pop();
        }
        Self {
            file: file.to_owned(),
            at: at.into_iter().map(str::to_owned).collect(),
            ..Self::default()
        }
    }

    /// Takes a path as seen from the file, not from an inline module of it.
    fn use_path(&mut self, mut path: Vec<String>) {
        let supers = path.iter().take_while(|name| *name == "super").count();
        path.drain(..supers.min(self.depth));
        self.uses.insert(path);
    }

    fn import(&mut self, tree: &UseTree, mut path: Vec<String>, is_passed_on: bool) {
        match tree {
            UseTree::Path(step) => {
                path.push(step.ident.to_string());
                self.import(&step.tree, path, is_passed_on);
            }
            UseTree::Group(group) => {
                for tree in &group.items {
                    self.import(tree, path.clone(), is_passed_on);
                }
            }
            UseTree::Name(name) => self.import_name(path, &name.ident, &name.ident, is_passed_on),
            UseTree::Rename(name) => {
                self.import_name(path, &name.ident, &name.rename, is_passed_on)
            }
            UseTree::Glob(_) => {
                if !is_passed_on {
                    self.use_path(path.clone());
                }
                self.globs.push(path);
            }
        }
    }

    fn import_name(
        &mut self,
        mut path: Vec<String>,
        name: &Ident,
        as_: &Ident,
        is_passed_on: bool,
    ) {
        if name != "self" {
            path.push(name.to_string());
        }
        let as_ = if as_ == "self" {
            path.last().cloned().unwrap_or_default()
        } else {
            as_.to_string()
        };
        if !is_passed_on {
            self.use_path(path.clone());
        }
        self.imports.insert(as_, path);
    }

    /// Takes the paths among tokens that are not parsed.
    fn use_tokens(&mut self, tokens: TokenStream) {
        let mut path = Vec::new();
        let mut colons = 0;
        for token in tokens {
            match token {
                TokenTree::Ident(name) => {
                    if colons != 2 {
                        self.use_path(std::mem::take(&mut path));
                    }
                    path.push(name.to_string());
                    colons = 0;
                }
                TokenTree::Punct(mark) if mark.as_char() == ':' => colons += 1,
                other => {
                    self.use_path(std::mem::take(&mut path));
                    if let TokenTree::Group(group) = other {
                        self.use_tokens(group.stream());
                    }
                }
            }
        }
        self.use_path(path);
    }
}

impl<'ast> Visit<'ast> for Module {
    fn visit_item(&mut self, item: &'ast Item) {
        let name = match item {
            Item::Const(item) => Some(&item.ident),
            Item::Enum(item) => Some(&item.ident),
            Item::Fn(item) => Some(&item.sig.ident),
            Item::Static(item) => Some(&item.ident),
            Item::Struct(item) => Some(&item.ident),
            Item::Trait(item) => Some(&item.ident),
            Item::Type(item) => Some(&item.ident),
            Item::Macro(item) => item.ident.as_ref(),
            _ => None,
        };
        self.defined.extend(name.map(ToString::to_string));
        visit::visit_item(self, item);
    }

    fn visit_item_mod(&mut self, module: &'ast ItemMod) {
        if module.content.is_some() && !module.attrs.iter().any(is_for_tests) {
            self.depth += 1;
            visit::visit_item_mod(self, module);
            self.depth -= 1;
        }
    }

    fn visit_item_use(&mut self, item: &'ast ItemUse) {
        let is_passed_on = !matches!(item.vis, Visibility::Inherited);
        self.import(&item.tree, Vec::new(), is_passed_on);
    }

    fn visit_path(&mut self, path: &'ast syn::Path) {
        let names = path.segments.iter().map(|name| name.ident.to_string());
        self.use_path(names.collect());
        visit::visit_path(self, path);
    }

    fn visit_macro(&mut self, macro_: &'ast Macro) {
        self.visit_path(&macro_.path);
        self.use_tokens(macro_.tokens.clone());
    }
}

fn is_for_tests(attribute: &Attribute) -> bool {
    attribute.path().is_ident("cfg")
        && matches!(&attribute.meta, Meta::List(list) if list.tokens.to_string() == "test")
}

/// The module of what `path` names in the module `at`; none if that is in no file of the crate.
fn find<'a>(
    modules: &'a BTreeMap<Vec<String>, Module>,
    at: &[String],
    path: &[String],
    steps: usize,
) -> Option<&'a Module> {
    let steps = steps.checked_sub(1)?;
    let module = modules.get(at)?;
    let Some((name, rest)) = path.split_first() else {
        return Some(module);
    };
    let below = |name: &str| [at, &[name.to_owned()]].concat();
    match name.as_str() {
        "crate" => return find(modules, &[], rest, steps),
        "self" => return find(modules, at, rest, steps),
        "super" => return find(modules, &at[..at.len().checked_sub(1)?], rest, steps),
        name if module.defined.contains(name) => return Some(module),
        name if modules.contains_key(&below(name)) => {
            return find(modules, &below(name), rest, steps);
        }
        _ => {}
    }
    if let Some(path) = module.imports.get(name) {
        // A crate may have the name of what is imported of it.
        return (path.first() != Some(name))
            .then(|| find(modules, at, &[path, rest].concat(), steps))?;
    }
    module
        .globs
        .iter()
        .find_map(|glob| find(modules, at, &[glob, path].concat(), steps))
}

/// The sets of files in which each leads to each, found by Kosaraju's way: the file that was left
/// last is where the walk against the arrows begins.
fn circles<'a>(arrows: &Arrows<'a>) -> Vec<Vec<&'a str>> {
    let mut against: BTreeMap<&str, Vec<&str>> = BTreeMap::new();
    let mut along: BTreeMap<&str, Vec<&str>> = BTreeMap::new();
    for (file, used) in arrows {
        for used in used.keys() {
            along.entry(file).or_default().push(used);
            against.entry(used).or_default().push(file);
        }
    }
    let mut left = Vec::new();
    let mut seen = BTreeSet::new();
    for file in along.keys() {
        walk(&along, file, &mut seen, &mut left);
    }
    let mut seen = BTreeSet::new();
    let circles = left.into_iter().rev().map(|file| {
        let mut circle = Vec::new();
        walk(&against, file, &mut seen, &mut circle);
        circle.sort_unstable();
        circle
    });
    circles.filter(|circle| circle.len() > 1).collect()
}

/// Adds to `left` each file that can be reached from `file` and was not seen, the farthest first.
fn walk<'a>(
    arrows: &BTreeMap<&'a str, Vec<&'a str>>,
    file: &'a str,
    seen: &mut BTreeSet<&'a str>,
    left: &mut Vec<&'a str>,
) {
    if seen.insert(file) {
        for next in arrows.get(file).into_iter().flatten() {
            walk(arrows, next, seen, left);
        }
        left.push(file);
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    fn circles_of(files: &[(&'static str, &str)]) -> Vec<Vec<&'static str>> {
        let files = files.iter().map(|(path, text)| (*path, (*text).to_owned()));
        circles(&arrows(&files.collect()).unwrap())
    }

    #[test]
    fn files_that_use_each_other_around_a_third_are_a_circle() {
        let found = circles_of(&[
            ("lib.rs", "mod a; mod b; mod c; mod d;"),
            ("a.rs", "use crate::b::B; pub struct A(B);"),
            ("b.rs", "pub struct B; fn b() { super::c::c() }"),
            ("c.rs", "pub fn c() { println!(\"{}\", crate::a::A) }"),
            ("d.rs", "use crate::a::A;"),
        ]);
        assert_eq!(found, [["a.rs", "b.rs", "c.rs"]]);
    }

    #[test]
    fn an_item_that_a_module_passes_on_is_in_its_file() {
        let found = circles_of(&[
            ("lib.rs", "mod a;"),
            ("a/mod.rs", "mod b; mod c; pub use b::B; fn a() { c::c() }"),
            ("a/b.rs", "pub struct B;"),
            ("a/c.rs", "use super::B; pub fn c() {}"),
        ]);
        assert!(found.is_empty(), "{found:?}");
    }

    #[test]
    fn tests_may_use_what_they_test() {
        let found = circles_of(&[
            ("lib.rs", "mod a; mod b;"),
            ("a.rs", "use crate::b::b; pub fn a() {}"),
            (
                "b.rs",
                "pub fn b() {} #[cfg(test)] mod tests { use crate::a::a; }",
            ),
        ]);
        assert!(found.is_empty(), "{found:?}");
    }
}
