//! Dependencies between modules point one way: modules of the library in the order of [`ORDER`], and
//! files without cycles. The binary, `src/main.rs` and `src/cli`, uses the library; that the library
//! does without the crates of the binary is checked by building it without the feature `cli`.

use std::collections::{BTreeMap, BTreeSet};
use std::fs;
use std::path::{Path, PathBuf};

/// The modules of the library. Each may use those after it, none before it.
const ORDER: &[&str] = &[
    "internals",
    "engine",
    "report",
    "charges",
    "run",
    "settle",
    "resolve",
    "execute",
    "undo",
    "plan",
    "export",
    "imagekit",
    "history",
    "ledger",
    "input",
    "account",
    "request",
    "usage",
    "spending",
    "settled",
    "sent",
    "callback",
    "file_fields",
    "causes",
    "row",
    "findings",
    "outcome",
    "extension_results",
    "settings",
    "exit_codes",
    "error",
    "sanitize",
    "shell",
    "plural",
    "bit_set",
    "workbook_file",
    "atomic_file",
    "sqlite",
    "system",
];

/// The path of a module in the crate, such as `["plan", "scan"]`.
type Module = Vec<String>;

/// The modules that each module uses.
type Uses = BTreeMap<Module, BTreeSet<Module>>;

/// The sources of this crate.
fn library() -> PathBuf {
    Path::new(env!("CARGO_MANIFEST_DIR")).join("src")
}

/// The sources of the sandbox.
fn sandbox() -> PathBuf {
    Path::new(env!("CARGO_MANIFEST_DIR")).join("crates/ikbulk-sandbox/src")
}

fn files(directory: &Path, into: &mut Vec<PathBuf>) {
    for entry in fs::read_dir(directory).expect("src can be read") {
        let path = entry.expect("src can be read").path();
        // Laws test whole runs, with modules above and below their own.
        if path.ends_with("laws") {
            continue;
        }
        if path.is_dir() {
            files(&path, into);
        } else if path.extension().is_some_and(|extension| extension == "rs") {
            into.push(path);
        }
    }
}

fn module(path: &Path, source: &Path) -> Module {
    let relative = path.strip_prefix(source).expect("it is below src").with_extension("");
    let parts = relative.iter().map(|part| part.to_string_lossy().into_owned());
    parts.filter(|part| part != "mod").collect()
}

/// The code of a file, without comments and unit tests.
fn code(path: &Path) -> String {
    let text = fs::read_to_string(path).expect("a source file can be read");
    let text = text.split("#[cfg(test)]\nmod tests {").next().unwrap_or_default();
    let lines = text.lines().map(|line| line.split("//").next().unwrap_or_default());
    lines.collect::<Vec<_>>().join("\n")
}

/// The paths that begin with `crate::` or `super::` in the code of a module, from the crate's root.
/// A group such as `super::{a::B, c}` counts as `super::a` and `super::c`.
fn paths(code: &str, module: &Module) -> Vec<Module> {
    let is_word = |c: char| c.is_alphanumeric() || c == '_';
    let mut paths = Vec::new();
    for (start, _) in code.match_indices("crate::").chain(code.match_indices("super::")) {
        let before = code[..start].chars().next_back();
        if before.is_some_and(|c| is_word(c) || c == ':') {
            continue;
        }
        let mut rest = &code[start..];
        let mut base = module.clone();
        if let Some(after) = rest.strip_prefix("crate::") {
            (rest, base) = (after, Module::new());
        }
        while let Some(after) = rest.strip_prefix("super::") {
            base.pop();
            rest = after;
        }
        let group = rest.strip_prefix('{').and_then(|rest| rest.split('}').next());
        for path in group.unwrap_or(rest).split(',') {
            let path = path.trim_start();
            let end = path.find(|c: char| !is_word(c) && c != ':').unwrap_or(path.len());
            let names = path[..end].split("::").map(str::to_owned);
            paths.push(base.iter().cloned().chain(names).collect());
            if group.is_none() {
                break;
            }
        }
    }
    paths
}

