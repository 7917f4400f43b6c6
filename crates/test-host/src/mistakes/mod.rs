//! Each field of a configuration, with each mistake that can be made in it.
//!
//! A field is found in the JSON Schema. A document that has it comes from the README, the example and a policy's own tests, or is
//! put together from those; it is accepted. Then one value in it is made wrong at a time, and the policy has to refuse that, where
//! it is, with what was found and what was expected.

mod sites;

use std::collections::BTreeMap;

use meshgate_policy::config::{self, ConfigError, Options, Parts, Path, Step as PathStep};
use meshgate_policy::policy::Policy;
use serde_json::{Map, Value, json};

use self::sites::{At, Example, Site, Sites, Step, fits, kind, kinds, lookup, with};
use crate::documents::Documents;
use crate::worker::Worker;
use crate::world::World;

/// A string that is no word of any field, and that no error below a sensitive field may show.
const WORD: &str = "no * such word, 0451";
/// What is in each text that is put somewhere.
const SECRET: &str = "0451";

/// So many words of a field need not all be in an error.
const MANY: usize = 16;

/// One wrong document.
struct Mistake {
    what: String,
    document: Value,
    /// Where the error has to be; `below` says that a place under it is good as well.
    at: Vec<At>,
    below: bool,
    /// What the error has to say.
    says: Vec<String>,
    /// Whether the document may be accepted, since the schema can't tell.
    may_pass: bool,
    /// Whether it is in the text of a string, so that a sentence of whoever reads that may say both.
    is_text: bool,
}

impl Documents {
    /// Checks that every mistake in every field is refused with an error that says where it is, what was found and what is
    /// expected. `documents` is a JSON list of more configurations, for fields that neither the README nor the example has.
    /// `refused` are fields that are refused where they are, with all below them, though the schema has them there; and why. They
    /// are named by the end of the way to them, without `[]`.
    ///
    /// # Panics
    /// One of these is not so, or a field is not reached.
    pub fn check_mistakes<P: Policy>(&self, world: &World, documents: &str, refused: &[(&[&str], &str)]) {
        let root = config::schema::<P::Config>("urn:meshgate:schema:mistakes", self.title);
        let more: Vec<Value> = serde_json::from_str(documents).unwrap_or_else(|error| panic!("{error}"));
        let own = self.configurations().into_iter().chain([self.example]);
        let own =
            own.map(|text| serde_json::from_str(text).unwrap_or_else(|error| panic!("{error}: {text}")));
        let mut documents: Vec<Value> = more.into_iter().chain(own).collect();
        // The smallest that has a field is tried.
        documents.sort_by_key(|document| document.to_string().len());
        let refusal = |document: &Value| Worker::<P>::load(world, document).err();
        for document in &documents {
            if let Some(error) = refusal(document) {
                panic!("{error}\n{document:#}");
            }
        }
        let mut never = vec![];
        documents.iter().for_each(|document| secrets(&P::OPTIONS, false, document, &mut never));
        let sites = Sites::of(&root, documents);
        let mut known = BTreeMap::new();
        let mut troubles = Vec::new();
        for (index, site) in sites.all.iter().enumerate() {
            let refused_here = refused.iter().any(|(fields, _)| fields.iter().any(|field| site.is_in(field)));
            let hidden = is_sensitive(&P::OPTIONS, &site.steps);
            // The policy that a document within this one is for has tests of its own. What may not be shown is not shown here either.
            if !hidden && is_deep(&P::OPTIONS, &site.steps) {
                continue;
            }
            let examples = sites.examples(index, &known);
            let accepted = examples.iter().find(|example| refusal(&example.document).is_none());
            match accepted {
                Some(_) if refused_here => troubles.push(format!("{site}: is accepted after all")),
                None if !refused_here => troubles.push(format!("{site}: no document has it")),
                accepted => {
                    let wrong = match accepted {
                        Some(example) => mistakes(site, example),
                        None => examples.iter().map(Mistake::misplaced).collect(),
                    };
                    for mistake in wrong {
                        let trouble = match refusal(&mistake.document) {
                            Some(error) => mistake.trouble(&error, hidden, &never),
                            None => (!mistake.may_pass).then(|| "accepted".to_owned()),
                        };
                        let what = &mistake.what;
                        troubles.extend(trouble.map(|trouble| format!("{site}: {what}: {trouble}")));
                    }
                    known.extend(accepted.map(|example| (index, example.clone())));
                }
            }
        }
        assert!(
            troubles.is_empty(),
            "{} of {} fields:\n{}",
            troubles.len(),
            sites.all.len(),
            troubles.join("\n")
        );
    }
}

/// Whether it is below a field of a document within the document.
fn is_deep(options: &Options<'_>, steps: &[Step<'_>]) -> bool {
    let begins =
        |step: &Step<'_>| options.documents.iter().any(|(document, _)| *step == Step::Field(document));
    steps.iter().position(begins).is_some_and(|at| steps.len().saturating_sub(at) > 2)
}

