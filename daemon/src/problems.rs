//! Shows the problems of a configuration: each with its line, what was found and what was expected.

use std::path::Path;

use annotate_snippets::{AnnotationKind, Level, Renderer, Snippet};
use attestd_core::settings::Problem;

/// The problems of `text`, which stands in the file at `path`, in colour or plain.
pub fn show(path: &Path, text: &str, problems: &[Problem], colour: bool) -> String {
    let path = path.display().to_string();
    let renderer = if colour { Renderer::styled() } else { Renderer::plain() };
    let mut shown = String::new();
    for problem in problems {
        let level = if problem.fatal { Level::ERROR } else { Level::WARNING };
        let title = level.primary_title(problem.message.as_str());
        let group = if problem.span.is_empty() || problem.span.end > text.len() {
            title.element(annotate_snippets::Origin::path(path.as_str()))
        } else {
            let snippet = Snippet::source(text)
                .path(path.as_str())
                .annotation(AnnotationKind::Primary.span(first_line(text, problem.span.clone())));
            title.element(snippet)
        };
        shown.push_str(&renderer.render(&[group]));
        shown.push_str("\n\n");
    }
    shown
}

/// A whole table is pointed at by its first line.
fn first_line(text: &str, span: std::ops::Range<usize>) -> std::ops::Range<usize> {
    let end = text
        .get(span.clone())
        .and_then(|part| part.find('\n'))
        .map_or(span.end, |n| span.start + n);
    span.start..end.max(span.start + 1).min(text.len())
}
