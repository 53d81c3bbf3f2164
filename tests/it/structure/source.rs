//! Reads Rust files: the modules of a crate, and the items of the crate that each of them uses.
//!
//! It reads `use` trees, re-exports, and all paths that begin with `crate`, `self`, `super`, an imported name or a child
//! module. It skips code under `#[cfg(test)]`, expands no macros, and does not follow method calls.

use std::collections::{BTreeMap, BTreeSet};
use std::path::Path;

use proc_macro2::{Delimiter, TokenStream, TokenTree};

/// The name of the library, by which the command line uses it.
const LIBRARY: &str = "holdfast";

/// The modules of a crate, by name: `db::door`. The crate's root has the empty name.
#[derive(Debug, Default)]
pub(crate) struct Crate {
    modules: BTreeMap<String, Module>,
    uses: Vec<Use>,
}

/// The contents of one file.
#[derive(Debug, Default)]
struct Module {
    /// The modules that it declares.
    children: BTreeSet<String>,
    /// The names that its `use` lines bring, each with its path.
    names: BTreeMap<String, Vec<String>>,
    mentions: Vec<Mention>,
}

/// A path in a file.
#[derive(Debug)]
struct Mention {
    path: Vec<String>,
    place: Place,
}

/// Where a path stands.
#[derive(Debug, Clone, PartialEq, Eq)]
pub(crate) enum Place {
    /// In a `use` line.
    Import,
    /// In a free function with this name.
    Function(String),
    /// In any other item.
    Item,
}

/// One use of an item of the crate.
#[derive(Debug)]
pub(crate) struct Use {
    /// The module that uses the item.
    pub(crate) module: String,
    /// Where in this module.
    pub(crate) place: Place,
    /// The module that the path names.
    pub(crate) named: String,
    /// The module of the item: another one if the named module re-exports it.
    pub(crate) target: String,
    /// The path of the item in its module; empty for the module itself.
    pub(crate) item: Vec<String>,
}

impl Crate {
    /// Reads all files under `root`, except those of test modules.
    pub(crate) fn read(root: &Path) -> Self {
        let files = list(root);
        Self::of(files.iter().map(|(name, text)| (name.as_str(), text.as_str())))
    }

    /// Reads these modules, each by its name and its text.
    pub(crate) fn of<'a>(texts: impl IntoIterator<Item = (&'a str, &'a str)>) -> Self {
        let mut modules: BTreeMap<String, Module> = BTreeMap::new();
        for (name, text) in texts {
            let tokens: TokenStream = text.parse().unwrap_or_else(|error| panic!("{name} is not Rust: {error}"));
            let mut module = Module::default();
            module.read(&tokens.into_iter().collect::<Vec<_>>(), &Place::Item, true);
            modules.insert(name.to_owned(), module);
        }
        let is_declared = |name: &str| {
            let parent = name.rsplit_once("::").and_then(|(parent, child)| Some((modules.get(parent)?, child)));
            parent.is_none_or(|(parent, child)| parent.children.contains(child))
        };
        let declared: BTreeSet<String> = modules.keys().filter(|name| is_declared(name)).cloned().collect();
        modules.retain(|name, _| declared.contains(name));
        let mut source = Self { modules, uses: Vec::new() };
        let all = source.modules.iter().flat_map(|(name, module)| {
            module.mentions.iter().filter_map(|mention| {
                let path = module.absolute(name, &mention.path)?;
                Some(source.used(name, &mention.place, &path))
            })
        });
        source.uses = all.collect();
        source
    }

    /// Lists the names of all modules.
    pub(crate) fn modules(&self) -> impl Iterator<Item = &str> {
        self.modules.keys().map(String::as_str)
    }

    /// Lists all uses of items of this crate, also those in the item's own module.
    pub(crate) fn uses(&self) -> impl Iterator<Item = &Use> {
        self.uses.iter()
    }

    /// Returns each module with the other modules that it uses.
    pub(crate) fn arrows(&self) -> BTreeMap<&str, BTreeSet<&str>> {
        let mut arrows: BTreeMap<&str, BTreeSet<&str>> = self.modules().map(|name| (name, BTreeSet::new())).collect();
        for used in self.uses().filter(|used| used.module != used.target && !used.target.is_empty()) {
            arrows.entry(&used.module).or_default().insert(&used.target);
        }
        arrows
    }

    /// Lists the modules that use another crate.
    pub(crate) fn users_of(&self, external: &str) -> BTreeSet<&str> {
        let names = |(name, module): &(&String, &Module)| {
            let mut paths = module.mentions.iter().map(|mention| &mention.path);
            paths.any(|path| path.len() > 1 && path[0] == external && module.absolute(name, path).is_none())
        };
        self.modules.iter().filter(names).map(|(name, _)| name.as_str()).collect()
    }

    /// Returns what a module uses by this path from the crate's root.
    fn used(&self, module: &str, place: &Place, path: &[String]) -> Use {
        let (named, _) = self.split(path);
        let (target, item) = self.target(path);
        Use { module: module.to_owned(), place: place.clone(), named, target, item }
    }

    /// Divides a path from the crate's root into the longest name of a module and the rest.
    fn split<'p>(&self, path: &'p [String]) -> (String, &'p [String]) {
        let depth = (0..=path.len()).rev().find(|&depth| self.modules.contains_key(&path[..depth].join("::")));
        let (module, item) = path.split_at(depth.unwrap_or(0));
        (module.join("::"), item)
    }

    /// Returns the module and the item that a path from the crate's root leads to; follows re-exports.
    fn target(&self, path: &[String]) -> (String, Vec<String>) {
        let (module, item) = self.split(path);
        let exported = item.first().zip(self.modules.get(&module)).and_then(|(first, exporter)| {
            let exported = exporter.absolute(&module, exporter.names.get(first)?)?;
            Some([exported.as_slice(), &item[1..]].concat())
        });
        match exported {
            Some(exported) if exported != path => self.target(&exported),
            _ => (module, item.to_vec()),
        }
    }
}

