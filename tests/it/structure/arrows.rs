//! The arrows between modules: no circles, none up the layers, none past a door.

use std::collections::{BTreeMap, BTreeSet};

use super::source::Crate;

/// Returns whether a pattern covers a module, and how closely: `db` covers `db` and everything in it, `db::*` only what is in
/// it.
fn closeness(pattern: &str, module: &str) -> Option<usize> {
    let (name, only_inside) = match pattern.strip_suffix("::*") {
        Some(name) => (name, true),
        None => (pattern, false),
    };
    let rest = module.strip_prefix(name)?;
    let covers = rest.starts_with("::") || rest.is_empty() && !only_inside;
    covers.then_some(name.len() + usize::from(only_inside))
}

/// Returns whether one of these patterns covers a module.
pub(crate) fn covered(patterns: &[impl AsRef<str>], module: &str) -> bool {
    patterns.iter().any(|pattern| closeness(pattern.as_ref(), module).is_some())
}

/// Lists the arrows that are part of a circle.
pub(crate) fn circles(source: &Crate) -> Vec<String> {
    let arrows = source.arrows();
    let reached: BTreeMap<&str, _> = arrows.keys().map(|&from| (from, reachable(&arrows, from))).collect();
    let all = arrows.iter().flat_map(|(&from, targets)| targets.iter().map(move |&to| (from, to)));
    let in_circles = all.filter(|(from, to)| reached.get(to).is_some_and(|reached| reached.contains(from)));
    in_circles.map(|(from, to)| format!("{from} -> {to} is part of a circle")).collect()
}

fn reachable<'a>(arrows: &BTreeMap<&'a str, BTreeSet<&'a str>>, from: &'a str) -> BTreeSet<&'a str> {
    let mut found = BTreeSet::new();
    let mut open = vec![from];
    while let Some(module) = open.pop() {
        open.extend(arrows.get(module).into_iter().flatten().copied().filter(|&next| found.insert(next)));
    }
    found
}

/// Lists the arrows that lead up, and the modules without a layer. `layers`: the patterns of each layer, the top one first. The
/// closest pattern decides.
pub(crate) fn upward(source: &Crate, layers: &[Vec<String>]) -> Vec<String> {
    let layer = |module: &str| {
        let patterns = layers.iter().enumerate().flat_map(|(layer, names)| names.iter().map(move |name| (layer, name)));
        let close = patterns.filter_map(|(layer, name)| Some((closeness(name, module)?, layer)));
        close.max().map(|(_, layer)| layer)
    };
    let mut found = Vec::new();
    for (from, targets) in source.arrows() {
        if !from.is_empty() && layer(from).is_none() {
            found.push(format!("{from} is in no layer"));
        }
        let up = targets.iter().filter(|to| layer(from).zip(layer(to)).is_some_and(|(from, to)| to < from));
        found.extend(up.map(|to| format!("{from} -> {to} leads up")));
    }
    found
}

/// Lists the names in a table that cover no module and no other crate.
pub(crate) fn without_module<'a>(source: &Crate, names: impl IntoIterator<Item = &'a String>) -> Vec<String> {
    let is_used = |name: &str| covers_any(source, name) || !source.users_of(name).is_empty();
    let unused = names.into_iter().filter(|name| !is_used(name));
    unused.map(|name| format!("{name} is the name of no module")).collect()
}

fn covers_any(source: &Crate, name: &str) -> bool {
    source.modules().any(|module| closeness(name, module).is_some())
}

/// Lists the uses past a door. `doors`: a module or another crate, and the patterns of the modules that may use it. A module
/// that re-exports an item answers for it.
pub(crate) fn past_doors(source: &Crate, doors: &[(String, Vec<String>)]) -> Vec<String> {
    let mut found = BTreeSet::new();
    for (door, users) in doors {
        let inside = source.uses().filter(|used| covered(&[door], &used.named) && !covered(&[door], &used.module));
        let outside = source.users_of(door).into_iter();
        for module in inside.map(|used| used.module.as_str()).chain(outside).filter(|module| !covered(users, module)) {
            found.insert(format!("{module} must not use {door}"));
        }
    }
    found.into_iter().collect()
}