/// Whether values here may not be shown.
fn is_sensitive(options: &Options<'_>, steps: &[Step<'_>]) -> bool {
    let mut options = options;
    let mut hidden = false;
    for step in steps {
        let Step::Field(name) = step else { continue };
        hidden = if hidden { !options.open.contains(name) } else { options.sensitive.contains(name) };
        let below = options.documents.iter().find(|(document, _)| document == name);
        options = below.map_or(options, |(_, options)| options);
    }
    hidden
}

/// The texts of a document that may never be shown, but for those so short that they stand anywhere.
fn secrets(options: &Options<'_>, hidden: bool, value: &Value, found: &mut Vec<String>) {
    match value {
        Value::String(text) if hidden && text.len() >= 12 => found.push(text.clone()),
        Value::Array(items) => items.iter().for_each(|item| secrets(options, hidden, item, found)),
        Value::Object(fields) => {
            for (name, value) in fields {
                let name = name.as_str();
                let hidden =
                    if hidden { !options.open.contains(&name) } else { options.sensitive.contains(&name) };
                let below = options.documents.iter().find(|(document, _)| *document == name);
                secrets(below.map_or(options, |(_, options)| options), hidden, value, found);
            }
        }
        _ => {}
    }
}

/// All that is done wrong at a site.
fn mistakes(site: &Site<'_>, example: &Example) -> Vec<Mistake> {
    let mut wrong = Vec::new();
    let replaced = |what: &str, value: Value, says: Vec<String>| {
        let shortened: String = value.to_string().chars().take(60).collect();
        let document = with(&example.document, &example.at, value);
        Mistake { at: example.at.clone(), says, ..Mistake::new(&format!("{what}, {shortened}"), document) }
    };
    let kinds: Vec<&str> = site.forms.iter().flat_map(|form| kinds(form)).collect();
    for value in [json!(null), json!(true), json!(7), json!(1.5), json!(WORD), json!([]), json!({})] {
        let name = kind(&value);
        if kinds.contains(&name) || name == "integer" && kinds.contains(&"number") {
            continue;
        }
        let found = match &value {
            Value::Array(_) => "list".to_owned(),
            Value::Object(_) => "object".to_owned(),
            scalar => scalar.to_string(),
        };
        wrong.push(replaced("another kind of value", value, vec![found]));
    }
    let strings: Vec<&Value> =
        site.forms.iter().copied().filter(|form| sites::kinds(form).contains(&"string")).collect();
    if !strings.is_empty() {
        let bound = |form: &&Value| {
            ["enum", "const", "pattern", "format"].iter().any(|word| form.get(word).is_some())
        };
        let is_bound = strings.iter().all(bound);
        // Of many words an error shows one or two.
        let words =
            strings.iter().filter(|form| form["enum"].as_array().is_none_or(|words| words.len() <= MANY));
        let words =
            words.flat_map(|form| form["enum"].as_array().into_iter().flatten().chain(form.get("const")));
        let words = words.filter_map(Value::as_str).map(str::to_owned);
        // An error in a text may show the part of it that is wrong.
        let shown = if is_bound { WORD } else { SECRET };
        let says: Vec<String> = [shown.to_owned()].into_iter().chain(words).collect();
        wrong.push(Mistake {
            may_pass: !is_bound,
            is_text: true,
            ..replaced("another word", json!(WORD), says)
        });
        for odd in ["", "\u{1}", "{{ 0451", "x y\"\\"] {
            wrong.push(Mistake {
                may_pass: true,
                below: true,
                is_text: true,
                ..replaced("an odd string", json!(odd), Vec::new())
            });
        }
    }
    for form in &site.forms {
        let number = |word: &str| form[word].as_i64();
        if !kinds.iter().any(|kind| matches!(*kind, "integer" | "number")) || form.get("enum").is_some() {
            continue;
        }
        let outside = [
            number("minimum").and_then(|least| least.checked_sub(1)),
            number("maximum").and_then(|most| most.checked_add(1)),
        ];
        for value in outside.into_iter().flatten() {
            wrong.push(replaced("out of range", json!(value), vec![value.to_string()]));
        }
    }
    if let Some(value) = lookup(&example.document, &example.at) {
        for form in site.forms.iter().filter(|form| fits(form, value)) {
            match value {
                Value::Object(fields) => in_object(form, fields, &replaced, &mut wrong),
                Value::Array(items) => in_list(form, items, &replaced, &mut wrong),
                _ => {}
            }
        }
    }
    wrong
}

