//! A body that has to be whole: to block for what is in it, to drop its fields, to know by path which values are meant.

use meshgate_detect::Scanner;

use crate::fields::drop_fields;
use crate::inspect::{Around, Blocked, Edit, Inspection, splice};
use crate::number::Quotes;
use crate::scope::Scopes;
use crate::sink::Sink;
use crate::stream::Form;

/// Looks into a body; `None`: it stays as it is.
///
/// # Errors
/// [`Blocked`] if a rule does not let it pass.
pub fn inspect(
    text: &[u8],
    form: Form,
    scanner: &Scanner,
    inspection: &mut Inspection<'_>,
) -> Result<Option<Vec<u8>>, Blocked> {
    let mut edits: Vec<Edit> = Vec::new();
    let mut findings = Vec::new();
    let mut start = 0_usize;
    let records = text.split(|byte| form.records.separator() == Some(*byte));
    for record in records {
        scanner.scan(record, 0, true, form.sink.syntax(), &mut findings);
        if !findings.is_empty() {
            inspection.quotes = (form.sink == Sink::Json).then(Quotes::default);
            let scopes = Scopes::new(record, form.sink, inspection);
            let covers = |rule, at| scopes.cover(rule, at);
            let around = Around { covers: &covers, ..Around::field(form.sink, None) };
            let mut found = Vec::new();
            inspection.edits(record, around, &mut findings, &mut found)?;
            drop_fields(record, form.sink, &mut found);
            edits.extend(found.into_iter().map(|edit| Edit {
                range: edit.range.start.saturating_add(start)..edit.range.end.saturating_add(start),
                ..edit
            }));
        }
        start = start.saturating_add(record.len()).saturating_add(1);
    }
    Ok((!edits.is_empty()).then(|| splice(text, &edits)))
}
