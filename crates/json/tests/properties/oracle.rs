//! What an edit means, said on a tree: select places, then change them, without any thought of speed.

use meshgate_json::{Action, Edit, Path, Raw};

use super::tree::Tree;

#[derive(Clone, Debug)]
pub struct Change {
    pub path: Vec<Segment>,
    pub kind: Kind,
}

#[derive(Clone, Debug)]
pub enum Kind {
    Set(&'static str),
    Add(&'static str),
    Append(&'static str),
    Remove,
    Rename(&'static str),
    Keep(Vec<Vec<Segment>>),
    Copy(Vec<Segment>),
    Move(Vec<Segment>),
}

#[derive(Clone, Debug, PartialEq)]
pub struct Segment {
    pub descendant: bool,
    pub selectors: Vec<Selector>,
}

#[derive(Clone, Debug, PartialEq)]
pub enum Selector {
    Name(&'static str),
    Token(&'static str),
    Wildcard,
    Index(i64),
    Slice(Option<i64>, Option<i64>, i64),
}

/// The paths of a change, compiled.
pub struct Compiled<'c> {
    change: &'c Change,
    path: Path,
    others: Vec<Path>,
}

impl Compiled<'_> {
    pub fn edit(&self) -> Edit<'_> {
        let raw = |text: &'static str| Raw::new(text.as_bytes()).unwrap();
        let action = match &self.change.kind {
            Kind::Set(value) => Action::Set(raw(value)),
            Kind::Add(value) => Action::Add(raw(value)),
            Kind::Append(value) => Action::Append(raw(value)),
            Kind::Remove => Action::Remove,
            Kind::Rename(name) => Action::Rename(name),
            Kind::Keep(_) => Action::Keep(&self.others),
            Kind::Copy(_) => Action::Copy { from: &self.others[0] },
            Kind::Move(_) => Action::Move { from: &self.others[0] },
        };
        Edit { path: &self.path, action }
    }
}

impl Change {
    pub fn compile(&self) -> Compiled<'_> {
        let others = match &self.kind {
            Kind::Keep(paths) => paths.as_slice(),
            Kind::Copy(from) | Kind::Move(from) => std::slice::from_ref(from),
            _ => &[],
        };
        Compiled {
            change: self,
            path: Path::new(&written(&self.path)).unwrap(),
            others: others.iter().map(|path| Path::new(&written(path)).unwrap()).collect(),
        }
    }

    pub fn path_text(&self) -> String {
        written(&self.path)
    }

    /// Makes the change; in how many places, where that is well defined.
    pub fn apply(&self, tree: &mut Tree) -> Option<usize> {
        match &self.kind {
            Kind::Set(value) => Some(set(tree, &self.path, &Tree::parse(value.as_bytes()).unwrap())),
            Kind::Add(value) => Some(create(tree, &self.path, &Tree::parse(value.as_bytes()).unwrap(), &[])),
            Kind::Append(value) => Some(append(tree, &self.path, &Tree::parse(value.as_bytes()).unwrap())),
            Kind::Remove => Some(remove(tree, &self.path)),
            Kind::Rename(name) => {
                rename(tree, &self.path, name);
                None
            }
            Kind::Keep(paths) => {
                for place in outermost(select(tree, &self.path)) {
                    let kept: Vec<_> = paths.iter().flat_map(|path| select(tree.at(&place), path)).collect();
                    prune(tree.at_mut(&place), &kept);
                }
                None
            }
            Kind::Copy(from) => {
                if let [place] = &select(tree, from)[..] {
                    let value = tree.at(place).clone();
                    set(tree, &self.path, &value);
                }
                None
            }
            Kind::Move(from) => {
                if let [place] = &select(tree, from)[..]
                    && *from != self.path
                {
                    let value = tree.at(place).clone();
                    let mut changed = tree.clone();
                    if remove(&mut changed, from) == 1 && set(&mut changed, &self.path, &value) > 0 {
                        *tree = changed;
                    }
                }
                None
            }
        }
    }
}

fn written(path: &[Segment]) -> String {
    if let [Segment { selectors, .. }, ..] = path
        && matches!(selectors[0], Selector::Token(_))
    {
        return path.iter().map(|segment| format!("/{}", name(&segment.selectors[0]).unwrap())).collect();
    }
    let mut text = "$".to_owned();
    for segment in path {
        let selectors: Vec<_> = segment.selectors.iter().map(Selector::written).collect();
        text += &format!("{}[{}]", if segment.descendant { ".." } else { "" }, selectors.join(","));
    }
    text
}

fn name(selector: &Selector) -> Option<&'static str> {
    match selector {
        Selector::Name(name) | Selector::Token(name) => Some(name),
        _ => None,
    }
}

impl Selector {
    fn written(&self) -> String {
        let bound = |bound: &Option<i64>| bound.map_or(String::new(), |bound| bound.to_string());
        match self {
            Self::Name(name) => format!("'{name}'"),
            Self::Token(_) => panic!("tokens are written as a pointer"),
            Self::Wildcard => "*".to_owned(),
            Self::Index(index) => index.to_string(),
            Self::Slice(start, end, step) => format!("{}:{}:{step}", bound(start), bound(end)),
        }
    }