/// What is done wrong with the fields of an object.
fn in_object(
    form: &Value,
    fields: &Map<String, Value>,
    replaced: &dyn Fn(&str, Value, Vec<String>) -> Mistake,
    wrong: &mut Vec<Mistake>,
) {
    let without = |name: &str| {
        let mut fields = fields.clone();
        fields.remove(name);
        Value::Object(fields)
    };
    if form["additionalProperties"] == false {
        let mut more = fields.clone();
        more.insert("zz_no_field".to_owned(), json!(WORD));
        // An object that is one of several is known by its one key.
        let is_choice = form["properties"].as_object().is_some_and(|fields| fields.len() == 1)
            && form["required"].as_array().is_some_and(|required| required.len() == 1);
        let says = if is_choice { "" } else { "unknown field" };
        wrong.push(replaced("an unknown field", Value::Object(more), vec![says.to_owned()]));
    }
    for name in form["required"].as_array().into_iter().flatten().filter_map(Value::as_str) {
        wrong.push(replaced("a missing field", without(name), vec![format!("\"{name}\"")]));
    }
    if form["minProperties"] == 1 {
        wrong.push(replaced("nothing", json!({}), Vec::new()));
    }
    for (name, others) in form["dependentRequired"].as_object().into_iter().flatten() {
        for other in others.as_array().into_iter().flatten().filter_map(Value::as_str) {
            if fields.contains_key(name) {
                wrong.push(Mistake { below: true, ..replaced("a field alone", without(other), Vec::new()) });
            }
        }
    }
    // One of some fields has to be there.
    let choices = ["anyOf", "oneOf"]
        .iter()
        .find_map(|word| form[word].as_array())
        .map(Vec::as_slice)
        .unwrap_or_default();
    let mut none = fields.clone();
    for choice in choices {
        for name in choice["required"].as_array().into_iter().flatten().filter_map(Value::as_str) {
            none.remove(name);
        }
    }
    if !choices.is_empty() {
        wrong.push(Mistake {
            below: true,
            ..replaced("none of some fields", Value::Object(none), Vec::new())
        });
    }
}

/// What is done wrong with the elements of a list.
fn in_list(
    form: &Value,
    items: &[Value],
    replaced: &dyn Fn(&str, Value, Vec<String>) -> Mistake,
    wrong: &mut Vec<Mistake>,
) {
    if form["minItems"] == 1 {
        wrong.push(replaced("nothing", json!([]), Vec::new()));
    }
    if let (Some(most), Some(item)) = (form["maxItems"].as_u64(), items.first()) {
        let many = usize::try_from(most).map_or(1, |most| most.saturating_add(1));
        wrong.push(replaced("too many", Value::Array(vec![item.clone(); many]), vec![most.to_string()]));
    }
}

impl Mistake {
    fn new(what: &str, document: Value) -> Self {
        let (at, says) = (Vec::new(), Vec::new());
        Self { what: what.to_owned(), document, at, below: false, says, may_pass: false, is_text: false }
    }

    /// A field where it is not allowed. The error may be that of what is above it.
    fn misplaced(example: &Example) -> Self {
        let at = example.at.split_last().map(|(_, above)| above.to_vec()).unwrap_or_default();
        Self { at, below: true, ..Self::new("where it is not allowed", example.document.clone()) }
    }

    /// What is wrong with what was said of it. Below what is `hidden` nothing is shown, and texts of `never` nowhere.
    fn trouble(&self, error: &ConfigError, hidden: bool, never: &[String]) -> Option<String> {
        let text = error.to_string();
        let Parts { problem, found, expected, hint } = error.parts();
        let says_both = (problem.is_some() || found.is_some()) && (expected.is_some() || hint.is_some());
        let says_it = says_both || self.is_text && problem.is_some();
        if !says_it {
            return Some(format!("does not say what was found and expected: {text}"));
        }
        if !is_at(error.path(), &self.at, self.below) {
            return Some(format!("is not where it was made: {text}"));
        }
        if hidden && text.contains(SECRET) || never.iter().any(|secret| text.contains(secret)) {
            return Some(format!("shows a secret: {text}"));
        }
        let missing = self.says.iter().find(|word| !hidden && !text.contains(word.as_str()));
        if let Some(word) = missing {
            return Some(format!("does not say {word}: {text}"));
        }
        RUST.iter()
            .find(|word| text.split(|c: char| !c.is_alphanumeric()).any(|part| part == **word))
            .map(|word| format!("speaks of {word}: {text}"))
    }
}

/// Words of the language that this is written in, and not of those who configure it.
const RUST: &[&str] = &[
    "u8", "u16", "u32", "u64", "usize", "i64", "f64", "struct", "variant", "enum", "tuple", "newtype",
    "borrowed",
];

/// Whether a path is this place, or below it. A name that is not shown is any name.
fn is_at(path: &Path, at: &[At], below: bool) -> bool {
    let steps = path.steps();
    let same = steps.iter().zip(at).all(|(step, at)| match (step, at) {
        (PathStep::Hidden, At::Key(_)) => true,
        (PathStep::Key(key), At::Key(at)) => key == at,
        (PathStep::Index(index), At::Index(at)) => index == at,
        _ => false,
    });
    same && (steps.len() == at.len() || below && steps.len() > at.len())
}
