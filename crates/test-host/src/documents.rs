//! What stands in a filter's directory beside its code: a README with configurations, an example and a JSON Schema.
//!
//! All of it says what the code says as well, so a policy's tests compare the two.

use meshgate_policy::config;
use meshgate_policy::policy::Policy;
use serde_json::Value;

use crate::worker::Worker;
use crate::world::World;

/// The documents of a filter. The macro [`documents!`](crate::documents!) reads them.
#[derive(Clone, Copy, Debug)]
pub struct Documents {
    /// The name of the filter, which is that of its directory.
    pub filter: &'static str,
    /// What the schema calls it.
    pub title: &'static str,
    /// `README.md`
    pub readme: &'static str,
    /// `example.json`
    pub example: &'static str,
    /// `config.schema.json`
    pub schema: &'static str,
    /// The directory, for what is written anew.
    pub directory: &'static str,
}

/// The [`Documents`] of a filter, by its name and the title of its schema. For crates beside this one.
#[macro_export]
macro_rules! documents {
    ($filter:literal, $title:literal) => {
        $crate::Documents {
            filter: $filter,
            title: $title,
            readme: include_str!($crate::documents!(@ $filter, "/README.md")),
            example: include_str!($crate::documents!(@ $filter, "/example.json")),
            schema: include_str!($crate::documents!(@ $filter, "/config.schema.json")),
            directory: $crate::documents!(@ $filter, ""),
        }
    };
    (@ $filter:literal, $file:literal) => {
        concat!(env!("CARGO_MANIFEST_DIR"), "/../../filters/", $filter, $file)
    };
}

impl Documents {
    /// Fields of conditions on values, where a README describes them with those of `match`.
    pub const OF_VALUES: &[&str] = &["contains", "not", "present", "suffix"];

    /// The configurations in the README, in order.
    pub fn configurations(&self) -> Vec<&'static str> {
        self.blocks("```json config")
    }

    /// The blocks of the README that begin with this line.
    pub fn blocks(&self, fence: &str) -> Vec<&'static str> {
        let opening = format!("\n{fence}\n");
        let rests = self.readme.split(&opening).skip(1);
        rests.map(|rest| rest.split_once("\n```").map_or(rest, |(block, _)| block)).collect()
    }

    /// Checks that the README has so many configurations, and that each of them and the example are accepted.
    ///
    /// # Panics
    /// They are not.
    pub fn check_configurations<P: Policy>(&self, number: usize) {
        let configurations = self.configurations();
        assert_eq!(configurations.len(), number, "the one to begin with, and the examples");
        for configuration in configurations.into_iter().chain([self.example]) {
            if let Err(error) = Worker::<P>::load(&World::new(), configuration) {
                panic!("{error}\n{configuration}");
            }
        }
    }

    /// Checks that the README names every field that the schema has at any depth, but for those that are described in other
    /// words.
    ///
    /// # Panics
    /// It does not, or one of `others` is no field.
    pub fn check_fields<P: Policy>(&self, others: &[&str]) {
        let mut fields = Vec::new();
        collect_fields(&self.code_schema::<P>(), &mut fields);
        for other in others {
            assert!(fields.iter().any(|field| field == other), "{other} is no field");
        }
        fields.retain(|field| {
            let shown = self.names(field) || self.readme.contains(&format!("\"{field}\":"));
            !shown && !others.contains(&field.as_str())
        });
        assert!(fields.is_empty(), "fields that the README does not name: {fields:?}");
    }

    /// Checks that the README names all of these.
    ///
    /// # Panics
    /// It does not.
    pub fn check_names(&self, names: impl IntoIterator<Item: AsRef<str>>) {
        for name in names {
            assert!(self.names(name.as_ref()), "the README does not name {}", name.as_ref());
        }
    }

    fn names(&self, name: &str) -> bool {
        self.readme.contains(&format!("`{name}`"))
    }

    /// Checks that the schema is that of the code. With `UPDATE_SCHEMAS` in the environment it is written anew.
    ///
    /// # Panics
    /// It is not.
    pub fn check_schema<P: Policy>(&self) {
        let text = format!("{:#}\n", self.code_schema::<P>());
        self.check_file("config.schema.json", self.schema, &text, "UPDATE_SCHEMAS");
    }

    /// Checks that a file has this text. With the variable in the environment the file is written anew.
    ///
    /// # Panics
    /// It does not.
    pub fn check_file(&self, name: &str, present: &str, text: &str, variable: &str) {
        #[cfg(not(target_arch = "wasm32"))]
        if std::env::var_os(variable).is_some() {
            let file = format!("{}/{name}", self.directory);
            std::fs::write(&file, text).unwrap_or_else(|error| panic!("{file}: {error}"));
            return;
        }
        assert!(present == text, "{}/{name} is stale: run its tests with {variable}=1", self.filter);
    }

    fn code_schema<P: Policy>(&self) -> Value {
        config::schema::<P::Config>(&format!("urn:meshgate:schema:{}", self.filter), self.title)
    }
}

/// The literals in a source that begin with `prefix`, without it.
pub fn literals<'a>(source: &'a str, prefix: &str) -> impl Iterator<Item = &'a str> {
    let prefix = format!("\"{prefix}");
    let rests: Vec<_> = source.split(&prefix).skip(1).collect();
    rests.into_iter().filter_map(|rest| rest.split('"').next())
}

fn collect_fields(schema: &Value, fields: &mut Vec<String>) {
    if let Some(properties) = schema["properties"].as_object() {
        fields.extend(properties.keys().cloned());
    }
    match schema {
        Value::Object(members) => members.values().for_each(|below| collect_fields(below, fields)),
        Value::Array(items) => items.iter().for_each(|below| collect_fields(below, fields)),
        _ => {}
    }
}
