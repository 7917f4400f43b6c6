//! The places of a schema, and documents that have something there.

use std::collections::BTreeMap;
use std::fmt;
use std::ptr;

use serde_json::Value;

/// A step from a value of a document to one below it.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum Step<'a> {
    /// To a field.
    Field(&'a str),
    /// To an entry of an object whose keys the schema does not name.
    Entry,
    /// To an element of a list.
    Item,
}

/// A step in a document that is there.
#[derive(Clone, Debug, PartialEq, Eq)]
pub enum At {
    Key(String),
    Index(usize),
}

/// A place that the schema has: one of its fields, an entry or an element below one.
#[derive(Clone, Debug)]
pub struct Site<'a> {
    /// The way to it.
    pub steps: Vec<Step<'a>>,
    /// The forms that a value may have here: schemas without alternatives and references.
    pub forms: Vec<&'a Value>,
    /// The form above that has it.
    owner: &'a Value,
    /// Which site is above; none is the document.
    above: Option<usize>,
}

impl Site<'_> {
    /// Whether it is a field whose way ends so, or below one.
    pub fn is_in(&self, field: &str) -> bool {
        format!(".{}.", self.to_string().replace("[]", "")).contains(&format!(".{field}."))
    }
}

/// As a reader writes it: `plans.*.limits[].rate`.
impl fmt::Display for Site<'_> {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        for (index, step) in self.steps.iter().enumerate() {
            let dot = if index == 0 { "" } else { "." };
            match step {
                Step::Field(name) => write!(f, "{dot}{name}")?,
                Step::Entry => write!(f, "{dot}*")?,
                Step::Item => f.write_str("[]")?,
            }
        }
        Ok(())
    }
}

/// A document, and where in it the value of a site is.
#[derive(Clone, Debug)]
pub struct Example {
    /// The document.
    pub document: Value,
    /// The way to the value.
    pub at: Vec<At>,
}

/// All sites of a schema, and the values that documents have there.
pub struct Sites<'a> {
    root: &'a Value,
    /// Those above come before those below.
    pub all: Vec<Site<'a>>,
    /// By the address of a form: what documents have written in it.
    seen: BTreeMap<usize, Vec<Value>>,
    documents: Vec<Value>,
}

impl<'a> Sites<'a> {
    /// The sites of a schema. A definition that leads to itself is followed once.
    pub fn of(root: &'a Value, documents: Vec<Value>) -> Self {
        let mut sites = Self { root, all: Vec::new(), seen: BTreeMap::new(), documents: Vec::new() };
        let forms = sites.forms(root);
        sites.collect(&forms, &[], None, &mut Vec::new());
        for document in &documents {
            sites.see(&forms, document);
        }
        Self { documents, ..sites }
    }

    /// The schemas that a schema is one of.
    pub fn forms(&self, schema: &'a Value) -> Vec<&'a Value> {
        if let Some(target) = self.target(schema) {
            return self.forms(target);
        }
        for word in ["anyOf", "oneOf"] {
            let choices = schema[word].as_array().map(Vec::as_slice).unwrap_or_default();
            // What only says which fields go together is no form.
            let is_form = |choice: &Value| {
                ["$ref", "type", "enum", "const", "anyOf", "oneOf", "pattern"]
                    .iter()
                    .any(|word| choice.get(word).is_some())
            };
            if !choices.is_empty() && choices.iter().all(is_form) {
                return choices.iter().flat_map(|choice| self.forms(choice)).collect();
            }
        }
        vec![schema]
    }

    fn target(&self, schema: &Value) -> Option<&'a Value> {
        let name = schema["$ref"].as_str()?.strip_prefix("#/$defs/")?;
        self.root["$defs"].get(name)
    }