#[cfg(test)]
mod tests {
    use super::*;

    fn owned(names: &[&str]) -> Vec<String> {
        names.iter().map(|&name| name.to_owned()).collect()
    }

    #[test]
    fn a_circle_is_found_whatever_the_form_of_its_paths() {
        let calm = [("a", "use crate::b::{Thing, other::{self, Deep}};"), ("b", "mod other; pub use other::Deep;")];
        let calm = calm.into_iter().chain([("b::other", "pub struct Deep;")]);
        assert_eq!(circles(&Crate::of(calm.clone())), owned(&[]));
        for back in
            ["use super::super::a;", "fn f() { crate::a::g(); }", "type T = [crate::a::U; 2];", "use crate::{a};"]
        {
            let text = format!("pub struct Deep; {back}");
            let modules = calm.clone().filter(|(name, _)| *name != "b::other").chain([("b::other", text.as_str())]);
            let found = circles(&Crate::of(modules));
            assert!(found.contains(&"b::other -> a is part of a circle".to_owned()), "{back}: {found:?}");
        }
        for harmless in ["// use crate::a;", "#[cfg(test)] use crate::a;", "#[cfg(test)] mod tests { use crate::a; }"] {
            let text = format!("pub struct Deep; {harmless}");
            let modules = calm.clone().filter(|(name, _)| *name != "b::other").chain([("b::other", text.as_str())]);
            assert_eq!(circles(&Crate::of(modules)), owned(&[]), "{harmless}");
        }
    }

    #[test]
    fn a_parent_and_a_child_can_form_a_circle() {
        let source = Crate::of([("a", "mod child; fn f() { child::g() }"), ("a::child", "pub(super) fn g() {}")]);
        assert_eq!(circles(&source), owned(&[]));
        let source = Crate::of([("a", "mod child; fn f() { child::g() }"), ("a::child", "use super::f;")]);
        assert_eq!(circles(&source).len(), 2);
    }

    #[test]
    fn an_arrow_up_is_found_and_so_is_a_module_without_a_layer() {
        let layers = [owned(&["http"]), owned(&["shop"]), owned(&["shop::*", "db"])];
        let text = "use crate::shop::State; use crate::db;";
        let source = Crate::of([("http", text), ("shop", ""), ("shop::holds", "use crate::db;"), ("db", "")]);
        assert_eq!(upward(&source, &layers), owned(&[]));
        let source =
            Crate::of([("http", ""), ("shop", "mod holds;"), ("shop::holds", text), ("db", "use crate::http;")]);
        assert_eq!(upward(&source, &layers), ["db -> http leads up", "shop::holds -> shop leads up"]);
        let source = Crate::of([("news", "use driver::Conn;")]);
        assert_eq!(upward(&source, &layers), ["news is in no layer"]);
        let names = owned(&["news", "news::*", "driver"]);
        assert_eq!(without_module(&source, &names), ["news::* is the name of no module"]);
    }

    #[test]
    fn a_use_past_a_door_is_found_but_a_re_exported_item_is_not() {
        let doors = [("db".to_owned(), owned(&["shop"])), ("driver".to_owned(), owned(&["db"]))];
        let (shop, db) = ("pub use crate::db::Error;", "use driver::Conn; pub struct Error;");
        let source = Crate::of([("http", "use crate::shop::Error;"), ("shop", shop), ("db", db)]);
        assert_eq!(past_doors(&source, &doors), owned(&[]));
        let source = Crate::of([("http", "use crate::db::Error;"), ("shop", "fn f(c: driver::Conn) {}"), ("db", db)]);
        assert_eq!(past_doors(&source, &doors), ["http must not use db", "shop must not use driver"]);
    }
}