impl Module {
    /// Reads the tokens of a file (`is_file`) or of a part of it.
    fn read(&mut self, tokens: &[TokenTree], place: &Place, is_file: bool) {
        let mut place = place.clone();
        let mut at = 0;
        while at < tokens.len() {
            let rest = &tokens[at..];
            at += match rest {
                _ if skipped(rest) > 0 => skipped(rest),
                [word, ..] if is(word, "use") => {
                    let length = rest.iter().position(|token| is(token, ";")).unwrap_or(rest.len());
                    self.import(&[], &rest[1..length]);
                    length
                }
                [word, TokenTree::Ident(child), end, ..] if is_file && is(word, "mod") && is(end, ";") => {
                    self.children.insert(child.to_string());
                    2
                }
                [word, TokenTree::Ident(name), ..] if is(word, "fn") => {
                    if is_file {
                        place = Place::Function(name.to_string());
                    }
                    2
                }
                [TokenTree::Ident(_), ..] => self.mention(&tokens[..at], rest, &place),
                [TokenTree::Group(group), ..] => {
                    self.read(&group.stream().into_iter().collect::<Vec<_>>(), &place, false);
                    if is_file && group.delimiter() == Delimiter::Brace {
                        place = Place::Item;
                    }
                    1
                }
                _ => 1,
            };
        }
    }

    /// Adds the path with which `rest` begins, unless it is a field or a method. Returns how many tokens it has.
    fn mention(&mut self, before: &[TokenTree], rest: &[TokenTree], place: &Place) -> usize {
        let path = path_at(rest);
        let length = path_length(&path);
        if !is_member(before) {
            self.mentions.push(Mention { path, place: place.clone() });
        }
        length
    }

    /// Reads the tree of a `use` line under `prefix`.
    fn import(&mut self, prefix: &[String], tree: &[TokenTree]) {
        for branch in tree.split(|token| is(token, ",")) {
            let path = path_at(branch);
            let rest = &branch[path_length(&path)..];
            let group = rest.iter().find_map(|token| match token {
                TokenTree::Group(group) => Some(group.stream().into_iter().collect::<Vec<_>>()),
                _ => None,
            });
            let is_self = !prefix.is_empty() && path == ["self"];
            let path = if is_self { prefix.to_vec() } else { [prefix, &path].concat() };
            if let Some(group) = group {
                self.import(&path, &group);
                continue;
            }
            let name = match rest {
                [word, TokenTree::Ident(name)] if is(word, "as") => Some(name.to_string()),
                _ => path.last().cloned(),
            };
            let Some(name) = name else { continue };
            self.names.insert(name, path.clone());
            self.mentions.push(Mention { path, place: Place::Import });
        }
    }

    /// Returns a path of the module `name` as a path from the crate's root; `None` if it leads to another crate or is a path of
    /// a local name.
    fn absolute(&self, name: &str, path: &[String]) -> Option<Vec<String>> {
        let (head, rest) = path.split_first()?;
        if let Some(imported) = self.names.get(head).filter(|imported| *imported != path) {
            return Some([self.rooted(name, imported)?.as_slice(), rest].concat());
        }
        let is_own = path.len() == 1 && !self.names.contains_key(head);
        self.rooted(name, path).or_else(|| is_own.then(|| [segments(name), path.to_vec()].concat()))
    }