    fn collect(
        &mut self,
        forms: &[&'a Value],
        steps: &[Step<'a>],
        above: Option<usize>,
        open: &mut Vec<&'a Value>,
    ) {
        for form in forms {
            if open.iter().any(|other| ptr::eq(*other, *form)) {
                continue;
            }
            open.push(form);
            for (step, schema) in below(form) {
                let steps = [steps, &[step]].concat();
                if self.all.iter().any(|site| site.steps == steps) {
                    continue;
                }
                let forms = self.forms(schema);
                self.all.push(Site { steps: steps.clone(), forms: forms.clone(), owner: form, above });
                let here = self.all.len().checked_sub(1);
                self.collect(&forms, &steps, here, open);
            }
            open.pop();
        }
    }

    /// Remembers a value, and all below it.
    fn see(&mut self, forms: &[&'a Value], value: &Value) {
        for form in forms.iter().copied().filter(|form| fits(form, value)) {
            self.seen.entry(address(form)).or_default().push(value.clone());
            for (step, schema) in below(form) {
                let below = self.forms(schema);
                for at in reached(form, value, step) {
                    if let Some(value) = child(value, &at) {
                        self.see(&below, value);
                    }
                }
            }
        }
    }

    /// Documents that have a value at the site: one of those that are there, or some made of them, which need not be accepted.
    pub fn examples(&self, site: usize, known: &BTreeMap<usize, Example>) -> Vec<Example> {
        let Some(here) = self.all.get(site) else { return Vec::new() };
        if let Some(found) = self.documents.iter().find_map(|document| self.find(here, document)) {
            return vec![found];
        }
        let above = match here.above {
            Some(above) => known.get(&above).cloned(),
            None => {
                self.documents.first().map(|document| Example { document: document.clone(), at: Vec::new() })
            }
        };
        let (Some(above), Some(step)) = (above, here.steps.last().copied()) else { return Vec::new() };
        let nothing = Vec::new();
        // What stands above it elsewhere, with this in it.
        let donors = self.seen.get(&address(here.owner)).unwrap_or(&nothing);
        let mut candidates: Vec<Value> =
            donors.iter().filter(|donor| !reached(here.owner, donor, step).is_empty()).cloned().collect();
        // What stands here elsewhere, put into what is above it here.
        for value in here.forms.iter().flat_map(|form| self.seen.get(&address(form)).unwrap_or(&nothing)) {
            match (step, lookup(&above.document, &above.at)) {
                (Step::Item, _) => candidates.push(Value::Array(vec![value.clone()])),
                (Step::Field(name), Some(Value::Object(fields))) => {
                    let mut fields = fields.clone();
                    fields.insert(name.to_owned(), value.clone());
                    candidates.push(Value::Object(fields));
                }
                _ => {}
            }
        }
        let example = |candidate: Value| {
            let below = reached(here.owner, &candidate, step).into_iter().next()?;
            let document = with(&above.document, &above.at, candidate);
            Some(Example { document, at: [above.at.clone(), vec![below]].concat() })
        };
        candidates.into_iter().filter_map(example).collect()
    }

    /// Where a document has a value at the site.
    fn find(&self, site: &Site<'a>, document: &Value) -> Option<Example> {
        let at = match site.above.and_then(|above| self.all.get(above)) {
            Some(_) => self.ways(site, document).into_iter().next()?,
            None => {
                reached(site.owner, document, *site.steps.last()?).into_iter().next().map(|at| vec![at])?
            }
        };
        Some(Example { document: document.clone(), at })
    }

    /// All ways of a document to values at the site.
    fn ways(&self, site: &Site<'a>, document: &Value) -> Vec<Vec<At>> {
        let Some(step) = site.steps.last().copied() else { return Vec::new() };
        let above = match site.above.and_then(|above| self.all.get(above)) {
            Some(above) => self.ways(above, document),
            None => vec![Vec::new()],
        };
        let next = |way: Vec<At>| {
            let value = lookup(document, &way).filter(|value| fits(site.owner, value));
            let below = value.map(|value| reached(site.owner, value, step)).unwrap_or_default();
            below.into_iter().map(move |at| [way.clone(), vec![at]].concat())
        };
        above.into_iter().flat_map(next).collect()
    }
}

fn address(form: &Value) -> usize {
    ptr::from_ref(form).addr()
}

/// What a form has below it.
fn below(form: &Value) -> Vec<(Step<'_>, &Value)> {
    let fields = form["properties"].as_object().into_iter().flatten();
    let mut below: Vec<_> = fields.map(|(name, schema)| (Step::Field(name.as_str()), schema)).collect();
    for (word, step) in [("additionalProperties", Step::Entry), ("items", Step::Item)] {
        below.extend(form.get(word).filter(|schema| schema.is_object()).map(|schema| (step, schema)));
    }
    below
}

/// Whether a value may have this form, by its kind and its fields.
pub fn fits(form: &Value, value: &Value) -> bool {
    let kinds = kinds(form);
    let is_number = kind(value) == "integer" && kinds.contains(&"number");
    if !is_number && !kinds.contains(&kind(value)) {
        return false;
    }
    match (value.as_object(), form["properties"].as_object()) {
        (Some(fields), Some(known)) if form["additionalProperties"] == false => {
            fields.keys().all(|field| known.contains_key(field))
        }
        _ => true,
    }
}

/// The steps in a value that are this step of its form.
fn reached(form: &Value, value: &Value, step: Step<'_>) -> Vec<At> {
    match (step, value) {
        (Step::Field(name), Value::Object(fields)) => {
            fields.contains_key(name).then(|| At::Key(name.to_owned())).into_iter().collect()
        }
        (Step::Entry, Value::Object(fields)) => {
            let others = fields.keys().filter(|key| form["properties"].get(key.as_str()).is_none());
            others.map(|key| At::Key(key.clone())).collect()
        }
        (Step::Item, Value::Array(items)) => (0..items.len()).map(At::Index).collect(),
        _ => Vec::new(),
    }
}

/// The kinds of values that a form allows, as JSON Schema calls them.
pub fn kinds(form: &Value) -> Vec<&str> {
    match &form["type"] {
        Value::String(one) => vec![one.as_str()],
        Value::Array(several) => several.iter().filter_map(Value::as_str).collect(),
        _ => {
            let values = form["enum"].as_array().into_iter().flatten().chain(form.get("const"));
            let mut kinds: Vec<&str> = values.map(kind).collect();
            if kinds.is_empty() {
                let any = ["null", "boolean", "number", "integer", "string", "array", "object"];
                kinds.extend(if form.get("pattern").is_some() { &["string"][..] } else { &any });
            }
            kinds
        }
    }
}

/// What JSON Schema calls a value.
pub fn kind(value: &Value) -> &'static str {
    match value {
        Value::Null => "null",
        Value::Bool(_) => "boolean",
        Value::Number(number) if number.is_f64() => "number",
        Value::Number(_) => "integer",
        Value::String(_) => "string",
        Value::Array(_) => "array",
        Value::Object(_) => "object",
    }
}

fn child<'v>(value: &'v Value, at: &At) -> Option<&'v Value> {
    match at {
        At::Key(key) => value.get(key),
        At::Index(index) => value.get(index),
    }
}

/// What stands somewhere in a document.
pub fn lookup<'v>(document: &'v Value, at: &[At]) -> Option<&'v Value> {
    at.iter().try_fold(document, child)
}

/// The document with another value in one place.
pub fn with(document: &Value, at: &[At], value: Value) -> Value {
    let mut changed = document.clone();
    let place = at.iter().try_fold(&mut changed, |value, at| match at {
        At::Key(key) => value.get_mut(key),
        At::Index(index) => value.get_mut(index),
    });
    if let Some(place) = place {
        *place = value;
    }
    changed
}