/// Whether a module belongs to the binary.
fn is_of_binary(module: &Module) -> bool {
    matches!(top_level(module), "cli" | "main")
}

/// Which files use which. `mod.rs` files are left out: they hold what their children share.
fn uses(source: &Path) -> Uses {
    let mut all = Vec::new();
    files(source, &mut all);
    let is_leaf = |path: &PathBuf| !path.ends_with("mod.rs");
    let leaves: BTreeSet<Module> =
        all.iter().filter(|it| is_leaf(it)).map(|it| module(it, source)).collect();
    let mut uses = Uses::new();
    for path in &all {
        let from = module(path, source);
        for mut to in paths(&code(path), &from) {
            while !to.is_empty() && !leaves.contains(&to) {
                to.pop();
            }
            if !to.is_empty() && to != from {
                uses.entry(from.clone()).or_default().insert(to);
            }
        }
    }
    uses
}

fn top_level(module: &Module) -> &str {
    module.first().map_or("", String::as_str)
}

#[test]
fn modules_use_only_modules_below_them() {
    let (mut all, source) = (Vec::new(), library());
    files(&source, &mut all);
    let position = |name: &str| ORDER.iter().position(|module| *module == name);
    let mut wrong = BTreeSet::new();
    for path in &all {
        let user = module(path, &source);
        if is_of_binary(&user) {
            continue;
        }
        for used in paths(&code(path), &user) {
            let (from, to) = (top_level(&user), top_level(&used));
            if let (Some(user_at), Some(used_at)) = (position(from), position(to))
                && used_at < user_at
            {
                wrong.insert(format!("{} uses {to}", path.display()));
            }
        }
    }
    assert!(wrong.is_empty(), "against the order of modules: {wrong:#?}");
}

#[test]
fn every_module_has_a_place_in_the_order() {
    let (mut all, source) = (Vec::new(), library());
    files(&source, &mut all);
    let missing: BTreeSet<String> = all
        .iter()
        .map(|path| module(path, &source))
        .filter(|module| !is_of_binary(module))
        .map(|module| top_level(&module).to_owned())
        .filter(|name| name != "lib" && !ORDER.contains(&name.as_str()))
        .collect();
    assert!(missing.is_empty(), "without a place in ORDER: {missing:?}");
}

#[test]
fn architecture_page_lists_the_modules_in_their_order() {
    let page = Path::new(env!("CARGO_MANIFEST_DIR")).join("docs/design/architecture.md");
    let page = fs::read_to_string(page).expect("the page can be read");
    let table = page.split_once("| module | purpose |").expect("the page has the table").1;
    let rows = table.lines().skip(2).map_while(|line| line.strip_prefix("| "));
    let cells = rows.filter_map(|row| row.split(" | ").next());
    let listed: Vec<&str> = cells.flat_map(|cell| cell.split('`').skip(1).step_by(2)).collect();
    let order: Vec<&str> = std::iter::once("cli").chain(ORDER.iter().copied()).collect();
    assert_eq!(listed, order);
}

#[test]
fn files_do_not_use_each_other_in_cycles() {
    for source in [library(), sandbox()] {
        let mut uses = uses(&source);
        assert!(!uses.is_empty(), "no uses in {}", source.display());
        // Files that use nothing that is left cannot be in a cycle; neither can those that use only
        // such files.
        loop {
            let left: BTreeSet<Module> = uses.keys().cloned().collect();
            for targets in uses.values_mut() {
                targets.retain(|module| left.contains(module));
            }
            let before = uses.len();
            uses.retain(|_, targets| !targets.is_empty());
            if uses.len() == before {
                break;
            }
        }
        assert!(uses.is_empty(), "in cycles, or using files in cycles: {uses:#?}");
    }
}

#[test]
fn paths_are_found_in_code() {
    let module = ["plan".to_owned(), "scan".to_owned()].to_vec();
    let found = paths("use super::{Batch, direct::steps};\nuse crate::row::Row;", &module);
    let found: Vec<String> = found.iter().map(|path| path.join("::")).collect();
    assert_eq!(found, ["row::Row", "plan::Batch", "plan::direct::steps"]);
}
