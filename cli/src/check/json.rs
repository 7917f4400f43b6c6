//! JSON texts as trees, in a file of their own or in a string of another document.

use std::rc::Rc;

use meshgate_json::{JsonError, Kind, Limits, Node as Scanned};

use super::node::{Entry, Node, Style, Text, Value};
use super::yaml::MAX_DEPTH;

/// Reads a text; `place` says where in the file one of its offsets is.
///
/// # Errors
/// What is wrong with it, at an offset of the text.
pub fn tree(text: &str, place: &dyn Fn(usize) -> usize) -> Result<Rc<Node>, JsonError> {
    let limits = Limits { depth: MAX_DEPTH, ..Limits::default() };
    let root = Scanned::parse(text.as_bytes(), &limits)?;
    Ok(Rc::new(Reader { text: text.as_bytes(), place }.node(root)))
}

struct Reader<'a> {
    text: &'a [u8],
    place: &'a dyn Fn(usize) -> usize,
}

impl Reader<'_> {
    fn node(&self, scanned: Scanned<'_>) -> Node {
        let begin = self.offset(scanned);
        let value = match scanned.kind() {
            Kind::Null => Value::Null,
            Kind::Boolean => Value::Bool(scanned.text() == b"true"),
            Kind::Number => Value::Number(String::from_utf8_lossy(scanned.text()).into_owned()),
            Kind::String => {
                let text = scanned.string().unwrap_or_default();
                let text = String::from_utf8_lossy(&text).into_owned();
                Value::Text(Text { text, style: Style::DoubleQuoted })
            }
            Kind::Array => Value::List(scanned.items().map(|item| Rc::new(self.node(item))).collect()),
            Kind::Object => {
                let mut end = begin.saturating_add(1);
                let entries = scanned.members().map(|(name, member)| {
                    // Between the end of the one before and the name there are white space and a comma.
                    let rest = self.text.get(end..).unwrap_or_default();
                    let space = rest.iter().take_while(|byte| **byte != b'"').count();
                    let at = (self.place)(end.saturating_add(space));
                    end = self.offset(member).saturating_add(member.text().len());
                    let key = String::from_utf8_lossy(&name).into_owned();
                    Entry { key, at, surprise: None, value: Rc::new(self.node(member)) }
                });
                Value::Object(entries.collect())
            }
        };
        Node::new((self.place)(begin), value)
    }

    /// Where in the text a value begins, of which it is a part.
    fn offset(&self, scanned: Scanned<'_>) -> usize {
        scanned.text().as_ptr().addr().saturating_sub(self.text.as_ptr().addr())
    }
}

#[cfg(test)]
mod tests {
    use super::*;
    use meshgate_policy::config::{ConfigError, Path};

    #[test]
    fn values_and_names_know_where_they_stand() {
        let text = r#" {"a" : [1, {"b\u0063": "x"}] , "d":{}}"#;
        let root = tree(text, &|offset| offset).unwrap_or_else(|_| panic!("{text}"));
        let at = |path: &Path| root.locate(&ConfigError::at(path));
        let list = Path::root().key("a");
        assert_eq!(at(&list), text.find('[').unwrap());
        assert_eq!(at(&list.index(1).key("bc")), text.find("\"x\"").unwrap());
        assert_eq!(at(&list.index(7)), text.find('[').unwrap());
        assert_eq!(root.entries()[1].at, text.find("\"d\"").unwrap());
        assert_eq!(root.to_json(99).as_deref(), Some(r#"{"a":[1,{"bc":"x"}],"d":{}}"#));
        assert_eq!(root.to_json(5), None);
    }
}
