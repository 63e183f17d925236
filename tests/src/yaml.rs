//! YAML as a JSON value, as far as the repository's own files need it.

use saphyr_parser::{Event, Parser, ScalarStyle};
use serde_json::{Map, Value};

/// The one document of a text; every plain scalar is text.
pub fn read(text: &str) -> Value {
    let events = Parser::new_from_str(text)
        .map(|event| event.unwrap_or_else(|error| panic!("this is no YAML: {error}")).0);
    let mut content = events.filter(|event| {
        !matches!(event, Event::StreamStart | Event::DocumentStart(_) | Event::Nothing)
    });
    let first = content.next().expect("a document");
    let value = node(first, &mut content);
    assert!(matches!(content.next(), Some(Event::DocumentEnd)), "more than one node");
    assert!(matches!(content.next(), Some(Event::StreamEnd)), "more than one document");
    value
}

fn node<'t>(first: Event<'t>, events: &mut impl Iterator<Item = Event<'t>>) -> Value {
    match first {
        Event::Scalar(text, ScalarStyle::Plain, ..) if text.is_empty() => Value::Null,
        Event::Scalar(text, ..) => Value::String(text.into_owned()),
        Event::SequenceStart(..) => {
            let mut values = Vec::new();
            loop {
                match events.next().expect("a list ends") {
                    Event::SequenceEnd => return Value::Array(values),
                    first => values.push(node(first, events)),
                }
            }
        }
        Event::MappingStart(..) => {
            let mut fields = Map::new();
            loop {
                let name = match events.next().expect("a mapping ends") {
                    Event::MappingEnd => return Value::Object(fields),
                    Event::Scalar(name, ..) => name.into_owned(),
                    other => panic!("a key is plain text, not {other:?}"),
                };
                let first = events.next().expect("a key has a value");
                let before = fields.insert(name.clone(), node(first, events));
                assert_eq!(before, None, "{name} twice");
            }
        }
        other => panic!("{other:?} is not read here"),
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn mappings_lists_and_scalars_are_read() {
        let text = "# a comment\na: [1, 'two', { b: }]\nc:\n  - d: >-\n      x\n      y\n  - e\n";
        let expected =
            serde_json::json!({"a": ["1", "two", {"b": null}], "c": [{"d": "x y"}, "e"]});
        assert_eq!(read(text), expected);
    }
}
