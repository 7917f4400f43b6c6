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

    /// Checks that the tables of fields in the README are those of the schema, one by one and in order: `tables` has the
    /// definitions that each describes, of which `""` is the document. A table has their fields and no others. The fields of
    /// all other definitions are named in a row of a field that leads to them, or in a section by its heading: `sections`.
    ///
    /// # Panics
    /// They are not.
    pub fn check_tables<P: Policy>(&self, tables: &[&[&str]], sections: &[(&str, &[&str])]) {
        let schema = self.code_schema::<P>();
        let definition = |name: &str| if name.is_empty() { &schema } else { &schema["$defs"][name] };
        let shown = self.field_tables();
        assert_eq!(shown.len(), tables.len(), "tables of fields: {shown:?}");
        let described: Vec<&str> = tables.iter().copied().flatten().copied().collect();
        let mut rows = Vec::new();
        for (table, names) in shown.iter().zip(tables) {
            let properties = names.iter().flat_map(|name| {
                let properties = definition(name)["properties"].as_object();
                properties.unwrap_or_else(|| panic!("{name:?} is no definition with fields"))
            });
            let mut properties: Vec<(&str, &Value)> =
                properties.map(|(field, below)| (field.as_str(), below)).collect();
            properties.sort_unstable_by_key(|(field, _)| *field);
            properties.dedup_by_key(|(field, _)| *field);
            let mut fields: Vec<&str> = table.iter().flat_map(|(fields, _)| fields.iter().copied()).collect();
            fields.sort_unstable();
            let expected: Vec<&str> = properties.iter().map(|(field, _)| *field).collect();
            assert_eq!(fields, expected, "the table of {names:?} in the README, and its fields");
            for (field, below) in properties {
                let row = table.iter().find(|(fields, _)| fields.contains(&field)).map(|(_, row)| *row);
                rows.extend(row.map(|row| (row, definitions_below(below, &schema, &described))));
            }
        }
        for (name, below) in schema["$defs"].as_object().into_iter().flatten() {
            let mut fields = Vec::new();
            collect_fields(below, &mut fields);
            if described.contains(&name.as_str()) || fields.is_empty() {
                continue;
            }
            let section = sections.iter().find(|(_, names)| names.contains(&name.as_str()));
            let places: Vec<&str> = match section {
                Some((heading, _)) => vec![self.section(heading)],
                None => rows.iter().filter(|(_, below)| below.contains(name)).map(|(row, _)| *row).collect(),
            };
            let names_all = |place: &&str| fields.iter().all(|field| names_field(place, field));
            assert!(
                places.iter().any(names_all),
                "the README does not name {fields:?} of {name} in {places:?}"
            );
        }
    }

    /// The tables in the README whose first column are fields: the fields of each row, and the row.
    fn field_tables(&self) -> Vec<Vec<(Vec<&'static str>, &'static str)>> {
        let lines: Vec<&str> = self.readme.lines().collect();
        let starts = lines.iter().zip(0_usize..).filter(|(line, _)| line.starts_with("| field"));
        let rows = |(_, start): (_, usize)| {
            let rows =
                lines.iter().copied().skip(start.saturating_add(2)).take_while(|line| line.starts_with('|'));
            let fields =
                |row: &'static str| row.split('|').nth(1).unwrap_or_default().split('`').skip(1).step_by(2);
            rows.map(|row| (fields(row).collect(), row)).collect()
        };
        starts.map(rows).collect()
    }

    /// What stands under a heading, up to the next one.
    fn section(&self, heading: &str) -> &'static str {
        let begins = format!("# {heading}\n");
        let (_, rest) =
            self.readme.split_once(&begins).unwrap_or_else(|| panic!("there is no heading {heading}"));
        rest.split_once("\n#").map_or(rest, |(section, _)| section)
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

/// Whether a text names a field: `field`, or `"field":` in an example.
fn names_field(text: &str, field: &str) -> bool {
    text.contains(&format!("`{field}`")) || text.contains(&format!("\"{field}\":"))
}

/// The names of the definitions that a schema leads to, but for those that are described elsewhere and what is below them.
fn definitions_below(schema: &Value, root: &Value, described: &[&str]) -> Vec<String> {
    let mut found = Vec::new();
    let mut open = vec![schema];
    while let Some(schema) = open.pop() {
        match schema {
            Value::Object(members) => open.extend(members.values()),
            Value::Array(items) => open.extend(items),
            Value::String(text) => {
                if let Some(name) = text.strip_prefix("#/$defs/")
                    && !described.contains(&name)
                    && !found.iter().any(|known| known == name)
                {
                    found.push(name.to_owned());
                    open.extend(root["$defs"].get(name));
                }
            }
            _ => {}
        }
    }
    found
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