    /// The same for a path that begins with `crate`, `self`, `super` or a child.
    fn rooted(&self, name: &str, path: &[String]) -> Option<Vec<String>> {
        let mut base = segments(name);
        let (head, mut rest) = path.split_first()?;
        match head.as_str() {
            "crate" | LIBRARY => base.clear(),
            "self" => {}
            "super" => {
                base.pop();
                while rest.first().is_some_and(|next| next == "super") {
                    base.pop();
                    rest = &rest[1..];
                }
            }
            child if self.children.contains(child) => rest = path,
            _ => return None,
        }
        Some([base.as_slice(), rest].concat())
    }
}

fn segments(name: &str) -> Vec<String> {
    name.split("::").filter(|segment| !segment.is_empty()).map(str::to_owned).collect()
}

/// Returns whether a token is this word or this sign.
fn is(token: &TokenTree, text: &str) -> bool {
    match token {
        TokenTree::Ident(word) => word == text,
        TokenTree::Punct(sign) => text.chars().eq([sign.as_char()]),
        TokenTree::Group(_) | TokenTree::Literal(_) => false,
    }
}

/// Returns the path with which these tokens begin.
fn path_at(tokens: &[TokenTree]) -> Vec<String> {
    let mut path = Vec::new();
    let mut rest = tokens;
    while let [TokenTree::Ident(segment), further @ ..] = rest {
        path.push(segment.to_string());
        match further {
            [one, other, further @ ..] if is(one, ":") && is(other, ":") => rest = further,
            _ => break,
        }
    }
    path
}

/// Returns how many tokens this path has: one for each segment, and two for each `::`.
fn path_length(path: &[String]) -> usize {
    (3 * path.len()).saturating_sub(2)
}

/// Returns whether a name after these tokens is a field or a method; after `..` it is neither.
fn is_member(before: &[TokenTree]) -> bool {
    match before {
        [.., one, other] if is(one, ".") && is(other, ".") => false,
        [.., last] => is(last, "."),
        [] => false,
    }
}

/// Returns how many tokens to skip: a test item, or the visibility of an item.
fn skipped(tokens: &[TokenTree]) -> usize {
    match tokens {
        [hash, TokenTree::Group(attribute), ..] if is(hash, "#") && is_test(&attribute.stream()) => item_length(tokens),
        [word, TokenTree::Group(group), ..] if is(word, "pub") && group.delimiter() == Delimiter::Parenthesis => 2,
        _ => 0,
    }
}

/// Returns whether an attribute limits its item to tests: `cfg(test)`.
fn is_test(attribute: &TokenStream) -> bool {
    let tokens: Vec<TokenTree> = attribute.clone().into_iter().collect();
    let [word, TokenTree::Group(condition)] = tokens.as_slice() else { return false };
    let condition: Vec<TokenTree> = condition.stream().into_iter().collect();
    is(word, "cfg") && matches!(condition.as_slice(), [test] if is(test, "test"))
}

/// Returns how many tokens an item has, its attributes included.
fn item_length(tokens: &[TokenTree]) -> usize {
    let ends = |token: &TokenTree| {
        is(token, ";") || matches!(token, TokenTree::Group(group) if group.delimiter() == Delimiter::Brace)
    };
    tokens.iter().position(ends).map_or(tokens.len(), |end| end + 1)
}

/// Lists the Rust files under `root`: the names of their modules, and their texts.
fn list(root: &Path) -> Vec<(String, String)> {
    let mut files = Vec::new();
    let mut folders = vec![root.to_owned()];
    while let Some(folder) = folders.pop() {
        for entry in std::fs::read_dir(&folder).expect("a folder") {
            let path = entry.expect("an entry").path();
            if path.is_dir() {
                folders.push(path);
            } else if path.extension().is_some_and(|extension| extension == "rs") {
                let text = std::fs::read_to_string(&path).expect("a text");
                let name = path.strip_prefix(root).expect("a file under the root").with_extension("");
                let name: Vec<_> = name.iter().map(|part| part.to_str().expect("a plain name")).collect();
                let name = match name.as_slice() {
                    ["lib"] => &[],
                    [folder @ .., "mod"] => folder,
                    name => name,
                };
                files.push((name.join("::"), text));
            }
        }
    }
    files
}