    /// RFC 9535, section 2.3, by its own pseudocode.
    fn children(&self, tree: &Tree) -> Vec<usize> {
        let len = tree.len() as i64;
        let array = matches!(tree, Tree::Array(_));
        let all = 0..tree.len();
        match self {
            Self::Wildcard => all.collect(),
            Self::Token(name) if array => {
                let index = name.parse().ok().filter(|_| *name == "0" || !name.starts_with(['0', '-']));
                all.filter(|at| Some(*at) == index).collect()
            }
            Self::Name(name) | Self::Token(name) => {
                all.filter(|at| tree.name(*at).is_some_and(|found| found == *name)).collect()
            }
            Self::Index(index) if array => {
                let at = if *index < 0 { len + index } else { *index };
                all.filter(|found| *found as i64 == at).collect()
            }
            Self::Slice(start, end, step) if array && *step != 0 => {
                let normal = |at: i64| if at >= 0 { at } else { len + at };
                let (start, end) = if *step > 0 {
                    (start.unwrap_or(0), end.unwrap_or(len))
                } else {
                    (start.unwrap_or(len - 1), end.unwrap_or(-len - 1))
                };
                let (start, end) = (normal(start), normal(end));
                let mut found = Vec::new();
                if *step > 0 {
                    let (lower, upper) = (start.clamp(0, len), end.clamp(0, len));
                    let mut at = lower;
                    while at < upper {
                        found.push(at as usize);
                        at += step;
                    }
                } else {
                    let (upper, lower) = (start.clamp(-1, len - 1), end.clamp(-1, len - 1));
                    let mut at = upper;
                    while lower < at {
                        found.push(at as usize);
                        at += step;
                    }
                }
                found
            }
            _ => Vec::new(),
        }
    }
}

type Place = Vec<usize>;

/// The places that a path selects, each once, in the order of the document.
fn select(tree: &Tree, path: &[Segment]) -> Vec<Place> {
    let mut places = vec![Place::new()];
    for segment in path {
        let mut next = Vec::new();
        for place in &places {
            let mut from = vec![place.clone()];
            if segment.descendant {
                descendants(tree.at(place), place, &mut from);
            }
            for place in from {
                for selector in &segment.selectors {
                    for at in selector.children(tree.at(&place)) {
                        next.push([place.as_slice(), &[at]].concat());
                    }
                }
            }
        }
        next.sort();
        next.dedup();
        places = next;
    }
    places
}

fn descendants(tree: &Tree, place: &[usize], found: &mut Vec<Place>) {
    for at in 0..tree.len() {
        let child = [place, &[at]].concat();
        found.push(child.clone());
        descendants(tree.child(at), &child, found);
    }
}

/// Without the places in others.
fn outermost(places: Vec<Place>) -> Vec<Place> {
    let inner = |place: &Place| places.iter().any(|other| other != place && place.starts_with(other));
    places.iter().filter(|place| !inner(place)).cloned().collect()
}

fn set(tree: &mut Tree, path: &[Segment], value: &Tree) -> usize {
    let places = outermost(select(tree, path));
    let made = create(tree, path, value, &places);
    for place in &places {
        *tree.at_mut(place) = value.clone();
    }
    places.len() + made
}

/// Makes what is missing at the end of a path, but not in what is replaced.
fn create(tree: &mut Tree, path: &[Segment], value: &Tree, replaced: &[Place]) -> usize {
    let plain = |segment: &Segment| {
        !segment.descendant && segment.selectors.len() == 1 && name(&segment.selectors[0]).is_some()
    };
    let tail = path.iter().rposition(|segment| !plain(segment)).map_or(0, |at| at + 1);
    let mut made: Vec<(Place, &'static str, Tree)> = Vec::new();
    let mut count = 0;
    for at in (tail..path.len()).rev() {
        let is_index = |segment: &Segment| match segment.selectors[0] {
            Selector::Token(token) => token == "-" || token.parse::<usize>().is_ok(),
            _ => false,
        };
        if path[at + 1..].iter().any(is_index) {
            continue;
        }
        let selector = &path[at].selectors[0];
        let missing = name(selector).unwrap();
        for place in select(tree, &path[..at]) {
            let parent = tree.at(&place);
            let can = match parent {
                Tree::Object(_) => selector.children(parent).is_empty(),
                Tree::Array(_) => *selector == Selector::Token("-"),
                Tree::Leaf(_) => false,
            };
            if can && !replaced.iter().any(|replaced| place.starts_with(replaced)) {
                count += 1;
                if made.iter().any(|(other, name, _)| *other == place && *name == missing) {
                    continue;
                }
                let chain = path[at + 1..].iter().rev().fold(value.clone(), |value, segment| {
                    Tree::Object(vec![(format!("{:?}", name(&segment.selectors[0]).unwrap()), value)])
                });
                made.push((place, missing, chain));
            }
        }
    }
    for (place, name, value) in made {
        match tree.at_mut(&place) {
            Tree::Object(members) => members.push((format!("{name:?}"), value)),
            Tree::Array(items) => items.push(value),
            Tree::Leaf(_) => panic!("nothing is made in a leaf"),
        }
    }
    count
}

fn append(tree: &mut Tree, path: &[Segment], value: &Tree) -> usize {
    let places = select(tree, path);
    let mut count = create(tree, path, &Tree::Array(vec![value.clone()]), &[]);
    for place in &places {
        if let Tree::Array(items) = tree.at_mut(place) {
            items.push(value.clone());
            count += 1;
        }
    }
    count
}

fn remove(tree: &mut Tree, path: &[Segment]) -> usize {
    let places = outermost(select(tree, path));
    let mut count = 0;
    for place in places.iter().rev() {
        if let Some((at, parent)) = place.split_last() {
            tree.at_mut(parent).remove(*at);
            count += 1;
        }
    }
    count
}

fn rename(tree: &mut Tree, path: &[Segment], new: &str) {
    let places = select(tree, path);
    let mut gone = Vec::new();
    for place in &places {
        let Some((at, parent)) = place.split_last() else { continue };
        let object = tree.at(parent);
        if object.name(*at).is_some() {
            for sibling in 0..object.len() {
                let other = [parent, &[sibling]].concat();
                if object.name(sibling).as_deref() == Some(new) && !places.contains(&other) {
                    gone.push(other);
                }
            }
        }
    }
    for place in &places {
        let Some((at, parent)) = place.split_last() else { continue };
        if let Tree::Object(members) = tree.at_mut(parent) {
            members[*at].0 = format!("{new:?}");
        }
    }
    gone.sort();
    gone.dedup();
    for place in gone.iter().rev() {
        let (at, parent) = place.split_last().unwrap();
        tree.at_mut(parent).remove(*at);
    }
}

/// Leaves what is kept, and what holds some of it. Whether anything is left.
fn prune(tree: &mut Tree, kept: &[Place]) -> bool {
    if kept.iter().any(Vec::is_empty) {
        return true;
    }
    for at in (0..tree.len()).rev() {
        let below: Vec<_> =
            kept.iter().filter(|place| place[0] == at).map(|place| place[1..].to_vec()).collect();
        if below.is_empty() || !prune(tree.child_mut(at), &below) {
            tree.remove(at);
        }
    }
    tree.len() > 0
}
