//! A configuration as JSON for people: what fits into a line stands in one.

use crate::check::{Node, NodeValue};

/// The longest line, if it can be helped.
const WIDTH: usize = 100;

/// The text, with a newline at its end.
pub fn pretty(node: &Node) -> String {
    let mut out = String::new();
    write(node, &mut out, 0, 0);
    out.push('\n');
    out
}

fn write(node: &Node, out: &mut String, indent: usize, column: usize) {
    let in_line = spaced(node);
    if node.entries().is_empty() && node.items().is_empty() {
        out.push_str(&in_line);
        return;
    }
    // The document itself is never one line: somebody will add to it.
    if indent > 0 && column.saturating_add(in_line.chars().count()) <= WIDTH {
        out.push_str(&in_line);
        return;
    }
    let deeper = indent.saturating_add(2);
    let (open, close) = if node.is_object() { ('{', '}') } else { ('[', ']') };
    out.push(open);
    for (index, item) in node.items().iter().enumerate() {
        begin(out, index, deeper);
        write(item, out, deeper, deeper);
    }
    for (index, entry) in node.entries().iter().enumerate() {
        begin(out, index, deeper);
        let key = serde_json::Value::from(entry.key.as_str()).to_string();
        out.push_str(&key);
        out.push_str(": ");
        write(&entry.value, out, deeper, deeper.saturating_add(key.chars().count()).saturating_add(2));
    }
    out.push('\n');
    out.extend(std::iter::repeat_n(' ', indent));
    out.push(close);
}

fn begin(out: &mut String, index: usize, indent: usize) {
    out.push_str(if index > 0 { ",\n" } else { "\n" });
    out.extend(std::iter::repeat_n(' ', indent));
}

/// All of it in one line, with spaces behind colons and commas.
fn spaced(node: &Node) -> String {
    match &node.value {
        NodeValue::List(items) => {
            let items: Vec<_> = items.iter().map(|item| spaced(item)).collect();
            format!("[{}]", items.join(", "))
        }
        NodeValue::Object(entries) => {
            let key = |key: &str| serde_json::Value::from(key).to_string();
            let entries: Vec<_> = entries
                .iter()
                .map(|entry| format!("{}: {}", key(&entry.key), spaced(&entry.value)))
                .collect();
            format!("{{{}}}", entries.join(", "))
        }
        _ => node.to_json(usize::MAX).unwrap_or_default(),
    }
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::check::json_tree;

    #[test]
    fn what_fits_into_a_line_stands_in_one() {
        let compact = r#"{"a":[1,{"b":1.10,"c":"é\n"}],"long":["aaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaa","bbbbbbbbbbbbbbbbbbbbbbbbbbbbbbbbbbbbbbbbbbbbbbbb"],"e":{},"l":[]}"#;
        let pretty = pretty(&json_tree(compact, &|offset| offset).unwrap_or_else(|_| panic!("{compact}")));
        let expected = "{\n  \"a\": [1, {\"b\": 1.10, \"c\": \"é\\n\"}],\n  \"long\": [\n    \
                        \"aaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaa\",\n    \
                        \"bbbbbbbbbbbbbbbbbbbbbbbbbbbbbbbbbbbbbbbbbbbbbbbb\"\n  ],\n  \"e\": {},\n  \"l\": []\n}\n";
        assert_eq!(pretty, expected);
        let again = json_tree(&pretty, &|offset| offset).ok().and_then(|tree| tree.to_json(9_999));
        assert_eq!(again.as_deref(), Some(compact));
    }
}
